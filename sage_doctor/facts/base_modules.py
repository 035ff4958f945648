"""The modules of a base checkpoint, as headers name them, and whether one that an adapter names is surely none of them.

A running module may have another name than its stored weight: files leave out or add an outer part (`model.`), and the
library renames some architectures while it loads (`library_source.renames_tensors`). Heads and tied layers need not be
stored at all. So only modules of numbered layers are judged, and of a renamed base only what no renaming can explain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property

from sage_doctor.readers.safetensors_header import Tensor

_NUMBER = re.compile(r"(?P<before>^|.*?\.)(?P<list>[^.\d][^.]*)\.(?P<number>\d{1,9})\.(?P<rest>.+)$")


class BaseModules:
    """The weight shapes of a base checkpoint by module path, joined to runtime module names by their ends.

    Files name modules with or without the model's outer prefix (`model.`, `transformer.`): a module joins where
    one path ends with the other at a dot and no second one does so equally well.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._names = tuple(tensors)
        self._shapes = {n.removesuffix(".weight"): t for n, t in tensors.items() if n.endswith(".weight")}
        self.leaves = frozenset(m.rpartition(".")[2] for m in self._shapes)

    @cached_property
    def parts(self) -> frozenset[str]:
        """Every part between two dots of a stored name."""
        return frozenset(part for name in self._names for part in name.split("."))

    @cached_property
    def _inner(self) -> dict[str, list[Tensor]]:
        """The weights by the name of their module without its outermost part."""
        found: dict[str, list[Tensor]] = {}
        for name, tensor in self._shapes.items():
            found.setdefault(name.partition(".")[2], []).append(tensor)
        return found

    @cached_property
    def _layers(self) -> dict[str, set[tuple[str, int]]]:
        """What stands before the first number and the number itself, by the rest with later numbers left out."""
        found: dict[str, set[tuple[str, int]]] = {}
        for name in self._names:
            split = _NUMBER.match(name)
            if split is None:
                continue
            rest = re.sub(r"(?<=\.)\d+(?=\.|$)", "*", "." + split["rest"])[1:]
            while rest:
                found.setdefault(f"{split['list']}.*.{rest}", set()).add((split["before"], int(split["number"])))
                rest = rest.rpartition(".")[0]
        return found

    def find(self, module: str) -> Tensor | None:
        """Return the base tensor of a module's weight, or None where no name or more than one joins."""
        exact = self._shapes.get(module)
        if exact is not None:
            return exact
        parts = module.split(".")
        for skipped in range(1, min(len(parts) - 1, 4)):
            shorter = self._shapes.get(".".join(parts[skipped:]))
            if shorter is not None:
                return shorter
        longer = self._inner.get(module, ())
        return longer[0] if len(longer) == 1 else None

    def is_outer(self, module: str) -> bool:
        """Return whether a module has the name of a stored weight but for an outer part that only the latter has."""
        return module not in self._shapes and module in self._inner

    def beyond(self, module: str) -> int | None:
        """Return how many layers the base has, where a module lies in one behind the last; None where it does not."""
        split, like = self._like(module)
        numbers = {number for _, number in like}
        return max(numbers) + 1 if split is not None and numbers and int(split["number"]) > max(numbers) else None

    def example(self, module: str) -> str | None:
        """Return a stored module whose name differs from this one's in its outer part only, if there is one."""
        split, like = self._like(module)
        if split is None or not like:
            return None
        before, number = min(like, key=lambda place: (place[1] != int(split["number"]), place))
        return f"{before}{split['list']}.{number}.{split['rest']}"

    def surely_lacks(self, module: str, *, renamed: bool | None, renamings: str = "", most_layers: int = 0) -> bool:
        """Return whether no module of the base can be this one.

        `renamed` says whether the library renames what this base stores, None where that is unknown. `renamings` is
        the text of its renamings: a name that stands there may be the new one of any stored tensor. `most_layers` is
        the largest number of layers that the base's config states.
        """
        split, like = self._like(module)
        if split is None:
            return False
        if self.beyond(module) is not None and (renamed is False or 0 < most_layers <= int(split["number"])):
            return True
        if renamed is False:
            return not any(n == int(split["number"]) and _joins(before, split["before"]) for before, n in like)
        leaf = next((p for p in reversed(module.split(".")) if not p.isdigit()), "")
        return leaf not in self.parts and not re.search(rf"\b{re.escape(leaf)}\b", renamings)

    def _like(self, module: str) -> tuple[re.Match[str] | None, Iterable[tuple[str, int]]]:
        """Return a module's name taken apart, and the layers in which the base stores one of the same name."""
        split = _NUMBER.match(module)
        if split is None:
            return None, ()
        rest = re.sub(r"(?<=\.)\d+(?=\.|$)", "*", "." + split["rest"])[1:]
        return split, self._layers.get(f"{split['list']}.*.{rest}", ())


def _joins(one: str, other: str) -> bool:
    """Whether one outer part of a name ends with the other."""
    return f".{one}".endswith(f".{other}") or f".{other}".endswith(f".{one}")
