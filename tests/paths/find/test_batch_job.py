"""Directives of batch jobs: comments for the shell, options for the scheduler."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_doctor.paths.find import read_script
from sage_doctor.paths.find.path_map import build_path_map


@pytest.mark.parametrize(
    "line, told",
    [
        ("#SBATCH --output=/home/sprout/logs/vllm-%j.out", "/home/sprout/logs use needed"),
        ("#SBATCH -o /home/sprout/logs/%x_%j.out", "/home/sprout/logs use needed"),
        ('#SBATCH --error="/home/sprout/logs/err.txt"', "/home/sprout/logs use needed"),
        ("#SBATCH --chdir=/home/sprout/hrm", "/home/sprout/hrm use needed"),
        ("#SBATCH -D /home/sprout/hrm  # where it runs", "/home/sprout/hrm use needed"),
        ("#PBS -o /home/sprout/logs/a.log", "/home/sprout/logs/a.log use created"),
        ("#$ -wd /home/sprout/hrm", "/home/sprout/hrm use needed"),
        ("#SBATCH --export=ALL,ZOO=/home/sprout/zoo", "/home/sprout/zoo use unknown"),
        ("##SBATCH --chdir=/home/sprout/hrm", "/home/sprout/hrm documentation unknown"),
        ("# SBATCH --chdir=/home/sprout/hrm", "/home/sprout/hrm documentation unknown"),
        ("set -e\n#SBATCH --chdir=/home/sprout/hrm", "/home/sprout/hrm documentation unknown"),
    ],
)
def test_a_directive(line: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "job.sh"
    path.write_text(f"#!/bin/bash\n{line}\nsrun hostname\n")
    known = build_path_map(home=tmp_path / "me", own_roots=[], other_roots=["/home/sprout"])
    found = read_script(path, known, directory=tmp_path).references
    assert [f"{r.text} {r.usage} {r.need}" for r in found] == [told]
