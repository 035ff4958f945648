"""The list of what each layer is, against the number of layers: transformers refuses one of another length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sage_doctor.facts.model_source import config_source
from sage_doctor.readers.python_source import source_text


def layer_type_faults(site_packages: tuple[Path, ...], config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each part of a config whose `layer_types` the session's transformers refuses to load.

    Since 5 every configuration compares the two; before, those whose class asks for it (`layer_type_validation`). A
    class that cuts the list to its layers takes any length, so nothing is said of one that slices it.
    """
    for name in ("", *(k for k, v in config.items() if isinstance(v, Mapping))):
        part: Mapping[str, Any] = config[name] if name else config
        kind, types, layers = part.get("model_type"), part.get("layer_types"), part.get("num_hidden_layers")
        if not isinstance(kind, str) or not isinstance(types, list) or type(layers) is not int or len(types) == layers:
            continue
        source = config_source(site_packages, kind)
        if source and "types[:" not in source and _compared(site_packages, source):
            where = f"{name}." if name else ""
            yield f"{where}layer_types names {len(types)} layers, and {where}num_hidden_layers is {layers}"


def _compared(site_packages: tuple[Path, ...], source: str) -> bool:
    shared = [source_text(p / "transformers/configuration_utils.py") for p in site_packages]
    return "layer_type_validation(self.layer_types" in source or any("def validate_layer_type(" in t for t in shared)
