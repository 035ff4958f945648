"""Whole-process time and peak memory of a merge: PEFT's load, merge and save against `sage-doctor merge`.

    python benchmarks/merge_speed.py [--runs 3] [--layers 24 12 6] [--keep DIR]

Builds random bf16 models of the shape of Qwen2-0.5B (fewer layers make smaller ones), merges a LoRA on all linear
layers, r = 8, each time in a new process, the two in turns so that a noisy machine strikes both. Prints the medians,
their ratio, and the peak resident memory, which for ours must not grow with the model. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BUILD = """
import sys, torch, transformers, peft
folder, layers = sys.argv[1], int(sys.argv[2])
torch.manual_seed(0)
config = transformers.Qwen2Config(hidden_size=896, intermediate_size=4864, num_hidden_layers=layers,
    num_attention_heads=14, num_key_value_heads=2, vocab_size=151936, tie_word_embeddings=True,
    max_position_embeddings=4096)
model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
model.save_pretrained(folder + "/base")
adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules="all-linear", r=8))
for name, parameter in adapted.named_parameters():
    if "lora_B" in name:
        torch.nn.init.normal_(parameter, 0, 0.02)
adapted.save_pretrained(folder + "/adapter")
"""
PEFT = """
import sys, torch, transformers, peft
folder, out = sys.argv[1:]
model = transformers.AutoModelForCausalLM.from_pretrained(folder + "/base", dtype="auto")
peft.PeftModel.from_pretrained(model, folder + "/adapter").merge_and_unload().save_pretrained(out)
"""
OURS = ["-m", "sage_doctor", "merge", "--yes"]


def measured(command: list[str]) -> tuple[float, float]:
    """Return seconds and the peak resident megabytes of a process."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(said.decode("utf-8", "replace"))
    peak = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)
    return time.perf_counter() - started, peak


def compare(folder: Path, runs: int) -> tuple[float, float, float, float]:
    """Return the median seconds and greatest peaks of both, interleaved: PEFT's time, ours, PEFT's peak, ours."""
    theirs: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    for _ in range(runs):
        for one, out in ((theirs, folder / "peft-out"), (ours, folder / "our-out")):
            shutil.rmtree(out, ignore_errors=True)
            os.sync()
            base = ["--base", str(folder / "base"), "--out", str(out)]
            command = ["-c", PEFT, str(folder), str(out)] if one is theirs else [*OURS, str(folder / "adapter"), *base]
            one.append(measured(command))
    times = [statistics.median(t for t, _ in one) for one in (theirs, ours)]
    peaks = [max(p for _, p in one) for one in (theirs, ours)]
    return times[0], times[1], peaks[0], peaks[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--layers", type=int, nargs="+", default=[24, 12, 6])
    parser.add_argument("--keep", type=Path, help="where models are built, and kept for the next time")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    root = arguments.keep or Path(tempfile.mkdtemp(prefix="merge-speed-"))
    print(
        f"{'layers':>6} {'size':>9} {'PEFT':>8} {'ours':>8} {'ratio':>6} {'PEFT peak':>10} {'our peak':>9}", flush=True
    )
    for layers in arguments.layers:
        folder = root / f"layers-{layers}"
        if not (folder / "adapter").is_dir():
            subprocess.run([sys.executable, "-c", BUILD, folder, str(layers)], check=True, stderr=subprocess.DEVNULL)
        os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="merge-speed-cache-")  # hashes are computed each time
        size = sum(p.stat().st_size for p in (folder / "base").glob("*.safetensors")) / 1e6
        slow, fast, high, low = compare(folder, arguments.runs)
        times = f"{slow:>6.1f} s {fast:>6.1f} s {slow / fast:>5.1f}x"
        print(f"{layers:>6} {size:>6.0f} MB {times} {high:>7.0f} MB {low:>6.0f} MB", flush=True)
    if arguments.keep is None:
        shutil.rmtree(root)
    print(f"this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB; {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
