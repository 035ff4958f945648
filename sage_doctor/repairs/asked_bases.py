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


def bases_by_name(models: Sequence[Model], bases: Mapping[str, str]) -> dict[str, str]:
    """Return the bases by the names of their adapters, which people may call by their titles.

    Raises `UsageError` if a base is given for an adapter that is not among the models, or twice for one.
    """
    adapters = [m for m in models if m.kind == "adapter"]
    known = {m.title: m.name for m in adapters} | {m.name: m.name for m in adapters} | {"": ""}
    found: dict[str, str] = {}
    for name, base in bases.items():
        if name not in known:
            titles = [printable(m.title, limit=200) for m in adapters]
            raise UsageError(
                f"--base {printable(name)}=…: adapter not found among the targets "
                f"(adapters: {join_limited(sorted(titles)) or 'none'})"
            )
        if known[name] in found:
            raise UsageError(f"--base {printable(name)}=…: the adapter has two bases")
        found[known[name]] = base
    return found
