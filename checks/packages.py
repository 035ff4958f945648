"""The packages of the sessions' interpreter, as far as their metadata tells: nothing of them is imported."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.check import Finding, check
from sage_doctor.errors import Blocked, NotApplicable
from sage_doctor.facts.packages import InterpreterFacts
from sage_doctor.findings.packages import config_is_newer, conflicts, lacking, taken_by_files, unmet
from sage_doctor.readers.versions import Needed
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model
from sage_doctor.text import printable

ORDER = 120  # of the check files: causes before consequences

LOCATED = ("check_path", "check_hub", "check_hub_blobs")


@check("static")
def check_requirements(host: Host) -> Iterator[Finding]:
    """The sessions' interpreter has the packages that the manifest requires."""
    required = host.manifest.requires if host.manifest is not None else ()
    if not required:
        raise NotApplicable("the manifest requires no packages")
    yield from unmet(_listed(host), required, "the manifest")


@check("static")
def check_packages_agree(host: Host) -> Iterator[Finding]:
    """The installed packages go together."""
    yield from conflicts(_listed(host))


@check("static", after=LOCATED)
def check_model_packages(model: Model, host: Host) -> Iterator[Finding]:
    """The sessions' interpreter has what this model's table and its files need."""
    session = _listed(host)
    if session.version_of("transformers") is None:
        raise NotApplicable("the sessions' interpreter has no transformers")
    if model.spec is not None:
        yield from unmet(session, model.spec.requires, f"the manifest's table of {printable(model.name, limit=60)}")
    base = model.base.model if model.kind == "adapter" else None
    of_base = taken_by_files(base) if base is not None and model.siblings.get(base.name) is not base else ()
    for what, alternatives in (*taken_by_files(model), *((f"its base: {w}", a) for w, a in of_base)):
        if all(session.version_of(name) is None for name in alternatives):
            needed = Needed(name=alternatives[0], versions="", marker="")
            yield lacking(session, needed, what, alternatives=alternatives)


@check("static", after=(*LOCATED, "check_weights_present", "check_config"), kinds=("full", "merged"))
def check_config_understood(model: Model) -> Iterator[Finding]:
    """The session's transformers reads what config.json says."""
    found = config_is_newer(model)
    if found is not None:
        yield found


def _listed(host: Host) -> InterpreterFacts:
    session = host.session
    if session.problem in ("missing", "not-executable", "not-python"):
        raise Blocked("interpreter-missing")
    if session.problem is not None:
        raise NotApplicable("the sessions' interpreter did not list its packages")
    return session
