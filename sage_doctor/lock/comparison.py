"""The models of this machine compared with a lock: the same, changed, new, absent, broken or unreadable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from sage_doctor.lock import LOCK_NAME
from sage_doctor.lock.differences import Difference, changes_between
from sage_doctor.lock.entry import LockedModel
from sage_doctor.lock.parse import read_lock
from sage_doctor.lock.record import record_models
from sage_doctor.subjects.completeness import why_not_whole
from sage_doctor.subjects.model import Model
from sage_doctor.system.activity import OnProgress, ignore
from sage_doctor.system.frozen import frozen
from sage_doctor.system.mounts import why_not_written
from sage_doctor.system.path_info import UnreadableFile
from sage_doctor.text import printable

DriftState = Literal["same", "changed", "new", "absent", "broken", "unreadable"]


@frozen
class Comparison:
    """One model. `now` is what it is here, None if that is unknown; `why` says why, or what is wrong.

    `new` is not in the lock, `absent` is not on this machine, `broken` is here and not whole,
    `unreadable` cannot be compared, or its base cannot.
    """

    name: str
    state: DriftState
    now: LockedModel | None = None
    changes: tuple[Difference, ...] = ()
    why: str = ""


def entry_of(model: Model) -> LockedModel | None:
    """Return what the lock beside the manifest says of a model, None where it says nothing. Raises `LockError`."""
    manifest = model.host.manifest
    if manifest is None or model.spec is None:
        return None
    return (read_lock(manifest.directory / LOCK_NAME) or {}).get(model.name)


def compare(
    models: Iterable[Model],
    locked: Mapping[str, LockedModel],
    *,
    cache: Path | None,
    on_progress: OnProgress = ignore,
) -> list[Comparison]:
    """Return how each model stands to its entry, by name. Reads every file; loads nothing."""
    found: dict[str, Comparison] = {}
    whole = []
    for model in models:
        why = why_not_whole(model)  # a lock of a broken model would lock the fault
        if not why:
            whole.append(model)
        else:
            # A model whose disk is not mounted is not gone: nothing is known of it, and its entry is kept.
            state: DriftState = "broken" if model.found else "unreadable" if why_not_written(model.path) else "absent"
            found[model.name] = Comparison(name=model.name, state=state, why=printable(why, limit=500))
    for name, now in record_models(whole, cache=cache, on_progress=on_progress).items():
        found[name] = _comparison(name, locked, now)
    return [found[name] for name in sorted(found)]


def _comparison(name: str, locked: Mapping[str, LockedModel], now: LockedModel | UnreadableFile) -> Comparison:
    if isinstance(now, UnreadableFile):
        return Comparison(name=name, state="unreadable", why=f"a file could not be read: {now}")
    old = locked.get(name)
    if old is None:
        return Comparison(name=name, state="new", now=now)
    unseen = _base_is_unseen(old, now)
    if unseen:
        now = replace(now, base=old.base)  # what the lock knows of it is not forgotten
    changes = tuple(changes_between(_for_itself(old, now, locked), now))
    if unseen and not changes and (old.base is None or old.base.model not in locked):
        return Comparison(name=name, state="unreadable", now=now, why="its base is not here, and cannot be compared")
    return Comparison(name=name, state="changed" if changes else "same", now=now, changes=changes)


def _base_is_unseen(old: LockedModel, now: LockedModel) -> bool:
    """Return whether the lock knows the weights of an adapter's base, and they cannot be read here."""
    if old.base is None or now.base is None or old.base.declared != now.base.declared:
        return False
    return old.base.weights is not None and now.base.weights is None


def _for_itself(old: LockedModel, now: LockedModel, locked: Mapping[str, LockedModel]) -> LockedModel:
    """Return the entry without its base's weights, where the base has an entry of its own that will tell."""
    if old.base is None or now.base is None or now.base.model not in locked or now.base.model != old.base.model:
        return old
    return replace(old, base=replace(old.base, weights=now.base.weights))
