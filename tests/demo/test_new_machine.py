"""The commands of `docs/new-machine.md`, typed in a root that has a system, a Python, and nothing of the user's.

A mount namespace of its own with a new root: the system read-only, the installed wheel, an empty home with a checkout.
The models are on another machine, behind a real sshd.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model_directories import write_full
from tests.repairs import sshd

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "new-machine.md").read_text(encoding="utf-8")
ENTER = """set -e
root=$1; shift
for place in /usr /lib /lib64 /bin /sbin /etc /dev /proc "$@"; do
    [ -e "$place" ] || continue
    mkdir -p "$root$place"
    mount --rbind "$place" "$root$place"
done
mkdir -p "$root/tmp"
exec chroot "$root" /usr/bin/env -i HOME="$HERE" PATH="$NEWPATH" LC_ALL=C.UTF-8 SAGE_DOCTOR_LEVEL=static \\
    sh -c "cd $HERE/project && $LINE"
"""
MANIFEST = """schema = 1
[machines.sprout]
match.hostname = "sprout"
roles = ["raising"]
home = "{theirs}"
[roles.raising]
models = ["introspective"]
[models.introspective]
kind = "full"
path = "{{home}}/zoo/introspective"
"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return the environment of `ENTER`: an installed doctor, a checkout, and the other machine's server."""
    here, theirs = tmp_path / "here", tmp_path / "theirs"
    (here / "project").mkdir(parents=True)
    write_full(theirs / "zoo" / "introspective")
    (here / "project" / "sage-doctor.toml").write_text(MANIFEST.format(theirs=theirs))
    with sshd.running(tmp_path / "sshd") as server:
        text = f'PYTHONPATH={ROOT} HOME={theirs} exec {sys.executable} -m sage_doctor "$@"\n'
        sshd.remote_program(server, "sage-doctor", text)
        environment = tmp_path / "environment"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=60)
        packages = next((environment / "lib").glob("python3*/site-packages"))
        (packages / "dependencies.pth").write_text("\n".join([str(ROOT), *filter(os.path.isdir, sys.path)]))
        doctor = environment / "bin" / "sage-doctor"
        doctor.write_text(f'#!/bin/sh\nexec {environment}/bin/python -m sage_doctor "$@"\n')
        doctor.chmod(0o755)
        yield {
            "HERE": str(here),
            "NEWPATH": f"{server.clients}:{environment}/bin:/usr/bin:/bin",
            "PATH": os.environ["PATH"],
            "ROOT": str(tmp_path / "root"),
        }


def typed(machine: dict[str, str], line: str, tmp_path: Path) -> str:
    outside = {p for p in (*sys.path, sys.prefix, sys.base_prefix, str(ROOT)) if p.startswith("/") and os.path.isdir(p)}
    places = [p for p in sorted(outside) if not p.startswith(("/usr/", "/lib/"))]
    kept = [p for p in places if not any(p.startswith(f"{other}/") for other in places)]
    words = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    words += ["sh", "-c", ENTER, "sh", machine["ROOT"], str(tmp_path), *kept]
    done = subprocess.run(
        words, env={**machine, "LINE": line}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_what_the_page_says_is_what_happens(machine: dict[str, str], tmp_path: Path) -> None:
    lines = [m[1] for m in re.finditer(r"^    (sage-doctor setup .*)$", PAGE, re.MULTILINE)]
    dry, whole = next(x for x in lines if "--dry-run" in x), next(x for x in lines if "--yes" in x)
    assert "[machines." in typed(machine, dry, tmp_path)
    shown = typed(machine, whole, tmp_path)
    assert "HEALTHY" in shown
    here = Path(machine["HERE"])
    assert (here / "zoo/introspective/model.safetensors").is_file()
    assert "introspective" in (here / "project/setup.html").read_text()
    told = json.loads(typed(machine, "sage-doctor check -f json", tmp_path))
    assert told["machine"]["roles"] == ["raising"]
