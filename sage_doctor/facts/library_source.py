"""What the installed torch, transformers and peft support, read from their sources: none of them is imported."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from sage_doctor.readers.python_source import (
    class_values,
    mapping_keys,
    parse_file,
    read_source,
    source_text,
)

TorchAccelerator = Literal["cuda", "rocm", "cpu"]

_AUTO = "models/auto"
_TABLES = ("auto_mappings.py", "configuration_auto.py")
_DEEPEST = 3  # a config in a config
# The configurations of peft that others are made of, by class, and their files.
_PEFT_PARENTS = {
    "LoraConfig": "lora/config.py",
    "PromptTuningConfig": "prompt_tuning/config.py",
    "LycorisConfig": "lycoris_utils.py",
}


def torch_build(version: str | None, site_dirs: Sequence[Path]) -> tuple[str | None, TorchAccelerator | None]:
    """Return how the torch of that version was built, and for what; `site_dirs` are its site-packages directories.

    The build is the local part of the version (`cpu`, `cu128`, `872d972e41.nv24.08`) or, where it has none, what
    `torch/version.py` says. A vendor's local part names no accelerator: that file decides.
    """
    if version is None:
        return None, None
    local = version.partition("+")[2] or None
    text = next((t for p in site_dirs if (t := read_source(p / "torch/version.py")) is not None), None)
    if text is None:
        named = re.match(r"(cpu|cu|rocm)", local or "")
        kinds: dict[str, TorchAccelerator] = {"cpu": "cpu", "cu": "cuda", "rocm": "rocm"}
        return local, kinds[named[1]] if named else None
    cuda, hip = _assigned(text, "cuda"), _assigned(text, "hip")
    if hip:
        return local or f"rocm{hip}", "rocm"
    if cuda:
        return local or "cu" + cuda.replace(".", ""), "cuda"
    return local or "cpu", "cpu"


def _assigned(text: str, name: str) -> str | None:
    match = re.search(rf"^{name}\s*(?::[^=\n]*)?=\s*['\"]([^'\"]*)['\"]", text, re.MULTILINE)
    return match[1] if match else None


def _says(paths: Iterable[Path], pattern: str) -> bool:
    """Return whether one of the sources holds a line that looks right.

    Parsing a source as Python takes twenty times as long, and has to be done only where nothing looks right.
    """
    return any(re.search(pattern, source_text(p), re.MULTILINE) for p in paths)


def knows_model_type(site_packages: Sequence[Path], model_type: str) -> bool | None:
    """Return whether the installed transformers can configure a `model_type`; None where that cannot be read."""
    tables = [p / "transformers/models/auto" / name for p in site_packages for name in _TABLES]
    if _says(tables, rf"""["']{re.escape(model_type)}["']\s*[,:]"""):
        return True
    known = known_model_types(tuple(site_packages))
    return None if known is None else model_type in known


def knows_peft_type(site_packages: Sequence[Path], peft_type: str) -> bool | None:
    """Return whether the installed peft has a `peft_type`; None where that cannot be read."""
    if _says([p / "peft/utils/peft_types.py" for p in site_packages], rf"""=\s*["']{re.escape(peft_type)}["']"""):
        return True
    known = known_peft_types(tuple(site_packages))
    return None if known is None else peft_type in known


def refuses_task_type(site_packages: Sequence[Path], task_type: str) -> bool:
    """Return whether the installed peft refuses an adapter's `task_type`; those before 0.14 take any."""
    types = [p / "peft/utils/peft_types.py" for p in site_packages]
    if _says(types, rf"""=\s*["']{re.escape(task_type)}["']"""):
        return False
    if not _says([p / "peft/config.py" for p in site_packages], r"Invalid task type"):
        return False
    for path in types:
        module = parse_file(path)
        tasks = class_values(module, "TaskType") if module is not None else frozenset()
        if tasks:
            return task_type not in tasks
    return False


def default_lora_targets(site_packages: Sequence[Path]) -> Mapping[str, list[str]] | None:
    """Return what peft itself puts a LoRA on, by model type; None where that cannot be read."""
    named = r"^TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING = \{([^}]*)\}"
    for site_dir in site_packages:
        table = re.search(named, source_text(site_dir / "peft/utils/constants.py"), re.MULTILINE)
        if table is not None:
            rows = re.findall(r"""["']([\w.-]+)["']: \[([^\]]*)\]""", table[1])
            return {kind: re.findall(r"""["']([^"']+)["']""", names) for kind, names in rows} or None
    return None


def renames_tensors(site_packages: Sequence[Path], config: Mapping[str, Any]) -> bool | None:
    """Return whether the installed transformers may rename the tensors of a model with this config while it loads.

    None where that cannot be read, or where the model brings its own code. 5.x lists what it renames by model type and
    by class; 4.x renames only what has a text model inside, in the classes themselves.
    """
    types = list(model_types(config))
    if not types or isinstance(config.get("auto_map"), Mapping):
        return None
    text = _renamings(site_packages)
    if not text:
        known = knows_model_type(site_packages, types[0])
        return None if not known else len(types) > 1
    # Models inside are looked up by their classes, which their configs do not name.
    return len(types) > 1 or re.search(rf"""["'](?:{_renaming_keys(config)})["']""", text) is not None


def renamings(site_packages: Sequence[Path], config: Mapping[str, Any]) -> str:
    """Return the source of what the installed transformers renames for a model with this config; empty if unknown.

    All of its renamings, where models are inside the model or some of them are not written as a plain list.
    """
    text = _renamings(site_packages)
    if len(list(model_types(config))) != 1:
        return text
    keys, blocks = _renaming_keys(config), ""
    for _ in range(_DEEPEST):
        blocks += "".join(re.findall(rf"""["'](?:{keys})["']: \[\n(.*?)^ {{8}}\],$""", text, re.MULTILINE | re.DOTALL))
        if re.search(rf"""^ +mapping\[["'](?:{keys})["']\] \+?=""", text, re.MULTILINE):
            return text
        others = re.findall(rf"""^    ["'](?:{keys})["']: ["'](\w+)["'],$""", text, re.MULTILINE)
        if not others:
            break
        keys = "|".join(map(re.escape, others))
    return blocks or text


def _renaming_keys(config: Mapping[str, Any]) -> str:
    """Return an expression for the names under which the library lists what it renames in a model with this config."""
    architectures = config.get("architectures")
    named = [a for a in architectures if isinstance(a, str)] if isinstance(architectures, list) else []
    stems = {m[1] for a in named if (m := re.match(r"([A-Z]\w*?)(?:Model|LMHeadModel|For[A-Z]\w*)$", a))}
    classes = "|".join(re.escape(s) for s in stems)
    parts = r"(?:Text|Vision)?(?:Model|Backbone|Encoder|Decoder)|For[A-Z]\w*"
    types = map(re.escape, model_types(config))
    return "|".join([*types, *([rf"(?:{classes})(?:{parts})"] if classes else [])])


def model_types(config: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """Yield the model types that a config names: its own, then those of the models inside it."""
    own = config.get("model_type")
    if isinstance(own, str) and own:
        yield own
    if depth < _DEEPEST:
        for value in config.values():
            if isinstance(value, Mapping):
                yield from model_types(value, depth + 1)


def _renamings(site_packages: Sequence[Path]) -> str:
    """Return the source in which the installed transformers lists what it renames; empty where there is none."""
    return "".join(source_text(p / "transformers/conversion_mapping.py") for p in site_packages)


def takes_own_weights(site_packages: Sequence[Path]) -> bool | None:
    """Return whether the installed transformers puts an adapter in a model's directory on the weights there.

    Older releases load the base that the adapter names instead. None where that cannot be read.
    """
    sources = [p / "transformers/integrations/peft.py" for p in site_packages]
    if not any(map(source_text, sources)):
        return None
    return _says(sources, r"os\.path\.join\(pretrained_model_name_or_path, CONFIG_NAME\)")


def tensor_prefix(site_packages: Sequence[Path], peft_type: str) -> str | None:
    """Return how the installed peft begins the names of this type's tensors (`ia3_`); None where it does not say."""
    for site_dir in site_packages:
        source = source_text(site_dir / "peft/tuners" / peft_type.lower() / "__init__.py")
        call = re.search(r"register_peft_method\(([^)]*)\)", source)
        if call is not None:
            said = re.search(r"""\bprefix\s*=\s*["'](\w+)["']""", call[1])
            return said[1] if said is not None else f"{peft_type.lower()}_"
    return None


def tensor_words(site_packages: Sequence[Path], peft_type: str, prefix: str) -> frozenset[str]:
    """Return the words with this prefix in the source of this type's layers: the names of its tensors are among them.

    Empty where it cannot be read.
    """
    layers = (source_text(p / "peft/tuners" / peft_type.lower() / "layer.py") for p in site_packages)
    return frozenset(re.findall(rf"\b{re.escape(prefix)}\w+", "".join(layers)))


def learns_a_prompt(site_packages: Sequence[Path], peft_type: str) -> bool:
    """Return whether the installed peft puts trained tokens before the input for this type, and changes no module."""
    configs = [p / "peft/tuners" / peft_type.lower() / "config.py" for p in site_packages]
    return re.fullmatch(r"\w+", peft_type) is not None and _says(
        configs, r"^class \w+\(Prompt(?:Learning|Tuning)Config\)"
    )


def unknown_fields(site_packages: Sequence[Path], peft_type: str, fields: Iterable[str]) -> list[str] | None:
    """Return which of these fields the installed peft's configuration of a type lacks; None where it cannot be read."""
    for site_dir in site_packages:
        folder = site_dir / "peft/tuners"
        own = source_text(folder / peft_type.lower() / "config.py")
        base = source_text(site_dir / "peft/config.py").partition("class PromptLearningConfig")
        if not own or not base[0]:
            continue
        parents = "".join(source_text(folder / n) for c, n in _PEFT_PARENTS.items() if f"({c})" in own)
        # What LoRA's configuration is made of has fields of its own, which stand before it in its file.
        texts = [t.partition("class LoraConfig")[2] or t for t in (own, parents)]
        text = "\n".join([*texts, base[0], base[2] if "Prompt" in own else ""])
        return sorted(f for f in fields if not re.search(rf"^\s+{re.escape(f)}\s*:", text, re.MULTILINE))
    return None


def knows_quantizer(site_packages: Sequence[Path], method: str) -> bool | None:
    """Return whether the installed transformers has a quantizer of this name; None where that cannot be read."""
    tables = [p / "transformers/quantizers/auto.py" for p in site_packages]
    if _says(tables, rf"""^\s+["']{re.escape(method)}["']\s*:"""):
        return True
    for table in tables:
        module = parse_file(table)
        known = mapping_keys(module, "AUTO_QUANTIZATION_CONFIG_MAPPING") if module is not None else frozenset()
        if known:
            return method in known
    return None


def accepted_formats(site_packages: Sequence[Path]) -> frozenset[str] | None:
    """Return what the installed transformers wants as `format` in a safetensors header; None where it does not ask.

    Releases before 5 refuse a file that has metadata and none of these in it.
    """
    for site_dir in site_packages:
        text = source_text(site_dir / "transformers/modeling_utils.py")
        if text:
            asked = re.search(r"""metadata\.get\(["']format["']\) not in \[([^\]]*)\]""", text)
            return frozenset(re.findall(r"""["'](\w+)["']""", asked[1])) if asked else None
    return None


def refuses_null_quantization(site_packages: Sequence[Path]) -> bool:
    """Return whether the installed transformers fails where `quantization_config` is there and null, as 4.57 does."""
    texts = [source_text(p / "transformers/configuration_utils.py") for p in site_packages]
    return any("self.quantization_config.to_dict()" in t and "quantization_config is not None" not in t for t in texts)


@functools.cache
def known_model_types(site_packages: tuple[Path, ...]) -> frozenset[str] | None:
    """Return the `model_type`s that the installed transformers can configure; None where that cannot be read.

    4.x keeps the table in `configuration_auto.py`; 5.x generates `auto_mappings.py` and adds to it in the former.
    """
    for site_dir in site_packages:
        folder = site_dir / "transformers/models/auto"
        modules = (parse_file(folder / name) for name in _TABLES)
        types = frozenset(t for m in modules if m is not None for t in mapping_keys(m, "CONFIG_MAPPING_NAMES"))
        if types:
            return types
    return None


@functools.cache
def known_peft_types(site_packages: tuple[Path, ...]) -> frozenset[str] | None:
    """Return the `peft_type`s of the installed peft; None where they cannot be read."""
    for site_dir in site_packages:
        module = parse_file(site_dir / "peft/utils/peft_types.py")
        types = class_values(module, "PeftType") if module is not None else frozenset()
        if types:
            return types
    return None
