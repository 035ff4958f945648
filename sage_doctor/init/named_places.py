"""Where the paths and names that code loads models by lead on this machine, as a manifest for all machines has them."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sage_doctor.init.models import can_be_written
from sage_doctor.manifest.specs import ModelPath
from sage_doctor.readers.repo_id import is_repo_id
from sage_doctor.system.path_info import inspect_path

_HOME: Final = re.compile(r"(?:/home|/Users)/[^/]+/(?P<rest>.+)")


@dataclass(frozen=True, kw_only=True)
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
        for start in (self.directory, script.parent):
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
