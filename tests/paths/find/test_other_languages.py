"""Shell scripts, units, crontabs, launchd jobs, configuration and Dockerfiles: which of their paths a run would use."""

from __future__ import annotations

import plistlib
import sys
from pathlib import Path

import pytest

from sage_doctor.paths.find import PathMap, Script, read_script
from sage_doctor.paths.find.path_map import build_path_map

SHELL = """\
#!/bin/bash
# was /home/sprout/comment
cd /home/sprout/cd && ./run.sh
MODEL="/home/sprout/quoted/$NAME"
export X=${ZOO:-/home/sprout/default}
if [ -d /home/sprout/asked ]; then ROOT=/home/sprout/then; else ROOT='/home/dp/else'; fi
if [[ $(hostname) == sprout ]]; then A=/home/sprout/by-name; fi
test -d /home/sprout/test || exit
echo "see /home/sprout/echo"
cat <<EOF
/home/sprout/here-document
EOF
case "$(hostname)" in sprout) M=/home/sprout/case;; esac
python run.py --model=/home/sprout/option
if true; then N=/home/sprout/no-question; fi
"""


@pytest.fixture
def known(tmp_path: Path) -> PathMap:
    return build_path_map(
        home=tmp_path / "me",
        own_roots=[tmp_path / "hrm"],
        other_roots=["/home/sprout", "/home/dp"],
        machine_names=["sprout"],
    )


def read(directory: Path, known: PathMap, name: str, text: str | bytes) -> Script:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_script(path, known, directory=directory)


def by_context(script: Script) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in script.references:
        found.setdefault(item.usage, []).append(item.text.removeprefix("/home/sprout/").strip("/"))
    return found


def test_a_shell_script_by_its_grammar(tmp_path: Path, known: PathMap) -> None:
    script = read(tmp_path, known, "run.sh", SHELL)
    assert (script.language, script.problem) == ("shell", "")
    assert by_context(script) == {
        "documentation": ["comment", "echo", "here-document"],
        "use": ["cd", "quoted", "home/dp/else", "option", "no-question"],
        "fallback": ["default"],
        "detection": ["asked", "then", "by-name", "test", "case"],
    }
    assert [o.line for o in script.references] == sorted(o.line for o in script.references)


def test_a_shell_script_line_by_line_is_unverified(
    tmp_path: Path, known: PathMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tree_sitter_bash", None)  # what Python has for a module that is not installed
    script = read(tmp_path, known, "run.sh", SHELL)
    assert "sage-doctor[paths]" in script.problem
    found = by_context(script)
    assert {"cd", "quoted", "option"} <= set(found["use"])
    assert {"comment", "echo"} <= set(found["documentation"])
    assert {"asked", "test"} <= set(found["detection"])


def test_a_backslash_at_the_end_breaks_no_script(tmp_path: Path, known: PathMap) -> None:
    script = read(tmp_path, known, "run.sh", "python train.py \\\n  --model /home/sprout/x/y \\\n\n")
    assert script.problem == ""
    assert [(r.text, r.line) for r in script.references] == [("/home/sprout/x/y", 2)]


def test_a_broken_shell_script_is_said_to_be_one(tmp_path: Path, known: PathMap) -> None:
    script = read(tmp_path, known, "run.sh", "if [ ; then\n((( /home/sprout/x\n")
    assert "not valid shell syntax" in script.problem


def test_a_unit(tmp_path: Path, known: PathMap) -> None:
    text = (
        "# /home/sprout/comment\n[Service]\nUser=sage\nWorkingDirectory=%h/hrm\nEnvironmentFile=-/home/sprout/env\n"
        "Environment=ZOO=/home/sprout/zoo\nExecStartPre=-/bin/true\n"
        "ExecStart=@/home/sprout/run.sh \\\n  --model /data/m\n"
        "ExecStart=/usr/bin/%i\nDescription=/home/sprout/words\n"
    )
    found = [(o.key, o.text, o.usage) for o in read(tmp_path, known, "a.service", text).references]
    assert found == [
        ("", "/home/sprout/comment", "documentation"),
        ("WorkingDirectory", f"{tmp_path}/me/hrm", "use"),
        ("EnvironmentFile", "/home/sprout/env", "fallback"),
        ("Environment", "/home/sprout/zoo", "use"),
        ("ExecStartPre", "/bin/true", "use"),
        ("ExecStart", "/home/sprout/run.sh", "use"),
        ("", "/data/m", "use"),
    ]


def test_a_crontab(tmp_path: Path, known: PathMap) -> None:
    text = (
        "# m h /home/sprout/comment\nZOO=/home/sprout/zoo\n"
        "0 */6 * * 1-5 A=b /home/sprout/run.sh --out /home/sprout/out\n@reboot cd /home/sprout/hrm && /usr/bin/env x\n"
        "5 4 * * sun python run.py\n"
    )
    found = [(o.key, o.text) for o in read(tmp_path, known, "crontab.txt", text).references]
    assert found == [
        *(("", "/home/sprout/comment"), ("", "/home/sprout/zoo")),
        *(("command", "/home/sprout/run.sh"), ("", "/home/sprout/out")),
        *(("command", "/usr/bin/env"), ("", "/home/sprout/hrm")),
    ]


def test_a_launchd_job(tmp_path: Path, known: PathMap) -> None:
    job = {
        "ProgramArguments": ["/Users/sage/run.sh", "--model", "/Users/sage/m"],
        "WorkingDirectory": "/Users/sage",
        "EnvironmentVariables": {"ZOO": "/Users/sage/zoo"},
    }
    script = read(tmp_path, known, "a.plist", plistlib.dumps(job))
    assert {(o.key, o.text) for o in script.references} == {
        *(("ProgramArguments", "/Users/sage/run.sh"), ("WorkingDirectory", "/Users/sage")),
        *(("", "/Users/sage/m"), ("", "/Users/sage/zoo")),
    }
    assert read(tmp_path, known, "binary.plist", plistlib.dumps(job, fmt=plistlib.FMT_BINARY)).references
    for broken in (b"", b"<plist>", b"bplist00\0\0", b"<?xml version='1.0'?><plist><date>x</date></plist>"):
        assert "property list" in read(tmp_path, known, "b.plist", broken).problem


@pytest.mark.parametrize(
    "name, text, usage",
    [
        ("a.yaml", "model: /home/sprout/x/y\n", "use"),
        ("a.yaml", "# model: /home/sprout/x/y\n", "documentation"),
        ("a.toml", 'model = "/home/sprout/x/y" # no\n', "use"),
        ("a.json", '{"model": "/home/sprout/x/y"}\n', "use"),
        ("a.json", '{"note": "it lay in /home/sprout/x/y once"}\n', "documentation"),
        ("a.json", '{"run": "python -u /home/sprout/x/y"}\n', "use"),
        ("a.ini", "; /home/sprout/x/y\n", "documentation"),
        ("sessions/a.json", '{"model": "/home/sprout/x/y"}\n', "data"),
        ("identity_state.json", '{"model": "/home/sprout/x/y"}\n', "data"),
        ("a.jsonl", '{"model": "/home/sprout/x/y"}\n', "data"),
        ("a.log", "loading /home/sprout/x/y\n", "data"),
        ("a.md", "`/home/sprout/x/y`\n", "documentation"),
        ("Dockerfile", "COPY /home/sprout/x/y /app\n", "use"),
        ("Makefile", "run:\n\tpython main.py --model_name_or_path /home/sprout/x/y\n", "use"),
        ("Makefile", "run:\n\t# python main.py --model /home/sprout/x/y\n", "documentation"),
        ("docker-compose.yml", "volumes:\n  - /home/sprout/x/y:/models:ro\n", "use"),
        ("compose.yaml", "volumes:\n  - type: bind\n    source: /home/sprout/x/y\n", "use"),
        ("docker-compose.yml", "volumes:\n  - ./cache:/home/sprout/x/y\n", "data"),
        ("docker-compose.prod.yml", "command: --model /home/sprout/x/y\n", "data"),
        ("compose.yaml", "environment:\n  HF_HOME: /home/sprout/x/y\n", "data"),
        ("a.unknown", "/home/sprout/x/y\n", "data"),
    ],
)
def test_texts(name: str, text: str, usage: str, tmp_path: Path, known: PathMap) -> None:
    found = [(o.text, o.usage) for o in read(tmp_path, known, name, text).references]
    assert found == [("/home/sprout/x/y", usage)]


SPACED = "/home/sprout/My Models/m 1"


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.sh", f'M="{SPACED}"\n'),
        ("a.sh", f"M='{SPACED}'\n"),
        ("a.sh", "ls /home/sprout/My\\ Models/m\\ 1\n"),
        ("a.service", f'ExecStart=/bin/ls "{SPACED}"\n'),
        ("a.service", "ExecStart=/bin/ls /home/sprout/My\\x20Models/m\\s1\n"),
        ("a.service", f'Environment=A=b "M={SPACED}"\n'),
        ("a.service", f"WorkingDirectory={SPACED}\n"),
        ("crontab", f'@reboot "{SPACED}" now\n'),
        ("a.plist", plistlib.dumps({"Label": SPACED})),
        ("a.json", f'{{"model": "{SPACED}"}}\n'),
        ("a.toml", f"model = '{SPACED}' # no\n"),
        ("a.yaml", f"model: {SPACED} # no\n"),
        ("a.yaml", f"models:\n  - {SPACED}\n"),
        ("a.ini", f"model = {SPACED}\n"),
    ],
)
def test_blanks_in_names(name: str, text: str | bytes, tmp_path: Path, known: PathMap) -> None:
    found = [o.text for o in read(tmp_path, known, name, text).references if o.used and o.text != "/bin/ls"]
    assert found == [SPACED]


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.sh", 'bash -c "/home/sprout/run.sh a/b"\n'),
        ("a.sh", 'M="/home/sprout/run.sh -x a/b"\n'),
        ("a.json", '{"run": "/home/sprout/run.sh --out a/b"}\n'),
        ("a.yaml", "run: /home/sprout/run.sh | tee a/b\n"),
        ("a.yaml", "run: /home/sprout/run.sh > a/b\n"),
        ("a.toml", 'run = "/home/sprout/run.sh"  # x/y\n'),
        ("crontab", "@reboot /home/sprout/run.sh a/b\n"),
    ],
)
def test_what_stands_behind_a_path_is_no_part_of_it(name: str, text: str, tmp_path: Path, known: PathMap) -> None:
    assert [o.text for o in read(tmp_path, known, name, text).references] == ["/home/sprout/run.sh"]


def test_a_path_with_blanks_that_is_there_is_one_wherever_it_stands(tmp_path: Path, known: PathMap) -> None:
    (tmp_path / "hrm/my run").mkdir(parents=True)
    found = read(tmp_path, known, "a.sh", f'start "{tmp_path}/hrm/my run"\n').references
    assert [o.text for o in found] == [f"{tmp_path}/hrm/my run"]


def test_the_homes_of_a_container_are_its_own(tmp_path: Path, known: PathMap) -> None:
    assert read(tmp_path, known, "Dockerfile", "WORKDIR /home/app/src\n").references == ()


@pytest.mark.parametrize(
    "made", ["WORKDIR /home/sprout/app", "COPY . /home/sprout/app", "RUN useradd x && mkdir -p /home/sprout/app && ls"]
)
def test_a_root_that_an_image_makes_is_the_image_s(made: str, tmp_path: Path, known: PathMap) -> None:
    text = f'FROM x\n{made}\nENV HF_HOME=/home/sprout/.cache\nCMD ["python3", "/home/sprout/app/run.py"]\n'
    assert read(tmp_path, known, "Dockerfile", text).references == ()


@pytest.mark.parametrize(
    "name, text, need",
    [
        ("a.service", "WorkingDirectory=/home/sprout/x/y\n", "needed"),
        ("a.service", "ExecStart=/home/sprout/x/y --now\n", "needed"),
        ("a.service", "EnvironmentFile=/home/sprout/x/y\n", "needed"),
        ("a.service", "EnvironmentFile=-/home/sprout/x/y\n", "unknown"),
        ("a.service", "ExecStart=/home/sprout/x/y\n", "needed"),
        ("a.service", "Environment=HF_HOME=/home/sprout/x/y\n", "unknown"),
        ("crontab", "@daily /home/sprout/x/y\n", "needed"),
        ("crontab", "@daily cd /home/sprout/x/y && ./run.sh\n", "needed"),
        ("crontab", "0 * * * * ./run.sh >> /home/sprout/x/y 2>&1\n", "created"),
    ],
)
def test_what_a_unit_or_crontab_needs(name: str, text: str, need: str, tmp_path: Path, known: PathMap) -> None:
    assert [(o.text, o.need) for o in read(tmp_path, known, name, text).references] == [("/home/sprout/x/y", need)]


@pytest.mark.parametrize(
    "text",
    [
        'M=$(hostname -s)\ncase "$M" in\n  sprout) R=/home/sprout/x/y ;;\nesac\n',
        'M=`uname -n`\nif [ "$M" = sprout ]; then R=/home/sprout/x/y; fi\n',
        'M="${HOSTNAME%%.*}"\nif [[ $M == sprout ]]; then\n  R=/home/sprout/x/y\nfi\n',
    ],
)
def test_a_variable_may_hold_the_machine_s_name(text: str, tmp_path: Path, known: PathMap) -> None:
    assert [o.usage for o in read(tmp_path, known, "a.sh", text).references] == ["detection"]


@pytest.mark.parametrize(
    "text, said",
    [
        ("vllm serve {me}/x\n", ["use needed"]),
        ("./llama-server -m {me}/x.gguf -ngl 99\n", ["use needed"]),
        ("deepspeed --include localhost:0 {me}/x.py\n", ["use needed"]),
        ("conda activate {me}/x\n", ["use needed"]),
        ("import os\nassert os.path.isdir('{me}/x'), 'missing'\n", ["use needed"]),
        ("import sys\nif not Path('{me}/x').is_dir():\n    sys.exit('no')\n", ["use needed"]),
        (
            "import os, socket\nif socket.gethostname() == 'sprout':\n    assert os.path.isdir('{me}/x')\n",
            ["detection unknown"],
        ),
        (
            "import os\nif os.path.isdir('{me}/x'):\n    os.chdir('{me}/x')\n",
            ["detection unknown", "detection unknown"],
        ),
        (
            "import os\nif not os.path.exists('{me}/x'):\n    os.mkdir('{me}/x')\n",
            ["detection unknown", "use created"],
        ),
        ("[[ -d {me}/x ]] || exit 1\n", ["use needed"]),
        ("[ -d {me}/x ] || {{ echo no; exit 1; }}\n", ["use needed"]),
        ("if [[ ! -f {me}/x ]]; then echo no >&2; exit 1; fi\n", ["use needed"]),
        ("test -e $HOME/x || exit 2\n", ["use needed"]),
        ("if ! [ -d ~/x ]; then exit 1; fi\n", ["use needed"]),
        ("[[ -d {me}/x ]] || echo no\n", ["detection optional"]),
        ('if [ "$(hostname)" = thor ]; then [[ -d {me}/x ]] || exit 1; fi\n', ["detection unknown"]),
        ("if [ -d ~/x ]; then source ~/x/activate; fi\n", ["detection optional", "detection unknown"]),
        ("[ -f ~/x ] && . ~/x\n", ["detection optional", "use optional"]),
    ],
)
def test_what_is_started_or_ends_the_script_where_it_is_missing_is_needed(
    text: str, said: list[str], tmp_path: Path, known: PathMap
) -> None:
    name = "a.py" if text.startswith("import ") else "a.sh"
    found = read(tmp_path, known, name, text.format(me=tmp_path / "me")).references
    assert [f"{o.usage} {o.need}" for o in found] == said


def test_a_variable_below_the_home_is_no_machine_s_name(tmp_path: Path, known: PathMap) -> None:
    text = 'X="$HOME/ai"\nif [ "$X" = "$1" ]; then cd /home/sprout/x/y; fi\n'
    assert "use" in [o.usage for o in read(tmp_path, known, "a.sh", text).references if o.text == "/home/sprout/x/y"]


def test_first_lines(tmp_path: Path, known: PathMap) -> None:
    script = read(tmp_path, known, "run", "#!/usr/bin/env -S A=b python3 -u\nx = '/home/sprout/x/y'\n")
    assert (script.language, script.interpreter, script.env_program, script.crlf) == (
        "python",
        "/usr/bin/env",
        "python3",
        False,
    )
    script = read(tmp_path, known, "run", "#!/bin/bash\r\ncd /home/sprout/x\r\n")
    assert (script.language, script.interpreter, script.crlf) == ("shell", "/bin/bash", True)


def test_what_is_no_file_is_said(tmp_path: Path, known: PathMap) -> None:
    (tmp_path / "a.py").mkdir()
    assert "cannot be read" in read_script(tmp_path / "a.py", known, directory=tmp_path).problem
    assert "cannot be read" in read_script(tmp_path / "b.py", known, directory=tmp_path).problem
