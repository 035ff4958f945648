from pathlib import Path

from sage_doctor.facts.runners import find_runners, read_runner


def literals(tmp_path: Path, source: str) -> list[tuple[str, int]]:
    script = tmp_path / "run.py"
    script.write_text(source, encoding="utf-8")
    return [(item.text, item.line) for item in read_runner(script).literals]


def test_a_path_that_a_run_would_use_is_found_with_its_line(tmp_path: Path) -> None:
    assert literals(tmp_path, 'import os\nMODEL = "/home/sprout/zoo/model"\n') == [("/home/sprout/zoo/model", 2)]
    assert literals(tmp_path, 'load(path="/home/sprout/zoo")\n') == [("/home/sprout/zoo", 1)]
    assert literals(tmp_path, 'x = {"model": "/home/sprout/zoo"}\n') == [("/home/sprout/zoo", 1)]
    assert literals(tmp_path, 'def f(p="/home/sprout/zoo"): ...\n') == [("/home/sprout/zoo", 1)]


def test_documentation_and_questions_are_no_paths_in_use(tmp_path: Path) -> None:
    assert literals(tmp_path, '"""/home/sprout/zoo"""\n# /home/sprout/zoo\n') == []
    assert literals(tmp_path, 'if os.path.exists("/home/sprout/zoo"): pass\n') == []
    assert literals(tmp_path, 'if root == "/home/sprout/zoo": pass\n') == []
    assert literals(tmp_path, 'home = str(p).startswith("/home/sprout/zoo")\n') == []


def test_texts_that_are_no_paths_are_left_alone(tmp_path: Path) -> None:
    assert literals(tmp_path, 'x = ["/", "/ whatever /", "https://a/b", "a/b", "/tmp"]\n') == []


def test_what_cannot_be_parsed_is_said_to_be_so(tmp_path: Path) -> None:
    broken, shell, pipe = tmp_path / "a.py", tmp_path / "b.sh", tmp_path / "c.py"
    broken.write_text("def (:\n", encoding="utf-8")
    shell.write_bytes(b"#!/bin/bash\r\nexec true\r\n")
    pipe.mkdir()
    assert not read_runner(broken).parsed
    assert not read_runner(shell).parsed
    assert read_runner(shell).crlf
    assert not read_runner(pipe).parsed


def test_globs_match_regular_files_below_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    for name in ("run_a.py", "run_b.py", "other.py"):
        (tmp_path / "scripts" / name).touch()
    (tmp_path / "scripts/run_c.py").mkdir()
    assert [p.name for p in find_runners("scripts/run_*.py", tmp_path)] == ["run_a.py", "run_b.py"]
    assert [p.name for p in find_runners(str(tmp_path / "scripts/o*.py"), Path("/"))] == ["other.py"]
    assert find_runners("nowhere/*.py", tmp_path) == []
