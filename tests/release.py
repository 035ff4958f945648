"""Whether a release can be made of this checkout: `make release-check`, a minute and a package index.

Wheel and source distribution are built twice, from one commit's date, and must be alike to the last byte. They stay in
`dist/`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sage_doctor import __version__
from tests.consumers import run
from tests.model_directories import write_full

ROOT = Path(__file__).parents[1]


def build(tools: Path, to: Path) -> dict[str, str]:
    """Build both files into `to`, and return their hashes by name."""
    date = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": date.stdout.strip()}
    command = [str(w) for w in (tools / "python", "-m", "build", "--no-isolation", "--outdir", to, ROOT)]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(to.iterdir())}


def installed(tools: Path, wheel: Path, scratch: Path) -> None:
    """Install the wheel with pipx and with uv, and let each examine a model."""
    write_full(scratch / "model")
    os.environ.update(PIPX_HOME=f"{scratch}/pipx", PIPX_BIN_DIR=f"{scratch}/pipx-bin")
    os.environ.update(UV_TOOL_DIR=f"{scratch}/uv", UV_TOOL_BIN_DIR=f"{scratch}/uv-bin")
    run(tools / "pipx", "install", wheel)
    run(tools / "uv", "tool", "install", wheel)
    for place in ("pipx-bin", "uv-bin"):
        doctor = scratch / place / "sage-doctor"
        assert __version__ in run(doctor, "--version")
        run(doctor, "check", scratch / "model")


def main(tools: Path) -> None:
    """Do all of it; ends with a sentence of what does not hold."""
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        first, second = build(tools, scratch / "one"), build(tools, scratch / "two")
        if first != second:
            sys.exit(f"two builds of one commit differ: {first} {second}")
        wheel = next((scratch / "one").glob("*.whl"))
        run(tools / "twine", "check", "--strict", *sorted((scratch / "one").iterdir()))
        run(tools / "check-wheel-contents", wheel, cwd=ROOT)
        installed(tools, wheel, scratch)
        shutil.rmtree(ROOT / "dist", ignore_errors=True)
        shutil.copytree(scratch / "one", ROOT / "dist")
    for name, digest in first.items():
        print(f"{digest}  dist/{name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
