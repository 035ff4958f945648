"""What a runner reaches in other files. The verdicts are those of bash and python: each of these was really run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sage_doctor.paths.find import read_program
from sage_doctor.paths.find.path_map import build_path_map

GONE = "/data/gone/x"
# The files of a project, the first one the runner, and what it needs that is gone: file, line, condition.
SHELL = {
    "a variable of a sourced file": (
        {"run.sh": '. "$(dirname "$0")/env.sh"\ncat $FOO', "env.sh": f"\nFOO={GONE}"},
        ["env.sh 2"],
    ),
    "one that nobody uses": ({"run.sh": ". ./env.sh\ncat $B", "env.sh": f"OLD_MODEL={GONE}\nB=/etc"}, []),
    "a variable of the script that sources": ({"run.sh": f"D={GONE}\n. ./a.sh", "a.sh": 'cat "$D"'}, ["run.sh 1"]),
    "a started script": ({"run.sh": "exec ./a.sh", "a.sh": f"#!/bin/bash\ncat {GONE}"}, ["a.sh 2"]),
    "in another directory": ({"run.sh": "cd tools\nbash a.sh", "tools/a.sh": f"cat {GONE}"}, ["tools/a.sh 1"]),
    "where only a run knows it": ({"run.sh": 'cd "$1"\nbash a.sh', "a.sh": f"cat {GONE}"}, []),
    "with a variable": ({"run.sh": f"F={GONE} bash a.sh", "a.sh": "cat $F"}, ["run.sh 1"]),
    "one that may fail": ({"run.sh": "bash a.sh || true", "a.sh": f"cat {GONE}"}, []),
    "in a branch": (
        {"run.sh": 'if [ "$1" = x ]; then bash a.sh; fi', "a.sh": f"cat {GONE}"},
        ['a.sh 1 [ "$1" = x ]'],
    ),
    "one that is there": ({"run.sh": "[ -f ./a.sh ] && . ./a.sh", "a.sh": f"set -e\ncat {GONE}"}, ["a.sh 2"]),
    "in a circle": ({"run.sh": ". ./a.sh", "a.sh": f". ./b.sh\ncat {GONE}", "b.sh": ". ./a.sh"}, ["a.sh 2"]),
    "its own place": (
        {"run.sh": ". lib/a.sh\nuse", "lib/a.sh": 'D="$(dirname "${BASH_SOURCE[0]}")"\nuse() { cat "$D/no.txt"; }'},
        ["lib/a.sh 2"],
    ),
    "a function of both branches": (
        {"run.sh": ". ./a.sh\nif x; then use; else use y; fi\necho use", "a.sh": f"use() {{ cat {GONE}; }}"},
        ["a.sh 1"],
    ),
    "a function that is not called": ({"run.sh": ". ./a.sh\ntrue", "a.sh": f"use() {{ cat {GONE}; }}"}, []),
    "behind a return": ({"run.sh": ". ./a.sh\ntrue", "a.sh": f"return 0\ncat {GONE}"}, []),
    "what goes on behind it": ({"run.sh": f". ./a.sh\ncat {GONE}", "a.sh": "return 0"}, ["run.sh 2"]),
    "python": ({"run.sh": "exec python3 a.py", "a.py": f'open("{GONE}")'}, ["a.py 1"]),
    "a module": ({"run.sh": "python -u -m pkg.a", "pkg/a.py": f'open("{GONE}")'}, ["pkg/a.py 1"]),
    "a launcher": ({"run.sh": "torchrun --nproc 2 a.py --x 1", "a.py": f'open("{GONE}")'}, ["a.py 1"]),
    "what a container runs": ({"run.sh": "docker run image python a.py", "a.py": f'open("{GONE}")'}, []),
    "an environment": ({"run.sh": ". venv/bin/activate", "venv/bin/activate": f"cat {GONE}"}, []),
    "a file that is no shell script": ({"run.sh": ". ./a.sh", "a.sh": f"cat {GONE}; if"}, []),
}
PYTHON = {
    "a name": ({"run.py": "from config import M as A\nopen(A)", "config.py": f'M = "{GONE}"'}, ["config.py 1"]),
    "a module's name": ({"run.py": "import config\nopen(config.M)", "config.py": f'M = "{GONE}"'}, ["config.py 1"]),
    "every name": ({"run.py": "from config import *\nopen(M)", "config.py": f'M = "{GONE}"'}, ["config.py 1"]),
    "one that nobody uses": ({"run.py": "import config\nprint(1)", "config.py": f'MODEL = "{GONE}"'}, []),
    "a package": (
        {"run.py": "from pkg.run import main\nmain()", "pkg/run.py": "from .p import P\ndef main(): open(P)",
         "pkg/p.py": f'P = "{GONE}"', "pkg/__init__.py": f'open("{GONE}/a")'},
        ["pkg/__init__.py 1", "pkg/p.py 1"],
    ),
    "a function": ({"run.py": "from a import f\nf()", "a.py": f'def f(): open("{GONE}")'}, ["a.py 1"]),
    "one that is not called": ({"run.py": "import a\nprint(a)", "a.py": f'def f(): open("{GONE}")'}, []),
    "one that is called in a branch": (
        {"run.py": "from a import f\nif x: f()", "a.py": f'def f(): open("{GONE}")'},
        ["a.py 1 x"],
    ),
    "one of both branches": (
        {"run.py": "from a import f\nif x: f()\nelse: f()", "a.py": f'def f(): open("{GONE}")'},
        ["a.py 1"],
    ),
    "a parameter": (
        {"run.py": f'from a import f\nf("{GONE}")', "a.py": "import os\ndef f(p): os.makedirs(p)"},
        [],
    ),
    "what only a program does": (
        {"run.py": "import a", "a.py": f'if __name__ == "__main__": open("{GONE}")'},
        [],
    ),
    "a started program": (
        {"run.py": 'import subprocess, sys\nsubprocess.run([sys.executable, "a.py"])',
         "a.py": f'if __name__ == "__main__": open("{GONE}")'},
        ["a.py 1"],
    ),
    "a shell script": ({"run.py": 'import os\nos.system("bash a.sh")', "a.sh": f"cat {GONE}"}, ["a.sh 1"]),
    "an import that may fail": (
        {"run.py": "try:\n  import a\nexcept ImportError: pass", "a.py": f'open("{GONE}")'},
        ["a.py 1"],
    ),
    "in a circle": ({"run.py": "import a", "a.py": f'import run, a\nopen("{GONE}")'}, ["a.py 2"]),
    "behind the end": ({"run.py": "import sys\nsys.exit(0)\nimport a", "a.py": f'open("{GONE}")'}, []),
}  # fmt: skip


def needs(files: dict[str, str], directory: Path) -> list[str]:
    """Return what the first of these files needs and is gone."""
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(f"{text}\n")
    known = build_path_map(home=directory / "me", own_roots=[directory], other_roots=[])
    known = dataclasses.replace(known, anywhere=True)
    scripts, _ = read_program(directory / next(iter(files)), known, directory=directory)
    found = [(s, r) for s in scripts for r in s.references if r.used and r.need == "needed"]
    lost = [(s, r) for s, r in found if known.classify(r.text).origin == "gone" and r.usage == "use"]
    return sorted({f"{s.path.relative_to(directory)} {r.line} {r.condition}".strip() for s, r in lost})


@pytest.mark.parametrize("case", [pytest.param(c, id=n) for cases in (SHELL, PYTHON) for n, c in cases.items()])
def test_what_a_runner_reaches(case: tuple[dict[str, str], list[str]], tmp_path: Path) -> None:
    files, expected = case
    assert needs(files, tmp_path.resolve()) == expected


def test_a_setting_is_for_whoever_reads_it(tmp_path: Path) -> None:
    project = tmp_path.resolve()
    files = {"run.sh": ". ./env.sh\npython x.py", "env.sh": f"export OLD_MODEL={project}/gone"}
    assert needs(files, project) == ["env.sh 1 a program reads $OLD_MODEL"]


def test_no_file_outside_of_the_project_is_read(tmp_path: Path) -> None:
    project = tmp_path.resolve() / "project"
    for name in ("a.sh", "b.py"):
        (tmp_path / name).write_text(f"cat {GONE}\n" if name == "a.sh" else f'open("{GONE}")\n')
    project.mkdir()
    (project / "link.sh").symlink_to("../a.sh")
    assert needs({"run.sh": ". ../a.sh\n. ./link.sh\npython ../b.py\n"}, project) == []


def test_more_files_than_are_read(tmp_path: Path) -> None:
    chain = {f"m{n}.py": f"import m{n + 1}" for n in range(200)}
    assert needs({"run.py": "import m0", **chain, "m200.py": f'open("{GONE}")'}, tmp_path.resolve()) == []


ENDS = (
    ("exit 0\ncat {}", False),
    ("exec true\ncat {}", False),
    ("exec > /dev/null\ncat {}", True),
    ("exec {{lock}}>/tmp/lock 9> /dev/null\ncat {}", True),
    ("{{ exit 0; }}\ncat {}", False),
    ("(exit 0)\ncat {}", True),
    ("f() {{ cat {}; }}\ntrue", False),
    ("f() {{ cat {}; }}\nf", True),
    ("f() {{ cat {}; }}\ntrap f EXIT", True),
    ('f() {{ local d="$1"; cd "$d"; }}\nf {}', True),
    ("set -e\nls {}", True),
    ("ls {}", False),
    ("set -e\nls {} | wc -l", False),
    ("set -e -o pipefail\nls {} | wc -l", True),
    ("set -e\ncat {} 2>/dev/null", True),
    ("set +e\ncat {}\nset -e", False),
    ("set -e\n! cat {}", False),
    ("set -e\n[ -d {} ]", True),
    ("[ -d {} ]", False),
    ("set -e\nfor d in {}; do cat $d; done", True),
    ("A=(/etc {})\ncat ${{A[0]}}", False),
    ("A=(/etc {})\ncat ${{A[1]}}", True),
    ('M={}\n[ -n "$M" ] && cat $M', True),
    ('eval "cat {}"', True),
)


@pytest.mark.parametrize("text, needed", ENDS)
def test_what_a_shell_script_comes_to(text: str, needed: bool, tmp_path: Path) -> None:
    assert bool(needs({"run.sh": text.format(GONE)}, tmp_path.resolve())) is needed


PYTHON_ENDS = (
    ('sys.exit(0)\nopen("{}")', False),
    ('def f():\n  return\n  open("{}")\nf()', False),
    ('def f(): open("{}")\nprint(1)', False),
    ('def g(): open("{}")\ndef f(): g()\nf()', True),
    ('def f(): open("{}")', True),  # a module: whoever imports it calls it
    ('@app.command\ndef f(): open("{}")\napp()', True),
    ('def f(): open("{}")\nThread(target=f).start()', True),
    ('os.path.isfile("{}") or sys.exit("no")', True),
    ('os.path.isfile("/etc") and open("{}")', True),
    ('D = {{"a": "{}", "b": "/etc"}}\nopen(D["a"])', True),
    ('D = {{"model": "{}", "b": "/etc"}}\nopen(D["b"])', False),
    ('P = "{}"\nfor P in x: open(P)', False),
    ('P = "{}"\nwith x as P: open(P)', False),
    ('os.system("cat {} || true")', False),
    ('while not os.path.exists("/etc"): open("{}")', False),
    ('while x: open("{}")', True),
)


@pytest.mark.parametrize("text, needed", PYTHON_ENDS)
def test_what_a_python_program_comes_to(text: str, needed: bool, tmp_path: Path) -> None:
    files = {"run.py": f"import os, sys\n{text.format(GONE)}"}
    assert bool(needs(files, tmp_path.resolve())) is needed
