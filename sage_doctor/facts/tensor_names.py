"""Names that a training wrapper left in a checkpoint: what wrapped it, and what the names are without it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterable, Mapping

from sage_doctor.facts.model_source import ModelClass
from sage_doctor.system.frozen import frozen

# Modules that torch.compile, FSDP, activation checkpointing and Lightning Fabric put between others. No model of
# transformers has a part of such a name.
_WRAPPERS: Mapping[str, str] = {
    "_orig_mod": "torch.compile",
    "_fsdp_wrapped_module": "FSDP",
    "_fpw_module": "FSDP",
    "_checkpoint_wrapped_module": "activation checkpointing",
    "_forward_module": "Lightning Fabric",
}
_PEFT = ("base_layer", "original_module", "modules_to_save")
_PLAIN = re.compile(r"[A-Za-z0-9_.]{1,80}")
_MOST_PARTS = 3


@frozen
class Wrapped:
    """Tensors that carry names no loader looks for. `strip` turns one into the name that it looks for.

    `everywhere` are components to take out, `front` is a prefix, `inner` a prefix that is put in place of another.
    `tool` is what leaves such names, where that is known.
    """

    names: tuple[str, ...]
    everywhere: tuple[str, ...] = ()
    front: str = ""
    inner: tuple[str, str] | None = None
    tool: str = ""

    @property
    def seen(self) -> str:
        """What is too much, as it stands in the names."""
        inner = (self.inner[0],) if self.inner else ()
        return ", ".join([*(f"{c}." for c in self.everywhere), *((self.front,) if self.front else ()), *inner])

    def strip(self, name: str) -> str:
        """Return a tensor's name without it."""
        for part in self.everywhere:
            name = name.replace(f"{part}.", "")
        name = name.removeprefix(self.front)
        if self.inner and name.startswith(self.inner[0]):
            name = self.inner[1] + name[len(self.inner[0]) :]
        return name

    @property
    def expression(self) -> str:
        """The same as a Python expression of `k`."""
        text = "k" + "".join(f'.replace("{part}.", "")' for part in self.everywhere)
        text += f'.removeprefix("{self.front}")' if self.front else ""
        return text + (f'.replace("{self.inner[0]}", "{self.inner[1]}", 1)' if self.inner else "")


def saved_from_peft(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the names that only a model wrapped by PEFT has, and those of its LoRA matrices."""
    mine, matrices = [], []
    for name in names:
        parts = name.split(".")
        if any(p in _PEFT for p in parts) or name.startswith("base_model.model."):
            mine.append(name)
        if any(p.startswith(("lora_A", "lora_B", "lora_embedding_", "lora_magnitude")) for p in parts):
            matrices.append(name)
    return mine, matrices


def find_wrapped(
    names: Collection[str], known: ModelClass | None, renamings: Callable[[], str] = lambda: ""
) -> Wrapped | None:
    """Return what a wrapper left in these names, or None.

    A prefix whose maker is not known counts only where the source of the class is: it has no part of that name, and
    all tensors fit once the prefix is gone. `renamings` returns the source of what the library renames in such a model
    while it loads, empty where that is surely nothing.
    """
    everywhere = tuple(w for w in _WRAPPERS if any(w in name.split(".") for name in names))
    tool = _WRAPPERS[everywhere[0]] if everywhere else ""
    taken = Wrapped(names=(), everywhere=everywhere, tool=tool)
    bare = [taken.strip(n) for n in names]
    front, inner = _prefix(bare, known, renamings) if known is not None and known.parts else ("", None)
    found = Wrapped(names=(), everywhere=everywhere, front=front, inner=inner, tool=tool or _maker(front, inner))
    changed = [n for n in names if found.strip(n) != n]
    if not changed or all(found.strip(n) in names for n in changed):
        return None
    return Wrapped(names=tuple(changed), everywhere=everywhere, front=front, inner=inner, tool=found.tool)


def _maker(front: str, inner: tuple[str, str] | None) -> str:
    return "DataParallel, DistributedDataParallel or DeepSpeed" if "module." in (front, (inner or ("",))[0]) else ""


def _prefix(names: list[str], known: ModelClass, renamings: Callable[[], str]) -> tuple[str, tuple[str, str] | None]:
    base = f"{known.base_prefix}." if known.base_prefix else ""
    if base and "module" not in known.parts and any(n.startswith(f"{base}module.") for n in names):
        return "", (f"{base}module.", base)  # the inner model alone was wrapped
    odd = [n for n in names if not _fits(n, known)]
    if len(odd) * 2 <= len(names):
        return "", None
    parts = odd[0].split(".")
    # Behind the class's own prefix, names of earlier releases may follow, which the library renames.
    text = renamings()
    most = 1 if parts[0] in known.parts and text else min(_MOST_PARTS, len(parts) - 1)
    renamed = functools.cache(lambda part: re.search(rf"""["'][\^(]*{re.escape(part)}\b""", text) is not None)
    for length in range(1, most + 1):
        front = ".".join(parts[:length]) + "."
        mine = [n[len(front) :] for n in odd if n.startswith(front)]
        if len(mine) * 2 <= len(names):
            return "", None
        fits = [_fits(n, known) for n in mine]
        if front == base:  # twice: what is left begins with it once more
            sure = all(fits) and any(n.startswith(base) for n in mine)
        else:
            known_front = parts[0] != "module" and renamed(parts[0])
            sure = not known_front and all(f or renamed(n.split(".")[0]) for f, n in zip(fits, mine, strict=True))
        if sure and _PLAIN.fullmatch(front):
            within = base and front != base and front.startswith(base) and not any(n.startswith(base) for n in mine)
            return ("", (front, base)) if within else (front, None)
    return "", None


def _fits(name: str, known: ModelClass) -> bool:
    """Return whether a tensor may have this name: of the class, or of its base model with or without its prefix."""
    parts = name.split(".")
    if parts[0] == known.base_prefix and len(parts) > 1 and known.base_parts:
        return parts[1] in known.base_parts
    return parts[0] in known.parts
