"""What makes PEFT refuse an adapter_config.json, told from the file and from the source of the session's PEFT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sage_doctor.facts.adapters import PREFIX, AdapterConfig
from sage_doctor.facts.library_source import knows_peft_type, refuses_task_type
from sage_doctor.readers.safetensors_header import Tensor

_MATRIX = 2
_ROWS = ".trainable_tokens_delta"


def config_problem(config: AdapterConfig, site_packages: Sequence[Path]) -> str | None:
    """Return what is wrong with the configuration of an adapter, None where a load would take it or it is missing.

    Types are those that the classes of peft 0.17 to 0.21 fail with: each ends in an error that names no file.
    """
    if config.file.problem or config.file.missing:
        return config.file.problem
    if config.peft_type is None:
        return "it names no peft_type"
    if knows_peft_type(site_packages, config.peft_type) is False:
        return f"peft_type {config.peft_type!r} is unknown to the session's peft"
    values = config.values or {}
    task, saved = values.get("task_type"), values.get("modules_to_save")
    if isinstance(task, str) and refuses_task_type(site_packages, task):
        return f"task_type {task!r} is unknown to the session's peft"
    if isinstance(saved, str):
        return f"modules_to_save is the text {saved!r}, and PEFT wants a list of names"
    if config.peft_type in ("LORA", "TRAINABLE_TOKENS"):
        return _number_problem(values) if config.peft_type == "LORA" else _token_problem(values, "token_indices")
    fed, targets = values.get("feedforward_modules"), values.get("target_modules")
    if config.peft_type == "IA3" and isinstance(fed, list) and isinstance(targets, list):
        others = [m for m in fed if m not in targets]
        if others:
            return f"feedforward_modules names {others[0]!r}, which target_modules does not"
    return None


def _number_problem(values: Mapping[str, object]) -> str | None:
    """Return which number of a LoRA's configuration is none."""
    rank = values.get("r", 8)
    if type(rank) is not int or rank < 1:
        return "r is not a positive whole number"
    if type(values.get("lora_alpha", 8)) not in (int, float):
        return "lora_alpha is not a number"
    for field in ("rank_pattern", "alpha_pattern"):
        pattern = values.get(field, {})
        if not isinstance(pattern, dict) or any(type(n) not in (int, float, bool) for n in pattern.values()):
            return f"{field} is not an object of names and numbers"
    return _token_problem(values, "trainable_token_indices")


def _token_problem(values: Mapping[str, object], field: str) -> str | None:
    said = values.get(field)
    lists = list(said.values()) if isinstance(said, dict) else [said]
    if all(rows is None or (isinstance(rows, list) and all(type(n) is int and n >= 0 for n in rows)) for rows in lists):
        return None
    return f"{field} holds something else than token ids"


def trained_rows(values: Mapping[str, object], module: str) -> tuple[int, ...] | None:
    """Return the rows of an embedding that were trained by themselves, None where they are not stated as PEFT has it.

    `module` is the embedding's name, or that of one of its tensors.
    """
    module = module.removesuffix(_ROWS).removesuffix(".token_adapter")
    rows = values.get("token_indices" if values.get("peft_type") == "TRAINABLE_TOKENS" else "trainable_token_indices")
    if isinstance(rows, dict):
        rows = next((v for k, v in rows.items() if f".{module}".endswith(f".{k}")), None)
    if not isinstance(rows, list) or not all(type(n) is int and n >= 0 for n in rows):
        return None
    return tuple(rows)


def stated_sizes(config: AdapterConfig, tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, int]]:
    """Return what the configuration states of tensors' shapes, as (dimension, size), the ranks of LoRA left out.

    As peft 0.21 builds them: a row for each token that is trained by itself, AdaLoRA's pruned ranks (`rank_pattern`, a
    list of booleans for each module), IA3's vectors (a row for the inputs of `feedforward_modules`, a column for
    outputs), prompts and prefixes.
    """
    values = config.values or {}
    matrices = [n for n, t in tensors.items() if len(t.shape) == _MATRIX]
    if config.peft_type == "ADALORA":
        return {n: size for n in matrices if (size := _rank(values, n)) is not None}
    if config.peft_type == "IA3":
        fed = values.get("feedforward_modules") or []
        ends = tuple(m for m in fed if isinstance(m, str))
        names = [n for n in matrices if ".ia3_l" in n and isinstance(fed, list)]
        return {n: (0 if n.partition(".ia3_l")[0].endswith(ends) else 1, 1) for n in names}
    if config.peft_type in ("LORA", "TRAINABLE_TOKENS"):
        rows_of = {n: trained_rows(values, n.removeprefix(PREFIX)) for n in matrices if n.endswith(_ROWS)}
        return {n: (0, len(rows)) for n, rows in rows_of.items() if rows is not None}
    tokens, parts = values.get("num_virtual_tokens"), values.get("num_transformer_submodules")
    if "prompt_embeddings" not in matrices or type(tokens) is not int or type(parts) is not int:
        return {}
    layers, width = values.get("num_layers"), values.get("token_dim")
    rows = tokens if config.peft_type == "PREFIX_TUNING" else tokens * parts
    prefix = config.peft_type == "PREFIX_TUNING" and tensors["prompt_embeddings"].shape[0] == rows
    columns = (1, 2 * layers * width) if prefix and type(layers) is int and type(width) is int else None
    return {"prompt_embeddings": columns or (0, rows)}


def _rank(values: Mapping[str, object], tensor: str) -> tuple[int, int] | None:
    """Return the side of an AdaLoRA tensor that has the rank, and the rank."""
    module, _, part = tensor.removeprefix(PREFIX).rpartition(".")
    rank, patterns = values.get("init_r", 12), values.get("rank_pattern")
    kept = patterns.get(f"{module}.lora_E") if isinstance(patterns, dict) else None
    rank = sum(map(bool, kept)) if isinstance(kept, list) else rank
    return (int(part == "lora_B"), rank) if type(rank) is int and part in ("lora_A", "lora_B", "lora_E") else None
