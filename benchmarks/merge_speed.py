"""Whole-process time and peak memory of a merge: PEFT's load, merge and save against `sage-doctor merge`.

    python -m benchmarks.merge_speed [--runs 5] [--layers 24 180] [--keep DIR]

Builds random bf16 models of the shape of Qwen2.5-0.5B (24 layers make 1 GB, 180 make the 5.6 GB of a 3B model; each
needs four times that on disk), and merges a LoRA on all linear layers, r = 8, each time in a new process, in turns so
that a noisy machine strikes all. Ours twice: with nothing recorded, and with the inputs' hashes known, as after a
lock. In the same turns: `cp` and fsync of the same bytes, and a process that imports what a merge imports and does
nothing else. What a merge takes beyond that can hardly be less than the copy; a merge works while it imports, so that
this difference is not the time in which its work is done.

Prints the least times, their ratios, the least processor time, and the greatest peak of resident memory, which for ours
must not grow with the model. Then, of one more run, when each phase ended. Returns 1 where a goal was missed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
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
# As the command itself: without the search for cycles, and without the last one at the end.
IMPORTS = """
import atexit, gc
import sage_doctor.cli.app, sage_doctor.facts.hashing, sage_doctor.merge
gc.disable()
atexit.register(gc.freeze)
import torch
"""
PHASES = """
import gc, json, pathlib, sys, time
begun = time.perf_counter()
from sage_doctor.merge import apply, plan_merge
gc.disable()
folder, out = map(pathlib.Path, sys.argv[1:])
ended = {"imports": time.perf_counter() - begun}
plan = plan_merge(folder / "adapter", out, base=folder / "base")
ended["plan"] = time.perf_counter() - begun
def told(step):
    ended[step.activity.partition(" model")[0]] = time.perf_counter() - begun
apply(plan, progress=told)
ended["in place"] = time.perf_counter() - begun
print(json.dumps(ended))
"""
COPY = """
import os, subprocess, sys
source, out = sys.argv[1:]
subprocess.run(["cp", "-r", source, out], check=True)
for name in os.listdir(out):
    handle = os.open(os.path.join(out, name), os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
"""
FASTER_GOAL = 2.5  # than PEFT, whole processes
MEMORY_GOAL = 0.2  # of PEFT's peak
COPY_GOAL = 1.3  # times cp and fsync, beyond the imports
GROWTH_GOAL = 32.0  # megabytes, from the smallest model to the largest
HEADS = (
    *("PEFT", "ours", "faster", "known", "imports", "beyond", "cp+fsync", "of cp"),
    *("PEFT peak", "our peak", "of PEFT's"),
)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What one process took: seconds by the clock and of the processors, and its peak in resident megabytes."""

    seconds: float
    processor: float
    peak: float


def measured(command: list[str]) -> Taken:
    """Run a process and return what it took. Ends the benchmark where it fails."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(said.decode("utf-8", "replace"))
    peak = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)
    return Taken(seconds=seconds, processor=usage.ru_utime + usage.ru_stime, peak=peak)


def compare(folder: Path, runs: int, *, against_peft: bool) -> dict[str, Taken]:
    """Return the least that PEFT, we, our imports alone, and `cp` with fsync take, in turns, and the greatest peaks."""
    out = {kind: folder / f"{kind}-out" for kind in ("peft", "ours", "copy")}
    out["known"] = out["ours"]
    base = ["--base", str(folder / "base"), "--out", str(out["ours"])]
    commands = {
        "peft": ["-c", PEFT, str(folder), str(out["peft"])],
        "ours": [*OURS, str(folder / "adapter"), *base],
        "known": [*OURS, str(folder / "adapter"), *base],
        "imports": ["-c", IMPORTS],
        "copy": ["-c", COPY, str(folder / "base"), str(out["copy"])],
    }
    if not against_peft:
        del commands["peft"]
    found: dict[str, list[Taken]] = {kind: [] for kind in commands}
    recorded = tempfile.mkdtemp(dir=folder)
    for turn in range(runs + 1):
        for kind, command in commands.items():
            if turn == 0 and kind != "known":
                continue  # the turn that records the hashes
            fresh = tempfile.mkdtemp(dir=folder)  # where nothing is recorded, hashes are computed
            os.environ["XDG_CACHE_HOME"] = recorded if kind == "known" else fresh
            os.sync()
            taken = measured(command)
            if turn:
                found[kind].append(taken)
            shutil.rmtree(fresh)
            if kind in out:
                shutil.rmtree(out[kind])
    shutil.rmtree(recorded)
    return {
        kind: Taken(
            seconds=min(t.seconds for t in taken),
            processor=min(t.processor for t in taken),
            peak=max(t.peak for t in taken),
        )
        for kind, taken in found.items()
    }


def phases(folder: Path) -> str:
    """Merge once more and return when each phase ended, in seconds since the interpreter began to import."""
    out = folder / "phases-out"
    command = [sys.executable, "-c", PHASES, str(folder), str(out)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    shutil.rmtree(out)
    return ", ".join(f"{name} {seconds:.1f}" for name, seconds in json.loads(done.stdout).items())


def line(layers: int, size: float, took: dict[str, Taken]) -> str:
    """Return a model's row of the table."""
    ours, imports, copy = took["ours"], took["imports"], took["copy"]
    peft = took.get("peft", Taken(seconds=math.nan, processor=math.nan, peak=math.nan))
    beyond = took["known"].seconds - imports.seconds
    cells = (
        *(f"{peft.seconds:.1f} s", f"{ours.seconds:.1f} s", f"{peft.seconds / ours.seconds:.2f}x"),
        *(
            f"{took['known'].seconds:.1f} s",
            f"{imports.seconds:.1f} s",
            f"{beyond:.1f} s",
            f"{copy.seconds:.1f} s",
            f"{beyond / copy.seconds:.2f}x",
        ),
        *(f"{peft.peak:.0f} MB", f"{ours.peak:.0f} MB", f"{ours.peak / peft.peak:.2f}x"),
    )
    return f"{layers:>6} {size:>6.0f} MB " + " ".join(f"{c:>9}" for c in cells)


def missed(took: dict[int, dict[str, Taken]]) -> list[str]:
    """Return the goals that were missed, in words."""
    found = []
    for layers, of in took.items():
        beyond = of["known"].seconds - of["imports"].seconds
        if "peft" in of and of["peft"].seconds < FASTER_GOAL * of["ours"].seconds:
            found.append(f"{layers} layers: less than {FASTER_GOAL} times as fast as PEFT")
        if "peft" in of and of["ours"].peak > MEMORY_GOAL * of["peft"].peak:
            found.append(f"{layers} layers: more than {MEMORY_GOAL} of PEFT's peak")
        if beyond > COPY_GOAL * of["copy"].seconds:
            found.append(f"{layers} layers: beyond the imports more than {COPY_GOAL} times cp and fsync")
    peaks = [of["ours"].peak for of in took.values()]
    if max(peaks) - min(peaks) > GROWTH_GOAL:
        found.append(f"the peak grows by more than {GROWTH_GOAL:.0f} MB")
    return found


def main() -> bool:
    """Measure, print, and return whether the goals are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--layers", type=int, nargs="+", default=[24, 180])
    parser.add_argument("--most-peft", type=int, default=24, metavar="LAYERS", help="larger models go without PEFT")
    parser.add_argument("--keep", type=Path, help="where models are built, and kept for the next time")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    root = arguments.keep or Path(tempfile.mkdtemp(prefix="merge-speed-"))
    print(f"{'layers':>6} {'size':>9} " + " ".join(f"{h:>9}" for h in HEADS), flush=True)
    took = {}
    for layers in arguments.layers:
        folder = root / f"layers-{layers}"
        if not (folder / "adapter").is_dir():
            subprocess.run([sys.executable, "-c", BUILD, folder, str(layers)], check=True, stderr=subprocess.DEVNULL)
        size = sum(p.stat().st_size for p in (folder / "base").glob("*.safetensors")) / 1e6
        took[layers] = compare(folder, arguments.runs, against_peft=layers <= arguments.most_peft)
        print(line(layers, size, took[layers]), flush=True)
        used = ", ".join(f"{kind} {t.processor:.1f}" for kind, t in took[layers].items())
        print(f"       seconds of processors: {used}")
        print(f"       of one merge, when it had done with: {phases(folder)}", flush=True)
    if arguments.keep is None:
        shutil.rmtree(root)
    busy = ", ".join(f"{n:.1f}" for n in os.getloadavg())
    print(f"{os.cpu_count()} cores; load of the last 1, 5 and 15 minutes, this benchmark's own included: {busy}")
    goals = missed(took)
    print(f"goals missed: {'; '.join(goals) or 'none'}")
    return not goals


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
