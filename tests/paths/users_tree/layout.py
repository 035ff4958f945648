"""The tree as it is on one machine: its home in a directory of the test's, those of the others as they are called."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.model_directories import write_full

from .python_runners import HEAD, PYTHON
from .shell_runners import SHELL

HOMES = {"thor": "/home/dp", "sprout": "/home/sprout", "legion": "/home/legion", "cbp": "/home/dennis"}
CHECKOUT = "ai-workspace/HRM"
_TOKEN = re.compile(r"<<(?P<machine>~|\w+):(?P<path>[^|>]*)\|(?P<need>\w+)(?:\|(?P<written>[^>]*))?>>")
# What is beside the checkout, and where.
_NEIGHBOURS = {"thor": ("web4", "isaac-gr00t"), "sprout": ("web4", "neutts-air")}
Right = Literal["found here", "not found here", "missing", "nothing"]


@dataclass(frozen=True)
class Label:
    """What is right about one path: in `file`, on `line`. `target` is where it is here."""

    file: str
    line: int
    text: str
    right: Right
    target: Path | None = None
    sure: bool = True


@dataclass(frozen=True)
class Tree:
    """The tree on one machine."""

    machine: str
    home: Path
    checkout: Path
    labels: tuple[Label, ...]
    others: frozenset[str] = field(default_factory=frozenset)


def lay_out(root: Path, machine: str) -> Tree:
    """Build the tree below `root` as it is on `machine`, and say what is right about each path in its scripts."""
    home = root / HOMES[machine].removeprefix("/")
    checkout = home / CHECKOUT
    for name in _NEIGHBOURS[machine]:
        (checkout.parent / name).mkdir(parents=True)
    write_full(checkout / "zoo/m")
    write_full(checkout / "zoo/stances/merged")
    for number in range(16):
        _write(checkout / f"zoo/weightless/{number:02}/config.json", '{"model_type": "qwen2"}')
    for number in range(80):
        _write(
            checkout / f"zoo/adapters/{number:02}/adapter_config.json", '{"base_model_name_or_path": "./final_model"}'
        )
    (checkout / "sage/scripts").mkdir(parents=True)
    files: dict[str, str] = {f"runners/{n}.py": HEAD + s + "\n" for n, s in PYTHON.items()}
    files |= {f"runners/{n}.sh": f"#!/bin/bash\n{s}\n" for n, s in SHELL.items()}
    files |= _OTHERS
    labels = [label for name, text in files.items() for label in _written(checkout, name, text, machine, home)]
    _write_windows(checkout)
    _write(checkout / "sage-doctor.toml", manifest(home, machine))
    git(checkout, "init", "-q")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "one")
    return Tree(machine, home, checkout, tuple(labels), frozenset(_OTHERS))


def manifest(home: Path, machine: str) -> str:
    """Return the manifest of the four machines."""
    tables = "".join(
        f'[machines.{name}]\nmatch.hostname = "{name}"\nhome = "{home if name == machine else text}"\n'
        + ('roles = ["raising"]\n' if name == machine else "roles = []\n")
        for name, text in HOMES.items()
    )
    return (
        f'schema = 1\n{tables}[roles.raising]\nmodels = ["m"]\nrunners = ["runners/*"]\n'
        '[models.m]\nkind = "full"\npath = "zoo/m"\n'
        '[lint]\npaths = ["**/*.py", "**/*.sh", "**/*.service"]\nignore = ["archive/**"]\n'
    )


# Files of one machine only, those that are kept, and units: nothing in the others' is a finding here.
_OTHERS = {
    "runners/sprout_daily.sh": "#!/bin/bash\ncd <<sprout:ai-workspace/HRM|other>>\npython3 sage/scripts/x.py\n",
    "runners/thor_daily.sh": "#!/bin/bash\ncd <<thor:ai-workspace/SAGE|other>>\n./x\n",
    "runners/legion_check.py": 'open("<<legion:ai-agents/HRM/x|legion>>")\n',
    "runners/only_here.sh": '#!/bin/bash\nif [ "$(hostname)" != "legion" ]; then\n  exit 0\nfi\n'
    "cd <<legion:ai-agents|legion>>\n",
    "units/sage-daemon-sprout.service": "[Service]\nUser=sprout\nWorkingDirectory=<<sprout:ai-workspace/SAGE|unit>>\n"
    "ExecStart=/usr/bin/env true\n",
    "units/sage-daemon-thor.service": "[Service]\nUser=dp\nWorkingDirectory=<<thor:ai-workspace/HRM|unit>>\n"
    "ExecStart=<<thor:ai-workspace/HRM/.venv/bin/python3|unit>> -m sage.gateway\n",
    "units/watch.service": "[Service]\nUser=legion\nExecStart=/home/legion/ai-agents/run.sh\n",
    "archive/old_session.py": 'MODEL = "/home/sprout/ai-workspace/zoo/stances/merged"\n',
}


def _written(checkout: Path, name: str, text: str, machine: str, home: Path) -> list[Label]:
    labels: list[Label] = []
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        labels += [_label(name, number, m, machine, home, checkout) for m in _TOKEN.finditer(line)]
        lines.append(_TOKEN.sub(lambda m: m["written"] or _text(m, machine, home), line))
    _write(checkout / name, "\n".join(lines), mode=0o755 if name.endswith(".sh") else 0o644)
    return labels


def _text(token: re.Match[str], machine: str, home: Path) -> str:
    start = str(home) if token["machine"] in ("~", machine) else HOMES[token["machine"]]
    return token["path"] if token["path"].startswith("/") else f"{start}/{token['path']}"


def _label(name: str, line: int, token: re.Match[str], machine: str, home: Path, checkout: Path) -> Label:
    text, whose, need = _text(token, machine, home), token["machine"], token["need"]
    if need in ("words", "other", "legion", "unit"):
        ours = need in ("other", "unit") and whose == machine and not Path(text).exists()
        right: Right = "missing" if ours and need == "other" else "nothing"
        return Label(name, line, text, right)
    if whose in ("~", machine):
        there = Path(text).exists() or need in ("created", "made", "optional")
        place = checkout / "zoo" / text.split("/zoo/")[-1] if "old_root" in name else None
        place = checkout / text.split("/SAGE/")[-1] if "renamed_and_below" in name else place
        return Label(name, line, text, "nothing" if there else "missing", place, sure=need == "needed")
    if token["written"] or need == "optional":  # what it starts from is told by itself
        return Label(name, line, text, "nothing")
    below = token["path"].removeprefix("/mnt/c/exe/projects/ai-agents/HRM").removeprefix(CHECKOUT)
    target = checkout / below.lstrip("/") if below != token["path"] else home / token["path"]
    if "old_root" in name or "renamed_and_below" in name:  # the same tail, whatever was above it
        target = checkout / token["path"].removeprefix("ai-workspace/").removeprefix("SAGE/")
    found = target.exists()
    return Label(
        name,
        line,
        text,
        "found here" if found else "not found here",
        target if found else None,
        sure=need not in ("default", "made"),
    )


def _write_windows(checkout: Path) -> None:
    """Scripts with the line ends of Windows: many that only Python reads, one that is started by its name."""
    for number in range(40):
        _write(checkout / f"tools/windows_{number:02}.py", '#!/usr/bin/env python3\r\nprint("x")\r\n')
    for number in range(12):
        _write(checkout / f"tools/started_{number:02}.py", '#!/usr/bin/env python3\r\nprint("x")\r\n', mode=0o755)


def _write(path: Path, text: str, *, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    path.chmod(mode)


def git(directory: Path, *words: str) -> str:
    """Run git in the tree."""
    author = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(directory), *author, *words], check=True, capture_output=True, text=True)
    return done.stdout


def described(label: Label) -> str:
    """Return a label as one line."""
    return json.dumps([label.file, label.line, label.text, label.right, str(label.target)])
