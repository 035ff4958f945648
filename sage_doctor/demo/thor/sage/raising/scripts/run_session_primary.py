"""A raising session of the primary track: the model is woken and asked who it is."""

from pathlib import Path
from typing import Any

HRM_ROOT = Path(__file__).resolve().parents[3]
MODEL = "/home/sprout/ai-workspace/HRM/model-zoo/sage/epistemic-stances/smollm2-135m/introspective-merged"
BASE = ""  # a merged model needs none


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
