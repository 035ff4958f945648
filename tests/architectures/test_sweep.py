"""A few architectures of every kind, examined down to a load without an alarm; `make architectures` takes them all."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOME = (
    *("llama", "gpt2", "qwen3_moe", "mamba", "deepseek_v3", "t5", "whisper", "llava", "bert", "wav2vec2"),
    *("vit", "clip", "wavlm"),
)


def test_healthy_architectures_raise_no_alarm(warm_python: Path) -> None:
    command = [str(warm_python), "-W", "ignore", "-m", "tests.architectures.sweep", *SOME]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    quiet, examined = map(int, re.findall(r"^(\d+) of (\d+) healthy", done.stdout)[0])
    assert quiet == examined >= len(SOME)
