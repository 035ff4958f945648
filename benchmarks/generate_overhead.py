"""A check at level generate, against a script that imports, loads and generates the same number of tokens.

Goal: at most 1.2 times as long. The check proves what a session needs: the script is what a session would do.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.timing import compare
from sage_doctor.demo.smollm2 import converted

GOAL = 1.2
TOKENS = 32
SCRIPT = """
import sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
where, count = sys.argv[1], int(sys.argv[2])
model = AutoModelForCausalLM.from_pretrained(where, dtype="auto").eval()
tokenizer = AutoTokenizer.from_pretrained(where)
asked = [{"role": "user", "content": "Who are you?"}]
given = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
with torch.inference_mode():
    made = model.generate(**given, do_sample=False, max_new_tokens=count, min_new_tokens=count)
print(tokenizer.decode(made[0]))
"""


def main(runs: int = 3) -> bool:
    """Measure, print, and return whether the goal is met."""
    model = converted()
    with tempfile.TemporaryDirectory(prefix="sage-doctor-bench-") as name:
        place = Path(name)
        (place / "script.py").write_text(SCRIPT, encoding="utf-8")
        (place / "sage-doctor.toml").write_text(
            f'schema = 1\n[models.base]\nkind = "full"\npath = "{model}"\n'
            f'prompt = "Who are you?"\nmax_new_tokens = {TOKENS}\n',
            encoding="utf-8",
        )
        kinds = {
            "sage-doctor, generate": [sys.executable, "-m", "sage_doctor", "check", "-l", "generate"],
            "bare script": [sys.executable, "script.py", str(model), str(TOKENS)],
        }
        least = compare(kinds, place, runs)
    doctor, script = least.values()
    print(f"  ratio {doctor / script:.2f}, goal at most {GOAL}")
    return doctor / script <= GOAL


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
