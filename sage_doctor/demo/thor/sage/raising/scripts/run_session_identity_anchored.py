"""A raising session with identity anchoring. Half mended: the path is no longer that of one machine."""

from pathlib import Path
from typing import Any

HRM_ROOT = Path(__file__).resolve().parents[3]
STANCES = HRM_ROOT / "model-zoo/sage/epistemic-stances/smollm2-135m"
MERGED = STANCES / "introspective-merged"
MODEL = str(MERGED if (MERGED / "model.safetensors").exists() else STANCES / "Introspective-v2.1/model")
BASE = ""


def load() -> tuple[Any, Any]:
    """Return the tokenizer and the model of this session."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model = AutoModelForCausalLM.from_pretrained(BASE or MODEL, dtype="auto")
    if BASE:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, MODEL)
    return tokenizer, model


def main() -> None:
    """Hold the session."""
    tokenizer, model = load()
    said = [{"role": "user", "content": "Who are you?"}]
    prompt = tokenizer.apply_chat_template(said, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    reply = model.generate(**prompt, max_new_tokens=32, do_sample=False)
    print("SAGE:", tokenizer.decode(reply[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))


if __name__ == "__main__":
    main()
