"""A map from the names of runtime modules, which adapters use, to the names of stored tensors.

Most models store a tensor under its runtime name, with or without the outermost part. If that does not map every name,
the library's own conversion is used (`library_names`); if that is not one to one either, the merge is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sage_doctor.readers.safetensors_header import Tensor

SAME = "the same names"  # a rule: stored as they run
# What architectures call their body: the outermost part of names, which a headless checkpoint leaves out.
BODIES = ("model", "transformer", "gpt_neox", "backbone", "bert", "roberta", "decoder")


class NameMap:
    """A map from runtime names to stored names. `rule` says how they are mapped."""

    def __init__(self, stored: Mapping[str, Tensor], *, rule: str, rename: Callable[[str], str | None]) -> None:
        self._stored = stored
        self._rename = rename
        self.rule = rule

    def find(self, running: str) -> str | None:
        """Return the stored name of a running tensor, None where there is none."""
        name = self._rename(running)
        return name if name in self._stored else None


def join(stored: Mapping[str, Tensor], running: Iterable[str]) -> NameMap | None:
    """Return a map in which every name of `running` is found and no two lead to one tensor, or None.

    The rules are tried in order: names as they are; one outer part left out; one outer part put in front.
    """
    wanted = list(running)
    for rule, rename in _rules(stored):
        names = NameMap(stored, rule=rule, rename=rename)
        found = [names.find(n) for n in wanted]
        if all(found) and len(set(found)) == len(found):
            return names
    return None


def _rules(stored: Mapping[str, Tensor]) -> list[tuple[str, Callable[[str], str | None]]]:
    rules: list[tuple[str, Callable[[str], str | None]]] = [(SAME, lambda name: name)]
    for body in BODIES:
        prefix = f"{body}."
        # A headless checkpoint holds none of the outer names at all; a mixture of both is the library's to judge.
        if not any(n.startswith(prefix) for n in stored):
            rules.append((f"stored without '{prefix}'", lambda name, p=prefix: name.removeprefix(p)))  # type: ignore[misc]
        else:
            rules.append((f"stored with '{prefix}'", lambda name, p=prefix: _within(stored, name, p)))  # type: ignore[misc]
    return rules


def _within(stored: Mapping[str, Tensor], name: str, prefix: str) -> str:
    return name if name in stored else prefix + name
