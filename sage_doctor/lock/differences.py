"""How two states of a model differ, in words: weights, dtype, base, origin, or a file beside the weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from sage_doctor.lock.entry import LockedModel, describe_file, holds_weights
from sage_doctor.system.frozen import frozen
from sage_doctor.text import printable

# What a difference is of: the model's own numbers, those of an adapter's base, where it comes from, or the small files
# beside the weights.
Of = Literal["weights", "base", "origin", "files"]


@frozen
class Difference:
    """One difference. `files` are the names it concerns."""

    of: Of
    words: str
    files: tuple[str, ...] = ()


@frozen
class Sides:
    """What the two states are called: `locked` and `here`, or the names of two files."""

    old: str = "locked"
    new: str = "here"


def changes_between(old: LockedModel, new: LockedModel, sides: Sides | None = None) -> list[Difference]:
    """Return how `new` differs from `old`, what matters most first; empty where they are the same."""
    return list(_changes(old, new, sides or Sides()))


def _changes(old: LockedModel, new: LockedModel, sides: Sides) -> Iterator[Difference]:
    if old.kind != new.kind:
        yield Difference(of="origin", words=f"its kind is {old.kind} {_pair(sides, new.kind)}")
    yield from _origin(old, new, sides)
    if old.weights != new.weights or old.weight_files.keys() != new.weight_files.keys():
        yield _weights(old, new, sides)
    for name in sorted({*old.files, *new.files}):
        if not holds_weights(name) and (change := _file(name, old, new, sides)) is not None:
            yield change


def _pair(sides: Sides, new: object) -> str:
    return f"({sides.old}), {printable(str(new), limit=200)} ({sides.new})"


def _origin(old: LockedModel, new: LockedModel, sides: Sides) -> Iterator[Difference]:
    if old.base is not None and new.base is not None:
        if old.base.declared != new.base.declared:
            first = printable(old.base.declared or "nothing", limit=200)
            words = f"base_model_name_or_path is {first} {_pair(sides, new.base.declared or 'nothing')}"
            yield Difference(of="origin", words=words)
        if old.base.weights and new.base.weights and old.base.weights != new.base.weights:
            named = f" ({printable(new.base.model, limit=80)})" if new.base.model else ""
            words = f"the base it is loaded onto{named} has other weights: sessions get another model"
            yield Difference(of="base", words=words)
        elif old.base.model != new.base.model:
            first = printable(old.base.model or "no model of the manifest", limit=80)
            words = f"it is loaded onto {first} {_pair(sides, new.base.model or 'no model of the manifest')}"
            yield Difference(of="origin", words=words)
    if old.merge is not None and new.merge is not None:
        for part in ("base", "adapter"):
            first, second = getattr(old.merge, f"{part}_weights"), getattr(new.merge, f"{part}_weights")
            if first and second and first != second:
                yield Difference(of="origin", words=f"it was merged from another {part}: that one's weights differ")
    if old.repository != new.repository:
        first = printable(old.repository or "a directory", limit=200)
        yield Difference(of="origin", words=f"it comes from {first} {_pair(sides, new.repository or 'a directory')}")
    elif old.commit != new.commit:
        words = f"it is another commit of the repository: {old.commit} {_pair(sides, new.commit)}"
        yield Difference(of="origin", words=words)


def _weights(old: LockedModel, new: LockedModel, sides: Sides) -> Difference:
    names = sorted(
        n for n in {*old.weight_files, *new.weight_files} if old.weight_files.get(n) != new.weight_files.get(n)
    )
    return Difference(of="weights", words=_weights_words(old, new, sides, names), files=tuple(names))


def _weights_words(old: LockedModel, new: LockedModel, sides: Sides, names: list[str]) -> str:
    if not new.weight_files or not old.weight_files:
        return f"it has no weights {sides.new if not new.weight_files else sides.old}"
    if old.weights == new.weights:
        return f"the same weights in files of other names ({_files(old)} {sides.old}, {_files(new)} {sides.new})"
    first, second = old.tensors, new.tensors
    shown = _one_file(old, new, names, sides)
    if first is None or second is None:
        return f"other weights{shown}"
    if first.header == second.header:
        if len(old.weight_files) != len(new.weight_files):
            return (
                f"the same tensors split into other files ({_files(old)} {sides.old}, {_files(new)} {sides.new}); "
                "whether the numbers are the same cannot be told without comparing them"
            )
        return (
            "the same tensors, alike in names, types and shapes, with other numbers: trained again, built on another "
            f"base, or damaged{shown}"
        )
    if first.shapes == second.shapes:
        return f"the same tensors stored in another type: {first.dtypes} {_pair(sides, second.dtypes)}: converted"
    if first.count != second.count:
        return f"other tensors: {first.count:,} {_pair(sides, f'{second.count:,}')}: another architecture or revision"
    return f"tensors of other names or shapes, {first.count:,} on either side: another architecture or vocabulary"


def _files(model: LockedModel) -> str:
    count = len(model.weight_files)
    return f"{count} file{'' if count == 1 else 's'}"


def _one_file(old: LockedModel, new: LockedModel, names: list[str], sides: Sides) -> str:
    """Return what the first differing file was and is, in brackets."""
    name = names[0]
    before, now = old.files.get(name), new.files.get(name)
    was = describe_file(before) if before is not None else "not there"
    is_now = describe_file(now) if now is not None else "not there"
    return f" ({printable(name, limit=120)}: {was} {sides.old}; {is_now} {sides.new})"


def _file(name: str, old: LockedModel, new: LockedModel, sides: Sides) -> Difference | None:
    before, now = old.files.get(name), new.files.get(name)
    if before == now:
        return None
    shown = printable(name, limit=120)
    if before is None:
        return Difference(of="files", words=f"{shown}: absent ({sides.old}), present ({sides.new})", files=(name,))
    if now is None:
        return Difference(of="files", words=f"{shown}: present ({sides.old}), absent ({sides.new})", files=(name,))
    words = f"{shown} differs: {describe_file(before)} {sides.old}; {describe_file(now)} {sides.new}"
    return Difference(of="files", words=words, files=(name,))
