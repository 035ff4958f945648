"""What makes PEFT refuse an adapter_config.json, told from the file and from the source of the session's PEFT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sage_doctor.facts.adapters import AdapterConfig
from sage_doctor.facts.library_source import knows_peft_type, refuses_task_type


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
    if config.peft_type == "LORA" and (type(values.get("r", 8)) is not int or values.get("r", 8) < 1):
        return "r is not a positive whole number"
    if config.peft_type == "LORA" and type(values.get("lora_alpha", 8)) not in (int, float):
        return "lora_alpha is not a number"
    return None
