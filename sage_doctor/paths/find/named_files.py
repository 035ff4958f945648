"""The configuration files that a script names: a run reads them, so the paths in them count as its own."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sage_doctor.paths.find.line_text import CONFIGURATION, text_usage
from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.reference import Language, Script
from sage_doctor.system.path_info import inspect_path

_MOST = 20
_NAME = re.compile(
    rb"[\"'\s=]((?:[\w.-]+/)*[\w.-]+\.(?:ya?ml|json|toml|ini|cfg|conf|env)|(?:[\w.-]+/)*\.env)(?=[\"'\s;)]|$)"
)
# What programs write, and what describes a model: nothing in them is a path that a run opens.
_NO_CONFIGURATION = re.compile(
    r"result|report|output|log|state|session|history|metric|cache|lock|index|tokenizer|vocab"
)


def configuration_names(raw: bytes, language: Language) -> tuple[str, ...]:
    """Return the relative names of configuration files in a Python or shell script, without those in comments."""
    if language not in ("python", "shell"):
        return ()
    found: dict[str, None] = {}
    for line in raw.split(b"\n"):
        if b"." in line and not line.lstrip().startswith(b"#"):
            found.update((m[1].decode("utf-8", "replace"), None) for m in _NAME.finditer(line))
    return tuple(found)[:_MOST]


def configuration_places(script: Script, directory: Path) -> list[Path]:
    """Return where the configuration files that a script names by relative names would lie."""
    return [start / name for name in script.configurations for start in (script.path.parent, directory)]


def named_configurations(script: Script, directory: Path, path_map: PathMap) -> list[Path]:
    """Return the configuration files below `directory` that a script names, from its own place or from `directory`.

    One that it names by another machine's path counts where it is found here.
    """
    found: dict[Path, None] = {}
    absolute = [path_map.classify(r.text).target or Path(r.text) for r in script.references if r.used]
    for path in (Path(os.path.normpath(p)) for p in [*absolute, *configuration_places(script, directory)]):
        wanted = path.suffix.lower() in CONFIGURATION or path.name == ".env"
        if not wanted or _NO_CONFIGURATION.search(path.name.lower()) or not path.is_relative_to(directory):
            continue
        if (
            path.name != "sage-doctor.toml"
            and inspect_path(path).kind == "file"
            and text_usage(path, directory) == "use"
        ):
            found[path] = None
    return list(found)[:_MOST]
