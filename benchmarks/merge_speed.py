"""Whole-process time and peak memory of a merge: PEFT's load, merge and save against `sage-doctor merge`.

    python benchmarks/merge_speed.py [--runs 3] [--layers 24 12 6] [--keep DIR]

Builds random bf16 models of the shape of Qwen2-0.5B (fewer layers make smaller ones), merges a LoRA on all linear
layers, r = 8, each time in a new process, in turns so that a noisy machine strikes all. Beside them: `cp` and fsync of
the same bytes, and our imports alone, since what a merge takes beyond its imports can hardly be less than the copy.
Prints the least times, their ratios, and the peak resident memory, which for ours must not grow with the model.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
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
COPY = """
import os, subprocess, sys
source, out = sys.argv[1:]
subprocess.run(["cp", "-r", source, out], check=True)
for name in os.listdir(out):
    handle = os.open(os.path.join(out, name), os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
"""
IMPORTS = "import numpy, torch, sage_doctor.cli.app, sage_doctor.host, sage_doctor.merge"


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


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The least seconds of each kind of run, and the greatest peaks in megabytes."""

    peft: float
    ours: float
    imports: float
    copy: float
    peft_peak: float
    our_peak: float


def compare(folder: Path, runs: int, *, against_peft: bool) -> Comparison:
    """Return what PEFT, we, our imports alone, and `cp` with fsync take, in turns."""
    out = {kind: folder / f"{kind}-out" for kind in ("peft", "ours", "copy")}
    base = ["--base", str(folder / "base"), "--out", str(out["ours"])]
    commands = {
        "peft": ["-c", PEFT, str(folder), str(out["peft"])],
        "ours": [*OURS, str(folder / "adapter"), *base],
        "imports": ["-c", IMPORTS],
        "copy": ["-c", COPY, str(folder / "base"), str(out["copy"])],
    }
    if not against_peft:
        del commands["peft"]
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in commands}
    for _ in range(runs):
        for kind, command in commands.items():
            if kind in out:
                shutil.rmtree(out[kind], ignore_errors=True)
            os.sync()
            found[kind].append(measured(command))
    for path in out.values():
        shutil.rmtree(path, ignore_errors=True)
    least = {kind: min(t for t, _ in times) for kind, times in found.items()}
    peak = {kind: max(p for _, p in times) for kind, times in found.items()}
    return Comparison(
        peft=least.get("peft", math.nan),
        ours=least["ours"],
        imports=least["imports"],
        copy=least["copy"],
        peft_peak=peak.get("peft", math.nan),
        our_peak=peak["ours"],
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--layers", type=int, nargs="+", default=[24, 12, 6])
    parser.add_argument("--most-peft", type=int, default=24, metavar="LAYERS", help="larger models go without PEFT")
    parser.add_argument("--keep", type=Path, help="where models are built, and kept for the next time")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    root = arguments.keep or Path(tempfile.mkdtemp(prefix="merge-speed-"))
    heads = ("PEFT", "ours", "faster", "imports", "cp+fsync", "our rest", "of cp", "PEFT peak", "our peak")
    print(f"{'layers':>6} {'size':>9} " + " ".join(f"{h:>9}" for h in heads), flush=True)
    for layers in arguments.layers:
        folder = root / f"layers-{layers}"
        if not (folder / "adapter").is_dir():
            subprocess.run([sys.executable, "-c", BUILD, folder, str(layers)], check=True, stderr=subprocess.DEVNULL)
        os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="merge-speed-cache-")  # hashes are computed each time
        size = sum(p.stat().st_size for p in (folder / "base").glob("*.safetensors")) / 1e6
        took = compare(folder, arguments.runs, against_peft=layers <= arguments.most_peft)
        rest = took.ours - took.imports
        cells = (
            *(f"{took.peft:.1f} s", f"{took.ours:.1f} s", f"{took.peft / took.ours:.2f}x", f"{took.imports:.1f} s"),
            *(f"{took.copy:.1f} s", f"{rest:.1f} s", f"{rest / took.copy:.2f}x"),
            *(f"{took.peft_peak:.0f} MB", f"{took.our_peak:.0f} MB"),
        )
        print(f"{layers:>6} {size:>6.0f} MB " + " ".join(f"{c:>9}" for c in cells), flush=True)
    if arguments.keep is None:
        shutil.rmtree(root)
    print(f"this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB; {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
