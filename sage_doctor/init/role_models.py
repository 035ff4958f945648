"""The models that roles need, by what their scripts load: what the code leaves no doubt about, and candidates.

`NamedPlaces` says where the paths and names in code lead on this machine, as a manifest for all machines has them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sage_doctor.init.models import can_be_written, kind_at
from sage_doctor.init.names import free, identifying_tail, is_distinctive, name_of, named_after
from sage_doctor.init.roles import MOST_CANDIDATES, Launcher, RoleFound
from sage_doctor.launchers.uses import ModelUse
from sage_doctor.manifest.specs import ModelPath
from sage_doctor.readers.repo_id import is_repo_id
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model, ModelKind
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path

_HOME: Final = re.compile(r"(?:/home|/Users)/[^/]+/(?P<rest>.+)")


@dataclass(kw_only=True)
class NamedModels:
    """All models by name, and those that code names added to them. `taken` are names that no new model may have.

    `loaded_onto` gives an adapter's name → the base that a script loads it onto, and that script.
    """

    models: dict[str, Model]
    host: Host
    places: NamedPlaces
    taken: Collection[str] = ()
    loaded_onto: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, name: str, kind: ModelKind, reference: ModelPath) -> None:
        """Add a model without an entry in the manifest."""
        self.models[name] = Model(
            name=name, kind=kind, host=self.host, reference=reference, required=False, siblings=self.models
        )

    def name_at(self, reference: ModelPath, *, adapter: bool) -> str:
        """Return the name of the model at a place, adding it if it has none yet."""
        for name, model in self.models.items():
            same = model.reference.hub == reference.hub if reference.hub else False
            if same or (reference.path and model.reference.path and _is_same(model.reference.path, reference.path)):
                return name
        called = self._called_so(reference.path) if reference.path is not None else []
        if len(called) == 1:
            return called[0]
        if reference.hub is not None:
            wanted, kind = name_of(reference.hub.rpartition("/")[2]), "full"
        else:
            assert reference.path is not None  # a reference is one or the other
            wanted, kind = named_after(reference.path), kind_at(reference.path)
        name = free(wanted, [*self.models, *self.taken])
        here = reference.path is not None and reference.path.is_dir()
        self.add(name, "adapter" if adapter and not here else kind, reference)  # type: ignore[arg-type]
        return name

    def _called_so(self, path: Path) -> list[str]:
        """Return the models whose directories have the same telling name, for a path that does not exist here."""
        tail = identifying_tail(path)
        if path.is_dir() or not is_distinctive(tail[0]):
            return []
        return [n for n, m in self.models.items() if m.reference.path and identifying_tail(m.reference.path) == tail]

    def models_of(self, role: RoleFound) -> RoleFound:
        """Return the role with the models that its scripts load."""
        uses = [(u, launcher) for launcher in role.launchers for u in launcher.uses]
        uses.sort(key=lambda pair: pair[0].adapter)  # what is loaded both ways is a whole model
        certain = dict.fromkeys(n for u, x in uses if u.known and len(u.texts) == 1 for n in self._named(u, x))
        bases = {self.loaded_onto[n][0] for n in certain if n in self.loaded_onto}
        models = tuple(n for n in certain if n not in bases)
        maybe = dict.fromkeys(n for u, x in uses if not models for n in self._named(u, x, here=True))
        return replace(role, models=models, candidates=tuple(maybe)[:MOST_CANDIDATES])

    def _named(self, use: ModelUse, launcher: Launcher, *, here: bool = False) -> list[str]:
        """Return the models of a use; with `here` only those that exist on this machine."""
        found = []
        for text in use.texts:
            place = self.places.place(text, launcher.path)
            if place is None or (here and not self._exists(place)):
                continue
            name = self.name_at(place, adapter=use.adapter)
            found.append(name)
            base = self.places.place(use.bases[0], launcher.path) if len(use.bases) == 1 else None
            if base is not None and self.models[name].kind == "adapter":
                self.loaded_onto[name] = (self.name_at(base, adapter=False), launcher.path.name)
        return found

    def _exists(self, place: ModelPath) -> bool:
        return place.hub in self.places.cached if place.path is None else place.path.is_dir()


def _is_same(one: Path, other: Path) -> bool:
    return one == other or os.path.realpath(one) == os.path.realpath(other)


@frozen
class NamedPlaces:
    """Reads a text as `from_pretrained` does. `directory` is the manifest's; `cached` are the repositories here."""

    directory: Path
    home: Path
    cached: Collection[str] = ()

    def place(self, text: str, script: Path) -> ModelPath | None:
        """Return the model that a script names by a text; None if the text does not tell.

        A path of another machine is taken for the same path below the checkout, or below the home, of this one.
        """
        if "\0" in text or "\n" in text or not can_be_written(text):
            return None
        if text.startswith("~/"):
            return self._at(self.home / text[2:])
        if text.startswith("/"):
            return self._at(self._here(Path(os.path.normpath(text))))
        # Sessions start in the script's directory or in one above it, such as its repository's.
        above = [p for p in script.parents if p.is_relative_to(self.directory)]
        for start in (self.directory, script.parent, *above):
            if inspect_path(start / text).kind == "directory":
                return self._at(Path(os.path.normpath(start / text)))
        if is_repo_id(text) and not text.startswith(".") and ("/" in text or text in self.cached):
            return ModelPath(text=f"hf:{text}", hub=text)
        return None

    def _at(self, path: Path) -> ModelPath:
        return ModelPath(text=str(path), path=path)

    def _here(self, path: Path) -> Path:
        match = _HOME.match(str(path))
        if match is None or path.is_relative_to(self.home) or inspect_path(path).kind != "missing":
            return path
        rest = Path(match["rest"]).parts
        if self.directory.name in rest[:-1]:
            last = len(rest) - 1 - rest[::-1].index(self.directory.name)
            return self.directory.joinpath(*rest[last + 1 :]) if last + 1 < len(rest) else path
        for start in range(len(rest) - 1):
            if inspect_path(self.directory.joinpath(*rest[start:])).kind == "directory":
                return self.directory.joinpath(*rest[start:])
        return self.home.joinpath(*rest)
