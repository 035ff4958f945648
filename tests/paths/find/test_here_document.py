"""Here-documents that are programs or configuration, as launch scripts of public repositories have them.

Forms after Horizon-Private-Server/horizon-uya-bot on GitHub (llm/04_merge.sh merges within `python3 <<EOF`), and
scripts that write a LLaMA-Factory or AutoTrain configuration before they start the training.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_doctor.paths.find import PathMap, read_script
from sage_doctor.paths.find.path_map import build_path_map

LOADED = 'from peft import PeftModel\nPeftModel.from_pretrained(m, "/home/sprout/x/y")'


@pytest.fixture
def known(tmp_path: Path) -> PathMap:
    return build_path_map(
        home=tmp_path / "me", own_roots=[tmp_path / "hrm"], other_roots=["/home/sprout"], machine_names=["sprout"]
    )


def told(text: str, tmp_path: Path, known: PathMap) -> list[tuple[int, str, str, str]]:
    """Return what a run would use: line, path, need, usage."""
    path = tmp_path / "hrm/run.sh"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text.format(me=tmp_path / 'me')}\n")
    script = read_script(path, known, directory=tmp_path)
    assert script.problem == ""
    return [(r.line, r.text.replace(str(tmp_path), ""), r.need, r.usage) for r in script.references if r.used]


@pytest.mark.parametrize(
    "start",
    [
        "python3 - <<'PY'",
        "python <<PY",
        'python3 -u - "$WORK" <<-"PY"',
        "sudo -u me /opt/venv/bin/python3.11 - <<'PY' > out.txt",
        '"$PYTHON_BIN" - <<PY',
        "uv run python -W ignore - <<PY",
        "A=b python3 - <<'PY' | tee log",
        "A=b python3 - <<'PY' 2>&1 | tee log",
        "x=$(python3 - <<'PY'",
    ],
)
def test_python_that_a_shell_script_holds(start: str, tmp_path: Path, known: PathMap) -> None:
    end = "\n)" if start.startswith("x=") else ""
    assert told(f"{start}\n{LOADED}\nPY{end}", tmp_path, known) == [(4, "/home/sprout/x/y", "needed", "use")]


@pytest.mark.parametrize(
    "text",
    [
        f"python3 run.py <<'EOF'\n{LOADED}\nEOF",  # the script's input
        f"ssh sprout python3 - <<'PY'\n{LOADED}\nPY",
        f"docker exec -i c python - <<'PY'\n{LOADED}\nPY",
        f"cat <<'EOF'\n{LOADED}\nEOF",
        "python3 - <<'PY'\nthis is no python: /home/sprout/x/y\nPY",
        "python3 - <<'PY'\n# was /home/sprout/x\nprint('see /home/sprout/y')\nPY",
        'python3 - <<PY\nimport os\nprint(os.path.join("$ROOT", "x"))\nPY',
    ],
)
def test_what_is_no_program_of_this_machine(text: str, tmp_path: Path, known: PathMap) -> None:
    assert told(text, tmp_path, known) == []


def test_what_the_shell_puts_into_it(tmp_path: Path, known: PathMap) -> None:
    text = 'python3 - <<EOF\nopen("$HOME/a/b")\nopen("/home/sprout/x/$NAME.json")\nEOF'
    assert told(text, tmp_path, known) == [(3, "/me/a/b", "needed", "use"), (4, "/home/sprout/x", "needed", "use")]


@pytest.mark.parametrize(
    "text, need",
    [
        ("python3 - <<'PY' || true\nopen('{me}/x')\nPY", "optional"),
        ("python3 - <<'PY' || exit 1\nopen('{me}/x')\nPY", "needed"),
        ("python3 - <<'PY'\nopen('{me}/x', 'w')\nPY", "created"),
    ],
)
def test_what_it_needs(text: str, need: str, tmp_path: Path, known: PathMap) -> None:
    assert {found[2] for found in told(text, tmp_path, known)} == {need}


def test_a_branch_of_another_machine_is_its_own(tmp_path: Path, known: PathMap) -> None:
    text = f"if [ \"$(hostname)\" = sprout ]; then\npython3 - <<'PY'\n{LOADED}\nPY\nfi"
    assert told(text, tmp_path, known) == []


@pytest.mark.parametrize(
    "start",
    ["cat > run.yaml <<'EOF'", 'cat <<EOF >> "$DIR/run.yml"', "sudo tee -a /etc/x/run.yaml <<EOF > /dev/null"],
)
def test_a_configuration_that_it_writes(start: str, tmp_path: Path, known: PathMap) -> None:
    text = f"{start}\n# /home/sprout/comment\nmodel_name_or_path: /home/sprout/m/$NAME\noutput_dir: {{me}}/out\nEOF"
    used = [found[:3] for found in told(text, tmp_path, known) if "/etc/" not in found[1]]
    assert used == [(4, "/home/sprout/m", "needed"), (5, "/me/out", "created")]


def test_a_program_that_it_writes(tmp_path: Path, known: PathMap) -> None:
    assert told(f"cat > \"$D/serve.py\" <<'EOF'\n{LOADED}\nEOF", tmp_path, known)[0][1] == "/home/sprout/x/y"
    assert told(f"cat > notes.md <<'EOF'\n{LOADED}\nEOF", tmp_path, known) == []
