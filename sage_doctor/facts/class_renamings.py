"""How a class of the session's transformers renames stored tensors, where PEFT does not rename an adapter's alike.

transformers lists what it renames by model type or by class. PEFT (0.21) asks for that of the model type alone, before
it converts an adapter: one trained before a class was rebuilt (Qwen2-VL's `model.layers`, now `model.language_model.
layers`) finds no place. Before transformers 5, PEFT converts nothing. Sources are read as text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path

from sage_doctor.facts.model_source import model_source
from sage_doctor.system.small_text import read_text

_MOST_BYTES = 4 * 1024 * 1024
_TEXT = r"""r?"((?:[^"\\]|\\.)*)\""""
_CALL = re.compile(
    rf"WeightRenaming\(\s*(?:source_patterns=)?{_TEXT},\s*(?:target_patterns=)?{_TEXT},?\s*\)", re.DOTALL
)
_PAIR = re.compile(rf"^ +{_TEXT}:\s*{_TEXT}", re.MULTILINE)

Renamings = tuple[tuple[re.Pattern[str], str], ...]


@functools.cache
def class_renamings(site_packages: tuple[Path, ...], model_type: str, name: str) -> Renamings:
    """Return the expressions and what they become, in order; empty where PEFT follows them, or one is not plain."""
    own = rf"^class {re.escape(name)}\(.*?^    _checkpoint_conversion_mapping = \{{\n(.*?)^    \}}"
    before_5 = re.search(own, _class_source(site_packages, model_type, name), re.DOTALL | re.MULTILINE)
    if before_5 is not None:
        return _compiled(_PAIR.findall(before_5[1]), before_5[1].count("\n"))
    text = "".join(read_text(p / "transformers/conversion_mapping.py", most=_MOST_BYTES) or "" for p in site_packages)
    if re.search(rf'^ +"{re.escape(model_type)}": ', text, re.MULTILINE):
        return ()
    other = re.search(rf'^    "{re.escape(name)}": "(\w+)",$', text, re.MULTILINE)
    listed = re.escape(other[1] if other is not None else name)
    block = re.search(rf'^        "{listed}": \[\n(.*?)^        \],$', text, re.DOTALL | re.MULTILINE)
    return _compiled(_CALL.findall(block[1]), len(re.findall(r"\b[A-Z]\w+\(", block[1]))) if block is not None else ()


def _class_source(site_packages: tuple[Path, ...], model_type: str, name: str) -> str:
    text = model_source(site_packages, model_type)
    start = text.find(f"\nclass {name}(")
    end = text.find("\nclass ", start + 1)
    return text[start + 1 : end if end > 0 else len(text)] if start >= 0 else ""


def _compiled(pairs: Sequence[tuple[str, str]], number: int) -> Renamings:
    """Return the pairs compiled, none where there should be another number of them or one is no plain prefix."""
    plain = all(p.startswith("^") and "\\" not in new for p, new in pairs)
    return tuple((re.compile(p), new) for p, new in pairs) if plain and len(pairs) == number else ()


def running_name(renamings: Renamings, name: str) -> str:
    """Return the name under which a stored one runs."""
    for pattern, new in renamings:
        name = pattern.sub(new, name)
    return name
