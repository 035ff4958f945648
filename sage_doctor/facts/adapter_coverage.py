"""Which modules an adapter's configuration targets, and which of them its file holds no tensors for.

PEFT leaves a module without tensors as it is in the base and warns once: an adapter saved by one stage of several, or
by a process that did not gather its shards, loads and answers nearly as the base. Told from names alone. Only layers
that lie beside adapted ones are judged, since a session may build a part of what the base stores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sage_doctor.facts.adapter_patterns import AdapterPatterns
from sage_doctor.facts.embeddings import OUTPUT_NAMES
from sage_doctor.facts.library_source import default_lora_targets

_NUMBER = re.compile(r"(?<=\.)\d{1,9}(?=\.)")
_SHORT_NUMBER = re.compile(r"[0-9]{1,9}")
_KV_LEAVES = frozenset({"k_proj", "v_proj"})
_MATRIX = 2
_EXPERTS = ".experts."
_WRAPPED = ".base_layer."  # of a layer that PEFT wraps more than once
# Modules outside of the layers: those that sessions of every class build, but for the output layer.
_OUTER = OUTPUT_NAMES | {"embed_tokens", "wte", "word_embeddings", "embed_in", "shared"}
# Tasks whose models have a head of their own in place of an output layer, and how the classes of such models end.
HEADED = {
    "SEQ_CLS": "ForSequenceClassification",
    "TOKEN_CLS": "ForTokenClassification",
    "QUESTION_ANS": "ForQuestionAnswering",
}
WITHOUT_OUTPUT = frozenset({*HEADED, "FEATURE_EXTRACTION"})
_TASKS = {
    **HEADED,
    "CAUSAL_LM": "ForCausalLM",
    "SEQ_2_SEQ_LM": "ForSeq2SeqLM",
    "FEATURE_EXTRACTION": "ForFeatureExtraction",
}
_HEADS = frozenset({"score", "classifier", "classification_head", "qa_outputs", "logits_proj"})


def auto_peft_class(values: Mapping[str, Any]) -> str:
    """Return the class of peft that loads an adapter together with its base, by its task or its `auto_mapping`."""
    task = values.get("task_type") or ("" if values.get("auto_mapping") else "CAUSAL_LM")
    return f"AutoPeftModel{_TASKS.get(str(task), '')}"


def is_targeted(values: Mapping[str, Any], patterns: AdapterPatterns, module: str) -> bool:
    """Return whether PEFT would put a LoRA on this module, as far as the configuration alone tells.

    Raises `UnboundedPattern`.
    """
    wanted = values.get("target_modules")
    if patterns.matches("exclude_modules", module) or any(_is_within(module, n) for n in _saved(values)):
        return False
    if isinstance(wanted, str) and not _takes_all(wanted):
        return patterns.matches("target_modules", module)
    if isinstance(wanted, list):
        if patterns.matches("target_modules", module):
            return _in_layers(values, patterns, module, wanted)
        return bool(values.get("ensure_weight_tying")) and _is_outer(module) and any(_is_outer(str(w)) for w in wanted)
    # The library's own list for this model type, or all linear layers, of which the output layer is none.
    return wanted is None or not _is_outer(module)


def _takes_all(wanted: object) -> bool:
    return isinstance(wanted, str) and wanted.lower() == "all-linear"


def with_default_targets(
    values: Mapping[str, Any], site_packages: Sequence[Path], model_type: str | None
) -> Mapping[str, Any]:
    """Return a configuration with the modules that PEFT itself chooses for a base of this type, where it names none."""
    if values.get("target_modules") is not None or values.get("target_parameters"):
        return values
    known = (default_lora_targets(site_packages) or {}).get(model_type or "")
    return {**values, "target_modules": known} if known else values


def _saved(values: Mapping[str, Any]) -> list[str]:
    names = values.get("modules_to_save")
    return [n for n in names if isinstance(n, str)] if isinstance(names, list) else []


def _is_outer(module: str) -> bool:
    """Return whether a module is an embedding or an output layer: with one, PEFT may target what it is tied to."""
    return module.rpartition(".")[2] in _OUTER and not _NUMBER.search(f".{module}.")


def _in_layers(values: Mapping[str, Any], patterns: AdapterPatterns, module: str, wanted: list[Any]) -> bool:
    layers = values.get("layers_to_transform")
    if layers is None or layers == [] or module in wanted:
        return True
    if values.get("layers_pattern"):
        layer = patterns.layer(module)
    else:
        found = re.match(r".*?\.[^.]*\.(\d{1,18})\.", module)  # the first number: PEFT 0.21 ignores an expert's
        layer = int(found[1]) if found is not None else None
    return layer is not None and layer in (layers if isinstance(layers, list) else [layers])


def uncovered_modules(
    values: Mapping[str, Any],
    patterns: AdapterPatterns,
    held: Mapping[str, str | None],
    stored: Mapping[str, tuple[int, ...]],
    config: Mapping[str, Any],
) -> list[str]:
    """Return the running names of modules that are targeted and for which the adapter holds nothing.

    `held` maps the running names of adapted modules to the base's stored ones, None where the library renames one:
    then only modules that are named as others of the adapter are told to be absent. `stored` has the shape of every
    weight that the base stores by the name of its module, `config` is the base's. Raises `UnboundedPattern`.
    """
    absent = [n for n, shape in _beside(values, held, stored, config).items() if len(shape) >= _MATRIX]
    patterns.ask(absent)
    return sorted((n for n in absent if is_targeted(values, patterns, n)), key=_natural)


def unfit_targets(
    values: Mapping[str, Any],
    patterns: AdapterPatterns,
    held: Mapping[str, str | None],
    stored: Mapping[str, tuple[int, ...]],
    config: Mapping[str, Any],
    bare: Mapping[str, frozenset[str]],
) -> list[str]:
    """Return the running names of targeted modules that PEFT has no LoRA for, and so refuses the whole adapter.

    These are modules that hold others (`self_attn`), norms, and what has no weight. `bare` is as
    `weightless_neighbours` gives it, the rest as for `uncovered_modules`. Raises `UnboundedPattern`.
    """
    wanted = values.get("target_modules")
    if not isinstance(wanted, (str, list)) or _takes_all(wanted):
        return []
    beside = _beside(values, held, stored, config)
    outer = {n: shape for n, shape in stored.items() if not _NUMBER.search(f".{n}.")}
    same = all(running == name for running, name in held.items())
    found = {n for n, shape in (beside | outer if same else beside).items() if len(shape) < _MATRIX}
    known = {n for n in (*held, *beside) if _EXPERTS not in n and _WRAPPED not in f".{n}."}
    found |= {n.partition(_EXPERTS)[0] + ".experts" for n in (stored if same else held) if _EXPERTS in n}
    found |= {".".join(parts[:i]) for n in known for parts in [n.split(".")] for i in range(1, len(parts))}
    for name in known:
        parent, _, leaf = name.rpartition(".")
        found |= {f"{parent}.{n}" for n in bare.get(leaf, ()) if parent}
    like = {_NUMBER.sub("*", n) for n in held}
    found = {n for n in found if _NUMBER.sub("*", n) not in like}
    patterns.ask(sorted(found))
    return sorted((n for n in found if is_targeted(values, patterns, n)), key=_natural)


def _beside(
    values: Mapping[str, Any],
    held: Mapping[str, str | None],
    stored: Mapping[str, tuple[int, ...]],
    config: Mapping[str, Any],
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights beside those that are adapted, by the running names of their modules."""
    shapes: dict[str, list[str]] = {}  # a stored name with its numbers left out → running names, likewise
    stacks: dict[str, str] = {}  # what stands before the first number, stored and running
    for running, name in held.items():
        if name is not None and _NUMBER.findall(running) == _NUMBER.findall(name) != []:
            shapes.setdefault(_NUMBER.sub("*", name), []).append(_NUMBER.sub("*", running))
            stacks.setdefault(_NUMBER.split(name, maxsplit=1)[0], _NUMBER.split(running, maxsplit=1)[0])
    wanted = values.get("target_modules")
    named = isinstance(wanted, (str, list)) and not _takes_all(wanted) and None not in held.values()
    taken = frozenset(held.values())
    found = {}
    for name, shape in stored.items():
        numbers = _NUMBER.findall(name)
        if name in taken or not numbers:
            continue
        like = shapes.get(_NUMBER.sub("*", name))
        before = _NUMBER.split(name, maxsplit=1)[0]
        if like is not None:
            found[_numbered(like[0], numbers)] = shape
        elif named and before in stacks and _EXPERTS not in name:
            found[stacks[before] + name.removeprefix(before)] = shape
    return {n: shape for n, shape in found.items() if not _is_unused(n, held, config)}


def _numbered(shape: str, numbers: Iterable[str]) -> str:
    rest = iter(numbers)
    return re.sub(r"\*", lambda _: next(rest), shape)


def _natural(name: str) -> list[object]:
    return [(0, int(p), "") if _SHORT_NUMBER.fullmatch(p) else (1, 0, p) for p in name.split(".")]


def _is_unused(module: str, held: Iterable[str], config: Mapping[str, Any]) -> bool:
    """Whether a layer is stored and not built: for the prediction of further tokens, or with another's keys."""
    text = config.get("text_config")
    own: Mapping[str, Any] = text if isinstance(text, dict) else config
    layers, shared = own.get("num_hidden_layers"), own.get("num_kv_shared_layers")
    number = int(_NUMBER.findall(module)[0])
    if type(layers) is not int:
        return False
    if number >= layers:
        return not any(int(n[0]) >= layers for h in held if (n := _NUMBER.findall(h)))
    return type(shared) is int and number >= layers - shared > 0 and module.rpartition(".")[2] in _KV_LEAVES


def absent_saved(values: Mapping[str, Any], held: Iterable[str], stored: Iterable[str], *, tied: bool) -> list[str]:
    """Return the names in `modules_to_save` whose tensors the adapter lacks, although the model has such a module.

    `held` are the names of modules that it holds whole, `stored` those of the base; `tied` says that the output layer
    is not stored because it is shared.
    """
    theirs = list(stored)
    # `0.lm_head` is that of a list of modules around the model, and no load looks for it.
    mine = [m for m in held if not m[:1].isdigit() or any(t[:1].isdigit() for t in theirs)]
    return [
        n for n in _saved(values)
        if not any(_is_within(m, n) for m in mine)
        and (any(_is_within(m, n) for m in theirs) or (tied and n.rpartition(".")[2] in OUTPUT_NAMES))
    ]  # fmt: skip


def lacks_tied(values: Mapping[str, Any], held: Iterable[str]) -> bool:
    """Return whether `ensure_weight_tying` asks for embedding and output layer, and the adapter has only one of them.

    `held` are the modules that it has a LoRA or the whole weight of. For a base whose embedding is shared only.
    """
    outer = {leaf in OUTPUT_NAMES for m in held if _is_outer(m) for leaf in [m.rpartition(".")[2]]}
    return bool(values.get("ensure_weight_tying")) and len(outer) == 1


def absent_rows(values: Mapping[str, Any], held: Iterable[str], *, tied: bool) -> list[str]:
    """Return the layers whose rows `trainable_token_indices` names and the adapter has no rows for: no load takes that.

    `held` are the modules that it has rows of; `tied` says that the layers over the vocabulary share their weight, so
    that PEFT keeps the rows of two with the same tokens once.
    """
    said, mine = values.get("trainable_token_indices"), list(held)
    if isinstance(said, list):
        inputs = [m for m in mine if m.rpartition(".")[2] not in OUTPUT_NAMES]
        return [] if inputs or values.get("peft_type") != "LORA" else ["the embedding"]
    if not isinstance(said, dict) or values.get("peft_type") != "LORA":
        return []
    there = {str(name): any(f".{m}".endswith(f".{name}") for m in mine) for name in said}
    kept = [said[name] for name in said if there[str(name)]] if tied else []
    return [str(name) for name, rows in said.items() if not there[str(name)] and rows not in kept]


def absent_outer(
    values: Mapping[str, Any], patterns: AdapterPatterns, held: Iterable[str], stored: Iterable[str], *, tied: bool
) -> list[str]:
    """Return the embedding and the output layer where `target_modules` lists them and the adapter has no tensors.

    `held`, `stored` and `tied` are as for `absent_saved`. Raises `UnboundedPattern`.
    """
    wanted = values.get("target_modules")
    if not isinstance(wanted, list):
        return []
    leaves = _OUTER.intersection(str(w).rpartition(".")[2] for w in wanted)
    leaves -= OUTPUT_NAMES if str(values.get("task_type")) in WITHOUT_OUTPUT else frozenset()
    mine = list(held)
    theirs = [n for n in stored if n.rpartition(".")[2] in leaves and not _NUMBER.search(f".{n}.")]
    theirs += (
        sorted(leaves & OUTPUT_NAMES) if tied and not OUTPUT_NAMES & {n.rpartition(".")[2] for n in theirs} else []
    )
    lost = [n for n in theirs if not any(_is_within(m, n.rpartition(".")[2]) for m in mine)]
    return [n for n in lost if is_targeted(values, patterns, n)]


def lacks_head(
    values: Mapping[str, Any], whole: Iterable[str], stored: Iterable[str], architectures: Iterable[str]
) -> bool:
    """Return whether neither adapter nor base has the head of the adapter's task, so that it would be random numbers.

    `whole` are the modules that the adapter holds whole, `stored` those of the base, `architectures` its classes.
    """
    ending = HEADED.get(str(values.get("task_type")))
    if ending is None or any(a.endswith(ending) for a in architectures):
        return False
    theirs = list(stored)
    own = [m for m in whole if not any(f".{t}".endswith(f".{m}") or f".{m}".endswith(f".{t}") for t in theirs)]
    return not own and not any(_HEADS.intersection(n.split(".")) for n in theirs)


def _is_within(module: str, name: str) -> bool:
    return f".{name}." in f".{module}."


def absent_parts(values: Mapping[str, Any], parts: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the tensors that a module's other ones need: the second matrix of a pair, the magnitude of a DoRA.

    `parts` maps modules to the parts that the adapter holds for them: A, B, embedding_A, embedding_B, magnitude_vector.
    """
    found = []
    for module, held in parts.items():
        own = set(held)
        needed = {"embedding_A", "embedding_B"} if own & {"embedding_A", "embedding_B"} else {"A", "B"}
        needed |= {"magnitude_vector"} if values.get("use_dora") else set()
        found += [f"{module}.lora_{part}" for part in sorted(needed - own)]
    return found
