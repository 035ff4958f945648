"""Runs as a machine makes them: reports, snapshots, and a series to keep them in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sage_doctor.history.runs import Series, record
from sage_doctor.history.snapshot import ModelState, Snapshot
from sage_doctor.report import CheckResult, Finding, Fix, Level, MachineInfo, Measurement, Report, Status, conclude
from sage_doctor.system.fingerprint import Fingerprint

START = dt.datetime(2026, 1, 15, 12, 0, tzinfo=dt.timezone.utc)
FILE = Fingerprint(size=269_000_000, mtime_ns=10**18, ctime_ns=10**18, inode=7, mode=0o100644)
SNAPSHOT = Snapshot(
    boot_id="first",
    system={"kernel": "6.8.12-tegra", "driver": "580.00"},
    memory_bytes=131_000_000_000,
    interpreter="/opt/sessions/bin/python",
    python="3.11.0",
    packages={"torch": "2.13.0", "transformers": "4.57.1"},
    manifest="a" * 64,
    disk_free=500_000_000_000,
    models={"m": ModelState(path="/zoo/m", found=True, files={"model.safetensors": FILE})},
)


def series(path: Path, **changes: Any) -> Series:
    known: dict[str, Any] = {"machine": "thor", "hostname": "thor-agx", "manifest": "/srv/sage-doctor.toml"}
    return Series(path=path / "history.sqlite3", **(known | changes))


def finding(code: str, severity: Any = "error", subject: str = "m") -> Finding:
    return Finding(code=code, severity=severity, subject=subject, check="c", message="it is so", fix=Fix(summary="do"))


def report(
    *findings: Finding,
    number: int = 0,
    level: Level = "generate",
    found_at: Level = "static",
    measured: Mapping[str, float] | None = None,
    subject: str = "m",
    status: Any = None,
) -> Report:
    """Return the report of a run that began `number` hours after the first. `found_at` is the failing check's level."""
    severities = {f.severity for f in findings}
    bad: Status = status or ("fail" if "error" in severities else "warn" if "warning" in severities else "pass")
    checks = [
        CheckResult(id="a", subject=subject, level="static", status="pass", duration_s=0.1),
        CheckResult(id="c", subject=subject, level=found_at, status=bad, duration_s=0.1),
    ]
    verdict, exit_code = conclude(checks, findings)
    return Report(
        doctor={"version": "0.1.0"},
        machine=MachineInfo(name="thor", hostname="thor-agx", roles=("raising",)),
        started_at=(START + dt.timedelta(hours=number)).isoformat(timespec="seconds"),
        duration_s=1.5,
        level=level,
        verdict=verdict,
        exit_code=exit_code,
        checks=tuple(checks),
        findings=findings,
        measurements=tuple(
            Measurement(subject=subject, name=name, value=value, unit="s") for name, value in (measured or {}).items()
        ),
    )


def write(where: Series, *reports: Report, snapshot: Snapshot | None = SNAPSHOT, **rest: Any) -> None:
    for one in reports:
        assert record(one, snapshot, where, verb="check", **rest) == []
