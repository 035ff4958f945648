"""Reading a file takes time in proportion to it: thousands of paths in one line, and lines made to last."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sage_doctor.paths.find import path_map as module
from sage_doctor.paths.find.line_text import comment_start
from sage_doctor.paths.find.path_map import build_path_map
from sage_doctor.system.path_info import PathInfo, inspect_path
from tests.warm_python import run_warm

PATHS = [f"/home/sprout/a/b{n}" for n in range(6_000)]
DEADLINE_S = 15  # what takes a step for each pair of paths does not end in it; the slowest takes a second of a core
QUOTED = [f"'{p}'" for p in PATHS]
PROGRAM = """
import sys
from pathlib import Path
from sage_doctor.paths.find import read_script
from sage_doctor.paths.find.path_map import build_path_map
path = Path(sys.argv[1])
known = build_path_map(home=Path("/nowhere/me"), own_roots=[path.parent], other_roots=["/home/sprout"])
found = read_script(path, known, directory=path.parent).references
print(len({known.classify(r.text).origin for r in found}), len(found))
"""
CELL = {"cell_type": "code", "source": "open('/home/sprout/x')"}
FILES = {
    "a.json": "{" + ", ".join(f'"k{n}": "{p}"' for n, p in enumerate(PATHS)) + "}",
    "a.yaml": f"x: [{', '.join(PATHS)}]\n",
    "a.toml": f"x = [{', '.join(QUOTED)}]\n",
    "list.py": f"x = [{', '.join(QUOTED)}]\n",
    "dict.py": f"x = {{{', '.join(f'{q}: {q}' for q in QUOTED)}}}  # \u00e9\n",
    "join.py": f"import os\nx = os.path.join({', '.join(QUOTED)})\n",
    "get.py": f"x = d.get('a', {', '.join(QUOTED)})\n",
    "accent.py": f"x = 'é', {', '.join(QUOTED)}\n",
    "guarded.py": f"if {' or '.join(f'a{n}' for n in range(900))}:\n    x = f({', '.join(QUOTED)})\n",
    "words.sh": f"#!/bin/sh\nrun {' '.join(PATHS)}\n",
    "here.sh": "#!/bin/sh\ncat <<E\n" + "\n".join(PATHS) + "\nE\n",
    "quotes.ini": "x = " + '\\"' * 200_000 + " ".join(PATHS),
    "blanks.ini": "x = " + (" " * 50 + "/home/sprout/x") * 12_000,
    "a.service": f"[Service]\nExecStart={' '.join(PATHS)}\n",
    "crontab": "* * * * * " + " ".join(PATHS) + "\n",
    "a.plist": "<plist><dict><key>ProgramArguments</key><array>"
    + "".join(f"<string>{p}</string>\n" for p in PATHS)
    + "</array></dict></plist>",
    "programs.sh": "#!/bin/sh\n" + "python3 - <<E\nopen('/home/sprout/x')\nE\n" * 3_000,
    "doubled.sh": "#!/bin/sh\ncd /home/sprout\n"
    + "".join(f'A{n}="/x$A{n + 1}$A{n + 1}"\n' for n in range(60))
    + 'A60="$HOME"\ncat "$A0"\n',
    "nested.sh": "#!/bin/sh\ncd /home/sprout\nA=" + '"$(dirname ' * 2_000 + "$0" + ')"' * 2_000 + "\n",
    "volumes.sh": f"#!/bin/sh\ndocker run -v {':'.join(PATHS)}\n",
    "lost.ipynb": '{"cells": [\n'
    + ",\n".join(['{"cell_type": "code", "sourc\\u0065": "x"}'] * 20_000 + [json.dumps(CELL)])
    + "\n]}",
    "blanks.ipynb": json.dumps({"cells": [{**CELL, "source": " " * 900_000 + "?\n" + "a, " * 300_000 + "\n"}, CELL]}),
    "deep.ini": "x=/home/sprout" + "/a" * 900_000,
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_thousands_of_paths_is_read_in_bounded_time(name: str, tmp_path: Path, warm_doctor: Path) -> None:
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    words = ("-c", PROGRAM, str(tmp_path / name))
    done = run_warm(warm_doctor, words, cwd=tmp_path, env=os.environ, timeout_s=DEADLINE_S)
    assert done.stderr == b""
    assert int(done.stdout.split()[1]) >= 1


def test_the_disk_is_asked_little_for_a_path_of_many_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hrm/zoo").mkdir(parents=True)
    asked: list[object] = []

    def counted(path: Path) -> PathInfo:
        asked.append(path)
        return inspect_path(path)

    monkeypatch.setattr(module, "inspect_path", counted)
    known = build_path_map(home=tmp_path / "me", own_roots=[tmp_path / "hrm"], other_roots=["/home/sprout"])
    for number in range(100):
        known.classify(f"/home/sprout/{'/'.join('abcdefghijklmnopqrstuvwxyz' * 2)}/{number}")
    assert len(asked) < 1_000


@pytest.mark.parametrize(
    "line, comment",
    [
        ("x = 1 # @", True),
        ("x = '#' @", False),
        ("x = ' # ' @", False),
        ('x = "a \\" # b" @', False),
        ("x = ' # @", True),
        ("http://@", False),
        ("x 'a'# @", True),
        ("; @", True),
        ('x = "a" "@" # b', False),
    ],
)
def test_what_is_in_a_comment(line: str, comment: bool) -> None:
    assert (comment_start(line) < line.index("@")) is comment
