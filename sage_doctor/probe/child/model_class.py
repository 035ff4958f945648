"""The class a session loads a directory with, by transformers' and peft's own tables."""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from sage_doctor.probe.child.reporter import ProbeFailure

# Where no class of the name is known any more (T5WithLMHeadModel), what speaks is looked up in this order: a model of
# pictures and text is a causal model as well.
_SPEAKING = (
    "AutoModelForImageTextToText",
    "AutoModelForVision2Seq",
    "AutoModelForSpeechSeq2Seq",
    "AutoModelForSeq2SeqLM",
    "AutoModelForCausalLM",
)
_MODELING = re.compile(r"transformers\.models\.\w+\.modeling_\w+")


def read_json(directory: str, name: str) -> Any:
    """Return what a small JSON file holds, None where there is none: what is wrong with it is the library's to say."""
    path = os.path.join(directory, name)
    try:
        if os.path.isfile(path) and os.path.getsize(path) < 1 << 24:
            with open(path, encoding="utf-8") as handle:
                return json.load(handle)
    except (OSError, ValueError, RecursionError):
        pass
    return None


def read_table(directory: str, name: str) -> dict[str, Any]:
    """Return a JSON object of a directory, an empty one where there is none."""
    value = read_json(directory, name)
    return value if isinstance(value, dict) else {}


def base_of(path: str, declared: str | None) -> str:
    """Return the directory of an adapter's base. Raises `ProbeFailure` where there is none, or it is an adapter."""
    base = declared or read_table(path, "adapter_config.json").get("base_model_name_or_path")
    if not base:
        raise ProbeFailure("ValueError", "adapter_config.json names no base model (base_model_name_or_path)")
    own = os.path.isfile(os.path.join(str(base), "config.json"))
    if not own and os.path.isfile(os.path.join(str(base), "adapter_config.json")):
        raise ProbeFailure(
            "ValueError",
            f"the base {base} is itself an adapter, which PEFT would drop silently: merge that one into its own base "
            "first (sage-doctor merge), and name the result as the base",
        )
    return str(base)


def sentence_part(directory: str) -> tuple[str, str] | None:
    """Return where a sentence-transformers directory keeps its transformer, and that module's type; None for others."""
    listed = read_json(directory, "modules.json")
    for module in listed if isinstance(listed, list) else ():
        kind = str(module.get("type", "")) if isinstance(module, dict) else ""
        where = module.get("path") if kind else None
        if kind.endswith("Transformer") and isinstance(where, str) and re.fullmatch(r"\w*", where):
            return os.path.join(directory, where) if where else directory, kind.rpartition(".")[2]
    return None


def full_classes(transformers: Any, directory: str, config: Any, *, prompted: bool) -> list[Any]:
    """Return the classes a full model may be loaded with, the likeliest first. `prompted`: a session talks to it."""
    auto = _Auto(transformers, config)
    part = None if prompted else sentence_part(directory)
    if part is not None and part[1] == "Transformer":
        encoder = {"T5Config": "T5EncoderModel", "MT5Config": "MT5EncoderModel"}.get(type(config).__name__)
        return [getattr(transformers, encoder or "AutoModel")]
    if part is not None and part[1] == "MLMTransformer":
        return auto.accepting(["AutoModelForMaskedLM"]) or [transformers.AutoModel]
    names = getattr(config, "architectures", None)
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    own = auto.named(name)
    if own is not None:
        bare = prompted and own in auto.accepted("AutoModel")
        return (auto.accepting(_SPEAKING) if bare else []) or [own]
    if not name:
        return auto.accepting(("AutoModelForCausalLM", *_SPEAKING, "AutoModelForMaskedLM", "AutoModel"))
    suffix = re.search(r"For[A-Z]\w*$", name)
    kind = f"AutoModel{suffix.group()}" if suffix else ""
    speaks = kind in ("AutoModelForConditionalGeneration", "AutoModelForCausalLM") or "LMHead" in name
    return auto.accepting((kind, *(_SPEAKING if speaks else ()), "AutoModel")) or [transformers.AutoModel]


def adapter_classes(transformers: Any, peft: Any, path: str, base: str, config: Any) -> list[Any]:
    """Return the classes an adapter's base may be loaded with, that of `AutoPeftModelFor…` first."""
    auto = _Auto(transformers, config)
    stated = read_table(path, "adapter_config.json")
    found = auto.accepting([_task_class(peft, stated.get("task_type"))])
    mapping = stated.get("auto_mapping")
    if isinstance(mapping, dict):
        found += list(filter(None, [auto.named(mapping.get("base_model_class"), mapping.get("parent_library"))]))
    return found + full_classes(transformers, base, config, prompted=False)


def fitting_adapter(torch: Any, makers: Iterable[Any], config: Any, modules: Iterable[str]) -> Any:
    """Return the first class that has modules of these names, else the first of all: the adapter was trained on it."""
    makers = list(makers)
    wanted = list(modules)
    for maker in makers if len(makers) > 1 and wanted else ():
        try:
            model = hollow(torch, maker, config)
        except Exception:  # noqa: BLE001, S112 - each of hundreds of classes refuses in its own way
            continue
        have = {name for name, _ in model.named_modules()}
        if any(have.intersection(_parents(name)) for name in wanted):
            return maker
    return makers[0]


def hollow(torch: Any, maker: Any, config: Any) -> Any:
    """Return a model of a class without numbers. Raises whatever the class does."""
    with torch.device("meta"):
        return getattr(maker, "from_config" if hasattr(maker, "from_config") else "_from_config")(config)


def _parents(name: str) -> Iterator[str]:
    """Yield the modules a tensor of an adapter may belong to: `q_proj` of `q_proj.lora_A.weight`."""
    for _ in range(3):
        name = name.rpartition(".")[0]
        if name:
            yield name


def _task_class(peft: Any, task: Any) -> str:
    """Return the Auto class that peft's own `AutoPeftModelFor…` loads the base of this task with, "" if none does."""
    wrapper = getattr(getattr(peft, "auto", None), "MODEL_TYPE_TO_PEFT_MODEL_MAPPING", {}).get(task)
    for kind in vars(getattr(peft, "auto", None) or object()).values() if wrapper is not None else ():
        if getattr(kind, "_target_peft_class", None) is wrapper and getattr(kind, "_target_class", None) is not None:
            return str(getattr(kind._target_class, "__name__", ""))  # noqa: SLF001 - peft tells it nowhere else
    return ""


class _Auto:
    """The classes of transformers that take one configuration."""

    def __init__(self, transformers: Any, config: Any) -> None:
        self._transformers, self._config = transformers, config

    def accepted(self, auto: str) -> tuple[Any, ...]:
        """Return the classes an Auto class would build this configuration with."""
        mapping = getattr(getattr(self._transformers, auto, None), "_model_mapping", None)
        try:
            found = mapping[type(self._config)] if mapping is not None and type(self._config) in mapping else ()
        except Exception:  # noqa: BLE001 - a module that cannot be imported: its class is not for this session
            return ()
        return tuple(found) if isinstance(found, (list, tuple)) else (found,)

    def accepting(self, autos: Iterable[str]) -> list[Any]:
        """Return those of the Auto classes that take the configuration."""
        return [getattr(self._transformers, n) for n in dict.fromkeys(autos) if n and self.accepted(n)]

    def named(self, name: Any, library: Any = None) -> Any:
        """Return the model class of a name if it is made for this configuration, else None.

        Only modelling code of transformers is imported for it, whatever a configuration names.
        """
        if not isinstance(name, str) or not name.isidentifier():
            return None
        found = getattr(self._transformers, name, None)
        if found is None and isinstance(library, str) and _MODELING.fullmatch(library):
            try:
                found = getattr(importlib.import_module(library), name, None)
            except ImportError:
                return None
        kind = getattr(found, "config_class", None)
        if not isinstance(found, type) or not issubclass(found, self._transformers.PreTrainedModel) or kind is None:
            return None
        return found if isinstance(self._config, kind) else None
