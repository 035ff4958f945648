"""sage-doctor says whether this machine can run its local models right now, why not, and repairs it.

The map, from the ground up; imports point down only:

0. `report`, `errors`, `catalogue`, `text`: what a run found, in words and values; standard library only.
1. `readers`, `files`, `manifest`, `check`, `facts`, `probe`: read the disk, the host and the manifest, without
   judgement; the probe is the child process that loads a model in the session's own interpreter.
2. `render`: one file a format, each reading the report alone.
3. `repairs`, and the suite itself (`checks/` and `fixtures/` at the top of the repository, `_suite/` in the wheel).
4. `plugin`, `suite`: run the checks with pytest, in-process, and make the report. `demo` plays an incident.
5. `cli`: parses, calls, renders, exits. Nobody imports it.

Importing this package costs milliseconds: the nouns below are fetched by name when first asked for, and neither
pytest nor rich nor torch comes with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sage_doctor.api import AdapterPlaces, resolve, resolve_adapter
    from sage_doctor.errors import ModelNotFound
    from sage_doctor.report import CheckResult, Finding, Fix, Measurement, Report

__version__ = "0.2.0"

__all__ = [
    "AdapterPlaces",
    "CheckResult",
    "Finding",
    "Fix",
    "Measurement",
    "ModelNotFound",
    "Report",
    "__version__",
    "resolve",
    "resolve_adapter",
]

_HOME = {
    "CheckResult": "sage_doctor.report",
    "Finding": "sage_doctor.report",
    "Fix": "sage_doctor.report",
    "Measurement": "sage_doctor.report",
    "ModelNotFound": "sage_doctor.errors",
    "Report": "sage_doctor.report",
    "AdapterPlaces": "sage_doctor.api",
    "resolve": "sage_doctor.api",
    "resolve_adapter": "sage_doctor.api",
}


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in when the name is first used (PEP 562)."""
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    from importlib import import_module  # noqa: PLC0415 - only paid for by those who ask

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    """Return the public names, whether or not they were fetched yet."""
    return sorted(__all__)
