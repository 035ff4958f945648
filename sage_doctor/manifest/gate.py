"""The `[gate]` table: how long a recorded result may stand for a new one, and how long a gate may take."""

from __future__ import annotations

from sage_doctor.manifest import keys
from sage_doctor.manifest.specs import GateSpec
from sage_doctor.manifest.tables import Table


def read_gate(top: Table) -> GateSpec:
    """Return what the gate is told."""
    table = top.section("gate")
    table.only(keys.GATE)
    return GateSpec(max_age_s=table.duration("max_age"), timeout_s=table.duration("timeout"))
