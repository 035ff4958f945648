"""What the session's transformers says of one model class: its parts, what it ties, what it pads with.

Its source files are read as text, by expressions: parsing one of 3,000 lines takes as long as a whole static check.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path

from sage_doctor.readers.python_source import source_text
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path

_MODELS = "transformers/models"
# An embedding of the vocabulary that is given the padding token: torch refuses an index beyond its rows.
_PADDED = re.compile(
    r"Embedding\(\s*(?:self\.|config\.)?vocab_size,[^()]*?,\s*(?:padding_idx\s*=\s*)?"
    r"(?:self\.padding_idx|(?:config\.)?pad_token_id|padding_idx)\b"
)
_TIED = re.compile(r"^ +(?:self\.)?_tied_weights_keys\s*(?::[^=\n]+)?=\s*(\{[^}]*\}|\[[^\]]*\])", re.MULTILINE)
_LINEAR = re.compile(r"^ +self\.(\w+) = (?:nn\.Linear|Conv1D)\(", re.MULTILINE)
_WEIGHTLESS = re.compile(r"^ +self\.(\w+) = (?:ACT2FN\[|nn\.(?:Dropout|GELU|SiLU|ReLU|Tanh|Sigmoid)\()", re.MULTILINE)
_DEEP = 4


@frozen
class ModelClass:
    """One class. `parts` are the first components that its tensors' names may have, those of its base model included.

    `own` are those of the running class, without its base model's; empty where some are named by a program.
    `base_parts` are those of the base model alone, which stand behind `base_prefix`; empty where they are not known.
    `tied` maps the parameters that share their values to where these come from; before transformers 5 that is not told.
    """

    name: str
    parts: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    base_prefix: str = ""
    base_parts: frozenset[str] = frozenset()
    tied: Mapping[str, str] = field(default_factory=dict)

    def lacks(self, module: str) -> bool:
        """Return whether a model of this class surely has no module of this name."""
        first, _, rest = module.partition(".")
        if first == self.base_prefix:
            return bool(self.base_parts) and rest.partition(".")[0] not in self.base_parts
        return bool(self.own) and first not in self.own


def auto_class(site_packages: Sequence[Path], mapping: str, model_type: str) -> str | None:
    """Return the class that an Auto mapping of the session's transformers has for a model type."""
    table = "".join(_table(p, mapping) for p in site_packages)
    found = re.search(rf"""\(\s*["']{re.escape(model_type)}["'],\s*["'](\w+)["']""", table)
    return found[1] if found else None


def has_auto_class(site_packages: Sequence[Path], mapping: str, model_type: str) -> bool | None:
    """Return whether an Auto mapping of the session's transformers has a model type; None where it cannot be read."""
    table = "".join(_table(p, mapping) for p in site_packages)
    return re.search(rf"""\(\s*["']{re.escape(model_type)}["'],""", table) is not None if table else None


def knows_image_processor(site_packages: Sequence[Path], name: str) -> bool | None:
    """Return whether the session's transformers has an image processor of this name; None where that cannot be read.

    `…Fast` and, since 5, `…Pil` are the same processor in another implementation.
    """
    table = "".join(_table(p, "IMAGE_PROCESSOR_MAPPING_NAMES") for p in site_packages)
    if not table:
        return None
    return re.search(rf"""["']{re.escape(name.removesuffix("Fast"))}(?:Fast|Pil)?["']""", table) is not None


def has_image_processor(site_packages: Sequence[Path], model_type: str) -> bool:
    """Return whether an Auto mapping of the session's transformers has an image processor for a model type."""
    table = "".join(_table(p, "IMAGE_PROCESSOR_MAPPING_NAMES") for p in site_packages)
    return re.search(rf"""\(\s*["']{re.escape(model_type)}["'],\s*[({{]""", table) is not None


def knows_processor(site_packages: Sequence[Path], name: str) -> bool | None:
    """Return whether the session's transformers has a processor of this name; None where that cannot be read."""
    table = "".join(_table(p, "PROCESSOR_MAPPING_NAMES") for p in site_packages)
    return f'"{name}"' in table if table else None


@functools.cache
def _table(site_dir: Path, mapping: str) -> str:
    """Return the text of the tables whose name ends in `mapping`: 5.x has generated ones, and some by hand."""
    folder = site_dir / _MODELS / "auto"
    stems = ("auto_mappings", "configuration_auto", "modeling_auto", "processing_auto", "image_processing_auto")
    names = [f"{stem}.py" for stem in stems]
    pattern = re.compile(rf"^ *(?:MISSING_)?{mapping}\b[^\n]*=.*?^ *\)$", re.MULTILINE | re.DOTALL)
    found: list[str] = []
    for name in names:
        text = source_text(folder / name)
        start = text.find(mapping)  # an expression takes ten times as long to find nothing
        if start >= 0:
            found += pattern.findall(text, text.rfind("\n", 0, start) + 1)
    return "\n".join(found)


@functools.cache
def model_folder(site_packages: tuple[Path, ...], model_type: str) -> Path | None:
    """Return the directory of a model type's source; None where there is none."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", model_type):
        return None
    found = _package(site_packages, model_type.replace("-", "_"))
    if found is None:
        special = auto_class(site_packages, "SPECIAL_MODEL_TYPE_TO_MODULE_NAME", model_type)
        found = _package(site_packages, special) if special else None
    return found


def _package(site_packages: tuple[Path, ...], name: str) -> Path | None:
    folders = (p / _MODELS / name for p in site_packages)
    return next((f for f in folders if inspect_path(f / "__init__.py").kind == "file"), None)


def model_source(site_packages: tuple[Path, ...], model_type: str) -> str:
    """Return the text of the module with a model type's classes; empty where it is not known."""
    folder = model_folder(site_packages, model_type)
    return source_text(folder / f"modeling_{folder.name}.py") if folder is not None else ""


def config_source(site_packages: tuple[Path, ...], model_type: str) -> str:
    """Return the text of the module with a model type's configuration; empty where it is not known."""
    folder = model_folder(site_packages, model_type)
    return source_text(folder / f"configuration_{folder.name}.py") if folder is not None else ""


@functools.cache
def activations(site_packages: tuple[Path, ...]) -> frozenset[str]:
    """Return the names of the activations that the session's transformers has; empty where it cannot be read."""
    texts = "".join(source_text(p / "transformers/activations.py") for p in site_packages)
    table = re.search(r"^ACT2CLS = \{(.*?)^\}", texts, re.MULTILINE | re.DOTALL)
    return frozenset(re.findall(r"""^ +["']([\w-]+)["']:""", table[1], re.MULTILINE)) if table else frozenset()


def is_class_of_another_library(site_packages: tuple[Path, ...], model_type: str, name: str) -> bool:
    """Return whether the module of a model type has no class of this name, in whatever case it is written."""
    source = model_source(site_packages, model_type)
    return bool(source) and re.search(rf"^class {re.escape(name)}\b", source, re.MULTILINE | re.IGNORECASE) is None


@functools.cache
def read_model_class(site_packages: tuple[Path, ...], model_type: str, name: str) -> ModelClass | None:
    """Return what the source says of the class `name`; None where it is not where its model type's classes are."""
    shared = "".join(source_text(p / "transformers/modeling_layers.py") for p in site_packages)
    return _read(model_source(site_packages, model_type), shared, name, _DEEP)


def _read(text: str, shared: str, name: str, deep: int) -> ModelClass | None:
    """Return what a module says of a class; `shared` is the module with the heads that many architectures share."""
    head = re.search(rf"^class {re.escape(name)}\b(?:\(([^)]*)\))?:[^\n]*\n((?:[ \t].*\n|\n)*)", text, re.MULTILINE)
    if head is None or deep == 0:
        return None
    body = head[2]
    parts = set(re.findall(r"^ +self\.(\w+)(?:\s*:[^=\n]+)?\s*=(?!=)", body, re.MULTILINE))
    parts |= set(re.findall(r"""^ +self\.(?:add_module|register_parameter)\(\s*["'](\w+)["']""", body, re.MULTILINE))
    own = set() if re.search(r"setattr\(self|add_module\(\s*f", body) else set(parts)
    prefix = re.search(r"""^ +base_model_prefix\s*(?::\s*str\s*)?=\s*["'](\w*)["']""", body, re.MULTILINE)
    base = prefix[1] if prefix else ""
    stated = _TIED.search(body)
    tied = _literal(stated[1]) if stated else {}
    for parent in re.findall(r"\w+", head[1] or ""):
        other = _read(text, shared, parent, deep - 1) or _read(shared, "", parent, deep - 1)
        if other is not None:
            parts |= other.parts - {other.base_prefix}
            own |= other.own
            base, tied = base or other.base_prefix, tied or other.tied
    held = re.search(rf"^ +self\.{base}\s*=\s*(\w+)[.(]", body, re.MULTILINE) if base else None
    model = _read(text, shared, held[1], deep - 1) if held is not None and held[1] != name else None
    base_parts = frozenset(parts) if held is None and name.endswith("Model") else frozenset()
    base_parts = model.base_parts if model is not None else base_parts
    if base:
        parts |= {base, *base_parts}
    return ModelClass(
        name=name, parts=frozenset(parts), own=frozenset(own), base_prefix=base, base_parts=base_parts, tied=tied
    )


def weightless_neighbours(site_packages: tuple[Path, ...], model_type: str) -> dict[str, frozenset[str]]:
    """Return the activations and dropouts beside a linear layer wherever a model type's source has one of its name."""
    found: dict[str, frozenset[str]] = {}
    for body in re.split(r"^class ", model_source(site_packages, model_type), flags=re.MULTILINE):
        bare = frozenset(_WEIGHTLESS.findall(body))
        for leaf in _LINEAR.findall(body):
            found[leaf] = found.get(leaf, bare) & bare
    return found


def tied_names(site_packages: tuple[Path, ...], model_type: str) -> frozenset[str]:
    """Return the names of all that any class of a model type's source ties to something."""
    found = _TIED.findall(model_source(site_packages, model_type))
    return frozenset(name for text in found for name in _literal(text))


def scales_by_its_tie(site_packages: tuple[Path, ...], model_type: str) -> bool:
    """Return whether a model type scales its outputs where its configuration ties them, as T5 does."""
    scaled = r"if self\.config\.(?:tie_word_embeddings|scale_decoder_outputs):\n(?: +#.*\n)* +(\w+) = \1 \*"
    return re.search(scaled, model_source(site_packages, model_type)) is not None


def _literal(text: str) -> Mapping[str, str]:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {}
    if isinstance(value, list):
        return {k: "" for k in value if isinstance(k, str)}
    return {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, str)}


_KEPT = re.compile(r"^    _keep_in_fp32_modules(_strict)?\s*(?::[^=\n]+)?=\s*(\[[^\]]*\])", re.MULTILINE)
# A parameter that is made in float32 stays so, too.
_MADE = re.compile(r"^ +self\.(\w+)\s*=\s*nn\.(?:Linear|Embedding|Parameter)\(.*\bdtype=torch\.float32\b", re.MULTILINE)


@functools.cache
def kept_in_float32(site_packages: tuple[Path, ...], model_type: str, *, half: bool) -> tuple[str, ...]:
    """Return expressions for the names of tensors that a load keeps in float32, whatever 16 bits the rest has.

    `half` says that these are float16: more is kept then than beside bfloat16. All classes of the source count, as in
    the library: a model keeps what each of its parts does.
    """
    source = model_source(site_packages, model_type)
    stated = [_literal(names) for strict, names in _KEPT.findall(source) if strict or half]
    made = [rf"\.{name}(?:\.weight|\.bias)?$" for name in _MADE.findall(source) if name not in ("weight", "bias")]
    return tuple(dict.fromkeys([*(p.replace("*", ".*") for names in stated for p in names), *made]))


def pads_its_embedding(site_packages: tuple[Path, ...], model_type: str) -> bool:
    """Return whether the source gives the padding token to the embedding of the vocabulary, of `vocab_size` rows."""
    return _PADDED.search(model_source(site_packages, model_type)) is not None


def ties_by_default(site_packages: tuple[Path, ...], model_type: str) -> bool | None:
    """Return whether a configuration of this type that does not say so ties its output to its embedding.

    None where the source does not tell, or decides by itself whatever the file says.
    """
    text = config_source(site_packages, model_type)
    mine = re.search(rf"""^    model_type\s*(?::\s*str\s*)?=\s*["']{re.escape(model_type)}["']""", text, re.MULTILINE)
    if mine is None:
        return None
    start = text.rfind("\nclass ", 0, mine.start())
    end = text.find("\nclass ", mine.end())
    body = text[start : end if end > 0 else len(text)]
    if re.search(r"^        self\.tie_word_embeddings\s*=\s*True", body, re.MULTILINE):
        return None
    stated = re.findall(r"\btie_word_embeddings\s*(?::[^=\n]+)?=\s*(True|False)\b", body)
    if stated:
        return stated[0] == "True" if len(set(stated)) == 1 else None
    # Before 5 the base class ties; in 5 a class that has no such field does not.
    return None if "tie_word_embeddings" in body else not _is_dataclass(body)


def text_part_ties(site_packages: tuple[Path, ...]) -> bool:
    """Return whether a load asks a nested text configuration alone if output and embedding are tied, as in 4.57."""
    asked = re.compile(r"""get_text_config\(decoder=True\),\s*["']tie_word_embeddings["']""")
    return any(asked.search(source_text(p / "transformers/modeling_utils.py")) for p in site_packages)


def _is_dataclass(body: str) -> bool:
    return re.search(r"^    model_type\s*=.*\n(?:.*\n)*?    \w+\s*:[^=\n]+=", body, re.MULTILINE) is not None
