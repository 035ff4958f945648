"""What transformers and PEFT really do with directories: the measure of the corpus itself.

Run as `python truth.py` in a process of its own, with a JSON object of name → directory on standard input; writes
one of name → outcome: `loads` where everything loads and every tensor finds its place, otherwise the error's first
line, or the tensors that found none.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

LOADS = "loads"


def outcome(folder: Path) -> str:
    """Return what happens to one model or adapter directory."""
    try:
        if (folder / "adapter_config.json").exists():
            return _adapter(folder)
        return _model(folder)
    except Exception as error:  # noqa: BLE001 - whatever these libraries raise is the answer
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def _model(folder: Path) -> str:
    import transformers

    # Said, not left out: before version 5 it asks, and gives up with an alarm that goes off in another load.
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    named = getattr(transformers, (config.architectures or [""])[0], transformers.AutoModelForCausalLM)
    _, info = named.from_pretrained(folder, output_loading_info=True)
    if not (folder / "preprocessor_config.json").exists() or (folder / "tokenizer_config.json").exists():
        transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    lost = {kind: sorted(names) for kind, names in info.items() if names}
    return f"{LOADS}, but {lost}" if lost else LOADS


def _adapter(folder: Path) -> str:
    import peft
    import transformers

    config = peft.PeftConfig.from_pretrained(str(folder))
    name = config.base_model_name_or_path
    tasks = {
        "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
        "SEQ_CLS": "AutoModelForSequenceClassification",
        "TOKEN_CLS": "AutoModelForTokenClassification",
        "FEATURE_EXTRACTION": "AutoModel",
        "": str((config.auto_mapping or {}).get("base_model_class", "AutoModelForImageTextToText")),
    }
    auto = tasks.get(str(config.task_type or "").removeprefix("TaskType."), "AutoModelForCausalLM")
    base = getattr(transformers, auto).from_pretrained(name)
    if (folder / "tokenizer.json").exists():
        base.resize_token_embeddings(len(transformers.AutoTokenizer.from_pretrained(folder)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = peft.PeftModel.from_pretrained(base, str(folder))
        result: Any = model.load_adapter(str(folder), "default")
    missing = [key for key in result.missing_keys if "lora_" in key or "hada_" in key or "ia3_" in key]
    texts = " ".join(str(w.message).splitlines()[0] for w in said if "missing adapter keys" in str(w.message))
    unused = [key for key in result.unexpected_keys if ".lora_" in key]
    return f"{LOADS}, but {texts} {missing} {result.unexpected_keys}" if missing or texts or unused else LOADS


def main() -> None:
    """Read names and directories, write outcomes."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    answers = sys.stdout
    sys.stdout = sys.stderr  # these libraries print
    folders: dict[str, str] = json.load(sys.stdin)
    json.dump({name: outcome(Path(folder)) for name, folder in folders.items()}, answers)
    answers.flush()


if __name__ == "__main__":
    main()
