"""Bases that the user names with `--base`: also where no finding asks for one, and in place of one that is there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from sage_doctor.errors import UsageError
from sage_doctor.report import Finding, Fix, Report
from sage_doctor.subjects.model import Model
from sage_doctor.text import join_limited, printable

SET_BASE = "set-base"
_CHECK = "adapters.adapter_base"


def asked_bases(
    models: Sequence[Model], bases: Mapping[str, str], before: Report, without_base: Collection[str]
) -> Iterator[Finding]:
    """Yield a finding for each adapter that has a base and is to get another one, by its name or as the only adapter.

    `without_base` are the adapters of which a finding says that they have none: that one is repaired.
    """
    adapters = [m for m in models if m.kind == "adapter"]
    for model in adapters:
        named = model.name in bases or ("" in bases and len(adapters) == 1)
        check = next((c for c in before.checks if (c.id, c.subject) == (_CHECK, model.name)), None)
        if named and check is not None and model.name not in without_base and model.base.model is not None:
            yield Finding(
                code="adapter-base-missing",
                severity="info",
                subject=model.name,
                check=check.id,
                evidence={"asked": True},
                message=f"--base names another base than {printable(model.base.text or '')}",
                fix=Fix(summary="", repair=SET_BASE),
            )


def refuse_unknown_adapters(models: Sequence[Model], bases: Mapping[str, str]) -> None:
    """Raise `UsageError` if a base is given for an adapter that is not among the models."""
    known = {m.name for m in models if m.kind == "adapter"}
    for name in sorted(set(bases) - known - {""}):
        raise UsageError(
            f"--base {printable(name)}=…: adapter not found among the targets "
            f"(adapters: {join_limited(sorted(known)) or 'none'})"
        )
