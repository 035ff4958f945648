"""The models against `sage-doctor.lock`: whether each is still what it was when it was last known to be right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sage_doctor.check import Finding, Fix, Notes, check, finding
from sage_doctor.errors import DoctorError, NotApplicable
from sage_doctor.findings.restore import bring_back
from sage_doctor.lock import LOCK_NAME
from sage_doctor.subjects.model import Model
from sage_doctor.text import join_limited, shell_quote

if TYPE_CHECKING:
    from sage_doctor.lock.differences import Difference
    from sage_doctor.lock.entry import LockedModel

ORDER = 150  # of the check files: causes before consequences


@check("integrity", after=["*"])
def check_lock(model: Model, notes: Notes) -> Iterator[Finding]:
    """The model is the one that sage-doctor.lock records."""
    manifest = model.host.manifest
    if manifest is None or model.spec is None:
        raise NotApplicable("it is not a model of a manifest")
    from sage_doctor.lock.comparison import compare
    from sage_doctor.lock.parse import read_lock

    locked = read_lock(manifest.directory / LOCK_NAME)
    if locked is None:
        raise NotApplicable(f"there is no {LOCK_NAME} beside the manifest")
    old = locked.get(model.name)
    if old is None:
        raise NotApplicable(f"{LOCK_NAME} does not have it")
    (found,) = compare([model], locked, cache=model.host.hash_cache, on_progress=notes.progress)
    if found.now is None:
        raise DoctorError(f"it could not be compared with {LOCK_NAME}: {found.why}")
    own = [c for c in found.changes if c.of == "weights"]
    base = [c for c in found.changes if c.of == "base"]
    rest = [c for c in found.changes if c.of in ("origin", "files")]
    if own:
        yield _drift("weights-drift", model, old, found.now, [*own, *base, *rest])
    elif base:
        yield _drift("base-drift", model, old, found.now, [*base, *rest])
    elif rest:
        yield _drift("config-drift", model, old, found.now, rest)


def _drift(code: str, model: Model, old: LockedModel, now: LockedModel, changes: Sequence[Difference]) -> Finding:
    more = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
    names = [n for c in changes for n in c.files]
    what = "Restore what changed" if not names else f"Restore {join_limited(names, most=3)}"
    meant = f"If the change is intended, run `sage-doctor lock {shell_quote(model.name)}` and commit the result."
    fix = bring_back(model, names) if code == "weights-drift" else Fix(summary=f"{what} from a good copy.")
    return finding(
        code,
        f"differs from the lock: {changes[0].words}{more}",
        evidence={
            "changes": [c.words for c in changes[:50]],
            "files": names[:50],
            "locked": {n: old.files[n].sha256 for n in names[:50] if n in old.files},
            "here": {n: now.files[n].sha256 for n in names[:50] if n in now.files},
        },
        fix=Fix(
            summary=f"{fix.summary} {meant}",
            # No repair: whether the change was meant is for a person to say.
            commands=(f"sage-doctor lock --check {shell_quote(model.name)}", *_by_hand(fix)),
        ),
    )


def _by_hand(fix: Fix) -> list[str]:
    return [c for c in fix.commands if not c.startswith("sage-doctor fix")]
