"""Rotary positions as config.json states them, against what the session's transformers asks of each type."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sage_doctor.facts.model_source import config_source, model_source
from sage_doctor.readers.python_source import source_text
from sage_doctor.text import printable

_ORIGINAL = "original_max_position_embeddings"


def rope_faults(site_packages: tuple[Path, ...], config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each setting of rotary positions that the session's transformers refuses.

    Says nothing of an architecture whose source does not take them from the library's table.
    """
    text = config.get("text_config")
    source: Mapping[str, Any] = text if isinstance(text, Mapping) else config
    kind = source.get("model_type")
    fields = [f for f in ("rope_scaling", "rope_parameters") if isinstance(source.get(f), (Mapping, str))]
    texts = [f for f in (*fields, "rope_theta") if isinstance(source.get(f), str)]
    types, required, filled = _table(site_packages) if fields or texts else (frozenset(), {}, frozenset())
    if not types or not isinstance(kind, str) or "ROPE_INIT_FUNCTIONS[" not in model_source(site_packages, kind):
        return
    yield from (f"{f} is {source[f]!r:.60}, and no text is expected" for f in texts)
    field = next((f for f in fields if f not in texts), None)
    if field is None:
        return
    own = config_source(site_packages, kind)
    value = source[field]
    layers = [v for v in value.values() if isinstance(v, Mapping)]
    for one in layers or [value]:
        name = one.get("rope_type", one.get("type", "default"))
        if not isinstance(name, str):
            yield f"{field}: the type is {printable(str(name), limit=40)!r}, where a name is expected"
            continue
        shown = printable(name, limit=40)
        meant, given = name, {k for k, v in one.items() if v is not None}
        given |= {_ORIGINAL} if name in filled or (source.get(_ORIGINAL) is not None and name in types) else set()
        if name not in types and name != "default":
            alias = _alias(own, name)
            if alias is None and re.search(rf"""["']{re.escape(name)}["']""", own):
                continue  # the class treats it by itself
            if alias is None:
                yield (
                    f"{field} asks for rotary positions of the type {shown!r}, which the session's transformers does "
                    f"not have (it has {', '.join(sorted(types))})"
                )
                continue
            meant = alias
        lacking = sorted(required.get(meant, frozenset()) - given - {"rope_type", "type", "rope_theta"})
        if lacking:
            yield f"{field} of the type {shown!r} lacks {', '.join(lacking)}"
        numbers = (required.get(meant, frozenset()) | {"rope_theta"}) - {"rope_type", "type"}
        texts = sorted(k for k in numbers if isinstance(one.get(k), str))
        if texts:
            yield f"{field}: {texts[0]} is {one[texts[0]]!r:.60}, where a number is expected"


def ignored_before_5(site_packages: tuple[Path, ...], part: Mapping[str, Any]) -> tuple[str, Any] | None:
    """Return what a transformers before 5 does instead of what `rope_parameters` ask for, and their base; or None."""
    rope, kind = part.get("rope_parameters"), part.get("model_type")
    source = config_source(site_packages, kind) if isinstance(kind, str) else ""
    if not isinstance(rope, Mapping):
        return None
    theta, scaling = rope.get("rope_theta"), rope.get("rope_type")
    default = re.search(r"\brope_theta(?:\s*:[^=,]+)?\s*=\s*([\d.e_+]+)", source)
    if default and "rope_theta" not in part and type(theta) in (int, float) and theta != float(default[1]):
        return f"with the base {float(default[1]):g} instead of {theta:g}", theta
    if isinstance(scaling, str) and scaling != "default" and "rope_scaling" not in part and "rope_scaling" in source:
        return f"without their scaling ({printable(scaling, limit=40)})", theta
    return None


def _alias(source: str, name: str) -> str | None:
    """Return the type that a configuration puts in place of one of an older name, or None."""
    quoted = rf"""["']{re.escape(name)}["']"""
    put = r"""\[["'](?:rope_)?type["']\]\s*=\s*["'](\w+)["']"""
    found = re.search(rf"{quoted}.*?{put}", source, re.DOTALL)
    return found[1] if found else None


@functools.cache
def _table(site_packages: tuple[Path, ...]) -> tuple[frozenset[str], Mapping[str, frozenset[str]], frozenset[str]]:
    """Return the types, what each requires, and those whose original length is taken from the model's own."""
    text = ""
    for site_dir in site_packages:
        text = text or source_text(site_dir / "transformers/modeling_rope_utils.py")
    table = re.search(r"^ROPE_INIT_FUNCTIONS\b[^{]*\{([^}]*)\}", text, re.MULTILINE)
    types = frozenset(re.findall(r"""["'](\w+)["']\s*:""", table[1])) if table else frozenset()
    checks = re.findall(
        r"def _validate_(\w+?)(?:_rope|_scaling)*_parameters\(.*?required_keys = \{([^}]*)\}", text, re.DOTALL
    )
    required = {name: frozenset(re.findall(r"""["'](\w+)["']""", keys)) for name, keys in checks}
    lists = re.search(r"""\["rope_type"\] in \[([^\]]*)\]:\s*\n\s+if hasattr""", text)
    filled = frozenset(re.findall(r"""["'](\w+)["']""", lists[1])) if lists else frozenset()
    return types, required, filled
