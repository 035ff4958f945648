from pathlib import Path

from sage_doctor.launchers.code import read_code


def test_environments_archives_and_what_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    for place in ("env", "site-packages", ".hidden", "archive", "own/Old", "own"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "run.py").write_text("import own.a, b as c\nfrom .d import e\nX.from_pretrained('m')\n")
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    (tmp_path / "own" / "loop.py").symlink_to("loop.py")
    (tmp_path / "own" / "up").symlink_to(tmp_path)
    code = read_code([tmp_path])
    (found,) = code.python.values()
    assert (found.path.parent.name, found.loads, found.starts) == ("own", True, False)
    assert found.imports == ("own.a", "b", ".d")
    assert (code.truncated, code.unreadable) == (False, [])


def test_a_module_is_the_file_whose_path_ends_so_the_nearest_one_first(tmp_path: Path) -> None:
    names = ("a/tools/load.py", "b/tools/load.py", "b/tools/__init__.py", "b/run.py", "b/load.py")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    code = read_code([tmp_path])
    importer = tmp_path / "b/run.py"
    assert code.module("tools.load", importer) == tmp_path / "b/tools/load.py"
    assert code.module("load", importer) == tmp_path / "b/load.py"
    assert code.module("tools", importer) == tmp_path / "b/tools/__init__.py"
    assert code.module("transformers", importer) is None
    assert code.script("/home/other/repo/a/tools/load.py") == tmp_path / "a/tools/load.py"
    assert code.script("x/load.py") is None  # three have that name
