"""The list of what each layer is, against the number of layers: transformers refuses one of another length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sage_doctor.facts.model_source import config_source
from sage_doctor.readers.python_source import source_text


def layer_type_faults(site_packages: tuple[Path, ...], config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each part of a config whose `layer_types` the session's transformers refuses to load.

    Since 5 every configuration compares them; before, those whose class asks for it (`layer_type_validation`). A
    class that cuts the list to its layers takes any length, so nothing is said of one that slices it.
    """
    for name in ("", *(k for k, v in config.items() if isinstance(v, Mapping))):
        part: Mapping[str, Any] = config[name] if name else config
        kind, types, layers = part.get("model_type"), part.get("layer_types"), part.get("num_hidden_layers")
        if not isinstance(kind, str) or not isinstance(types, list) or type(layers) is not int:
            continue
        source, where = config_source(site_packages, kind), f"{name}." if name else ""
        if not source or not _compared(site_packages, source):
            continue
        odd = [t for t in _unknown(site_packages, types) if f'"{t}"' not in source]
        if odd:
            yield f"{where}layer_types names {odd[0]!r}, which is no type of layer that it has"
        elif "types[:" not in source and len(types) != layers:
            yield f"{where}layer_types names {len(types)} layers, and {where}num_hidden_layers is {layers}"


def _unknown(site_packages: Sequence[Path], types: Sequence[object]) -> list[str]:
    """Return the types that appear nowhere in the file that lists them, and renames those of earlier releases."""
    text = "".join(source_text(p / "transformers/configuration_utils.py") for p in site_packages)
    return [t for t in types if isinstance(t, str) and f'"{t}"' not in text] if "LAYER_TYPES = (" in text else []


def _compared(site_packages: tuple[Path, ...], source: str) -> bool:
    shared = [source_text(p / "transformers/configuration_utils.py") for p in site_packages]
    return "layer_type_validation(self.layer_types" in source or any("def validate_layer_type(" in t for t in shared)
