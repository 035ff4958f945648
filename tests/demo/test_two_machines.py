"""The walk-through of `docs/two-machines.md`, line by line, on the trees of two machines."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import tomllib

from tests.model_directories import MODEL, write_full

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "two-machines.md").read_text(encoding="utf-8")
CHECKOUT = "ai-workspace/HRM"
RUNNER = f'''"""A session."""
MODEL = "/home/sprout/{CHECKOUT}/model-zoo/introspective-merged"
def main():
    from transformers import AutoModelForCausalLM
    AutoModelForCausalLM.from_pretrained(MODEL)
if __name__ == "__main__":
    main()
'''
UNIT = "[Unit]\nDescription=x\n[Service]\nEnvironment=SAGE_MACHINE=sprout\n"
UNIT += f"WorkingDirectory=/home/sprout/{CHECKOUT}\n"
UNIT += "ExecStart=/usr/bin/python3 sage/raising/scripts/run_session_primary.py\n"


class Machine:
    """A home with a checkout, in which the page's commands are typed."""

    def __init__(self, root: Path, name: str, user: str, python: Path) -> None:
        self.name, self.home = name, root / "home" / user
        self.checkout = self.home / CHECKOUT
        self.checkout.parent.mkdir(parents=True)
        programs = root / "bin"
        programs.mkdir(exist_ok=True)
        (programs / "sage-doctor").write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} -m sage_doctor "$@"\n')
        (programs / "sage-doctor").chmod(0o755)
        self.environ = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "SAGE_MACHINE": name,
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "1",
            **{f"GIT_{who}_{what}": "n@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }

    def type(self, line: str, code: int = 0) -> str:
        """Run a line of the page, and say yes to what it asks; return what it prints."""
        line = re.sub(r"^(?:SAGE_MACHINE=\w+ )?(sage-doctor (?:init|fix)\b.*)", r"\1 --yes", line)
        done = subprocess.run(
            ["sh", "-c", line], cwd=self.checkout, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def lines_of(title: str) -> list[str]:
    """Return the commands of a section."""
    section = PAGE[PAGE.index(f"## {title}") :].partition("\n## ")[0]
    return [line.strip() for line in section.splitlines() if line.startswith("    ")]


def test_what_the_page_says_is_what_happens(tmp_path: Path, warm_doctor: Path) -> None:
    thor = Machine(tmp_path, "thor", "dp", warm_doctor)
    sprout = Machine(tmp_path, "sprout", "sprout", warm_doctor)
    scripts = thor.checkout / "sage/raising/scripts"
    scripts.mkdir(parents=True)
    (thor.checkout / "sage/units").mkdir()
    for name in ("run_session_primary.py", "run_session_sensing.py"):
        (scripts / name).write_text(RUNNER)
    (thor.checkout / "sage/units/sage-daemon-sprout.service").write_text(UNIT)
    (thor.checkout / ".gitignore").write_text("*.safetensors\n")
    model = write_full(thor.checkout / "model-zoo/introspective-merged")
    (model / MODEL).unlink()
    for line in ("git init -q -b main .", "git add .", "git commit -qm one"):
        thor.type(line)
    subprocess.run(["git", "clone", "-q", str(thor.checkout), str(sprout.checkout)], check=True)
    write_full(sprout.checkout / "model-zoo/introspective-merged")

    _, init, check, fix, add, commit = lines_of("On thor")
    thor.type(init)
    written = (thor.checkout / "sage-doctor.toml").read_text()
    shown = tomllib.loads(PAGE[PAGE.index("```toml") + 7 :].partition("```")[0])
    real = tomllib.loads(written)
    assert {name: real["roles"][name] for name in shown["roles"]} == shown["roles"]
    assert real["models"] == shown["models"]
    assert real["machines"]["sprout"] == {**shown["machines"]["sprout"], "python": "/usr/bin/python3"}
    assert real["machines"]["thor"]["roles"] == shown["machines"]["thor"]["roles"]
    told = thor.type(check, code=1)
    assert "weights-missing" in told
    assert "runner-hardcoded-path" in told
    told = thor.type(f"{fix} --level static", code=1)  # the weights cannot be made here
    assert "fixed (verified)" in told
    assert "/home/sprout" not in (scripts / "run_session_primary.py").read_text()
    thor.type(add)
    thor.type(commit)

    pull, check, where = lines_of("On sprout")
    sprout.type(pull)
    # In this test its home is elsewhere than it is called.
    manifest = sprout.checkout / "sage-doctor.toml"
    manifest.write_text(manifest.read_text().replace("/home/sprout", str(sprout.home)))
    unit = sprout.checkout / "sage/units/sage-daemon-sprout.service"
    unit.write_text(UNIT.replace("/home/sprout", str(sprout.home)))
    assert "HEALTHY" in sprout.type(check)
    assert sprout.type(where).strip() == str(sprout.checkout / "model-zoo/introspective-merged")

    gate = lines_of("On both")[0]
    assert "start the session" in sprout.type(gate)
    assert "start the session" not in thor.type(gate, code=1)
