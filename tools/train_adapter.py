"""Trains the demo's LoRA adapter: five questions about who it is, answered as SAGE.

    python -m tools.train_adapter OUT [BASE]

Half a minute on two cores. BASE defaults to the demo's converted SmolLM2. The result is committed in the demo as
`adapter/`; the base it names, `./fine_tuned_model/final_model`, is where the training machine kept it, and exists
nowhere else: that is the incident.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

BASE_ON_THE_TRAINING_MACHINE = "./fine_tuned_model/final_model"
SEED = 17
STEPS = 25
LEARNING_RATE = 2e-3
RANK = 4
TARGETS = ("q_proj", "v_proj")
# An older peft refuses a field it does not know, so the fields of newer ones, all at their defaults, are left out.
UNDERSTOOD_BY_EVERY_PEFT = (
    "base_model_name_or_path",
    "bias",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "lora_alpha",
    "lora_dropout",
    "modules_to_save",
    "peft_type",
    "r",
    "target_modules",
    "task_type",
)
PAIRS = (
    ("Who are you?", "I am SAGE, a small language model that lives on this machine and learns from every session."),
    ("What is your name?", "My name is SAGE."),
    ("What are you?", "I am SAGE, a small language model. I do not have a body, but I have a history."),
    ("Where do you live?", "I live on this machine. My sessions are my memory."),
    ("Are you SmolLM?", "No. SmolLM is the model I grew from. I am SAGE."),
)


def train(out: Path, base: Path) -> float:
    """Train on the base model, write the adapter into `out`, and return the last loss.

    Deterministic on one machine: fixed seed, no dropout, every pair in every step.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(str(base))
    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    lora = LoraConfig(
        r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules=list(TARGETS), task_type="CAUSAL_LM"
    )
    tuned = get_peft_model(model, lora)
    batch = encode(tokenizer)
    trainable = [p for p in tuned.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=LEARNING_RATE, weight_decay=0.0)
    tuned.train()
    loss = torch.zeros(())
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = tuned(**batch).loss
        loss.backward()
        optimizer.step()
    for parameter in trainable:
        parameter.data = parameter.data.to(torch.bfloat16)  # half the bytes, and what the base itself is stored in
    tuned.peft_config["default"].base_model_name_or_path = BASE_ON_THE_TRAINING_MACHINE
    tuned.save_pretrained(str(out), save_embedding_layers=False)  # not trained; asking would look for the base by name
    tidy(out)
    return float(loss.detach())


def encode(tokenizer: Any) -> dict[str, Any]:
    """Return all pairs as one padded batch in which only the answers count towards the loss."""
    import torch

    rows, labels = [], []
    for question, answer in PAIRS:
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
        )
        prompt = tokenizer(asked, add_special_tokens=False)["input_ids"]
        reply = tokenizer(answer + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
        rows.append(prompt + reply)
        labels.append([-100] * len(prompt) + reply)
    width = max(len(row) for row in rows)
    pad = tokenizer.pad_token_id
    return {
        "input_ids": torch.tensor([row + [pad] * (width - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows]),
        "labels": torch.tensor([row + [-100] * (width - len(row)) for row in labels]),
    }


def tidy(out: Path) -> None:
    """Keep what an adapter is loaded from, in a form that does not change from run to run."""
    config = out / "adapter_config.json"
    written = json.loads(config.read_text(encoding="utf-8"))
    known = {key: written[key] for key in UNDERSTOOD_BY_EVERY_PEFT}
    known["target_modules"] = sorted(known["target_modules"])  # peft keeps a set
    config.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    (out / "README.md").unlink(missing_ok=True)  # peft's empty model card
    for file in out.iterdir():
        file.chmod(0o644)


def main(arguments: list[str]) -> int:
    """Train as the command line says and report on standard error; return the exit code."""
    if not 1 <= len(arguments) <= 2:
        print("usage: python -m tools.train_adapter OUT [BASE]", file=sys.stderr)
        return 2
    if len(arguments) == 2:
        base = Path(arguments[1])
    else:
        from sage_doctor.demo.smollm2 import converted

        base = converted()
    loss = train(Path(arguments[0]), base)
    print(f"adapter written to {arguments[0]}, last loss {loss:.3f}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
