"""How the session's transformers renames and joins stored tensors, where PEFT does not do so with an adapter's.

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
from sage_doctor.readers.python_source import source_text

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
    text = _text(site_packages, "transformers/conversion_mapping.py")
    if re.search(rf'^ +"{re.escape(model_type)}": ', text, re.MULTILINE):
        return ()
    other = re.search(rf'^    "{re.escape(name)}": "(\w+)",$', text, re.MULTILINE)
    listed = re.escape(other[1] if other is not None else name)
    block = re.search(rf'^        "{listed}": \[\n(.*?)^        \],$', text, re.DOTALL | re.MULTILINE)
    return _compiled(_CALL.findall(block[1]), len(re.findall(r"\b[A-Z]\w+\(", block[1]))) if block is not None else ()


def peft_may_rename(site_packages: tuple[Path, ...], model_type: str, name: str) -> bool:
    """Return whether PEFT may convert the names of an adapter's tensors for this class or model type."""
    text = _text(site_packages, "transformers/conversion_mapping.py")
    of_type = re.search(rf"""["']{re.escape(model_type)}["']\]?(?::| \+?=)""", text) is not None
    return (of_type and not _is_undone(site_packages, model_type)) or "_checkpoint_conversion_mapping" in _class_source(
        site_packages, model_type, name
    )


def _is_undone(site_packages: tuple[Path, ...], model_type: str) -> bool:
    """Return whether PEFT takes all of a model type's renamings back again.

    PEFT 0.21 does so where the old name ends with the new one, and by that `language_model.layers` stays as it is,
    which ends with `model.layers`.
    """
    text = _text(site_packages, "transformers/conversion_mapping.py")
    other = re.search(rf'^    "{re.escape(model_type)}": "(\w+)",$', text, re.MULTILINE)
    listed = re.escape(other[1] if other is not None else model_type)
    change = r'PrefixChange\(prefix_to_remove="(\w+)", model_prefix="(\w+)"\)'
    block = re.search(rf'^        "{listed}": \[{change}\],$', text, re.MULTILINE)
    undoes = "new_key_is_suffix_of_old_key" in _text(site_packages, "peft/utils/transformers_weight_conversion.py")
    more = re.search(rf'mapping\["{re.escape(model_type)}"\] \+?=', text)
    return undoes and more is None and block is not None and block[1].endswith(block[2])


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


@functools.cache
def unconverted_modules(site_packages: tuple[Path, ...], model_type: str) -> re.Pattern[str] | None:
    """Return an expression for modules of a mixture of experts that are stored, and of which no session has a Linear.

    transformers 5 joins the experts of a layer into one parameter, and its router is a class of its own. PEFT converts
    an adapter's configuration for the model types of a table of transformers and of its own (0.21 for mixtral and
    qwen3_moe, not for qwen2_moe). None where the session's PEFT does so, or the library joins nothing.
    """
    text = _text(site_packages, "transformers/conversion_mapping.py")
    other = re.search(rf'^    "{re.escape(model_type)}": "(\w+)",$', text, re.MULTILINE)
    listed = re.escape(other[1] if other is not None else model_type)
    block = re.search(rf'^        "{listed}": \[\n(.*?)^        \],$', text, re.DOTALL | re.MULTILINE)
    if block is None or "MergeModulelist" not in block[1] or ".experts." not in block[1]:
        return None
    converted = _text(site_packages, "peft/utils/transformers_weight_conversion.py")
    table = converted.partition("_MOE_TARGET_MODULE_MAPPING")[2]
    own = re.search(rf'^_MODEL_TO_CONVERSION_PATTERN\["{re.escape(model_type)}"\] = ', converted, re.MULTILINE)
    if (other or own) and re.search(rf'^    "{listed}": \{{', table, re.MULTILINE):
        return None
    routers = re.findall(r"^ +self\.(\w+) = \w+Router\(", model_source(site_packages, model_type), re.MULTILINE)
    return re.compile("|".join([r"\.experts\.\d+\.", *(rf"\.{r}$" for r in dict.fromkeys(routers))]))


@functools.cache
def _text(site_packages: tuple[Path, ...], name: str) -> str:
    return "".join(source_text(p / name) for p in site_packages)
