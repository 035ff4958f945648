from pathlib import Path

from sage_doctor.init.scripts import read_code

LOADS = '''"""Documentation with /home/written/models."""
from transformers import AutoModel
PATH = "/home/sprout/zoo/a"
model = AutoModel.from_pretrained("org/name")
if __name__ == "__main__":
    print(PATH)
'''


def test_a_script_that_loads_says_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(LOADS)
    (tmp_path / "other.py").write_text("print('from_pretrained')\n")
    code = read_code([tmp_path])
    (script,) = code.scripts
    assert script.starts
    assert script.loaded == ("org/name",)
    assert "/home/sprout/zoo/a" in script.texts
    assert not any("Documentation" in t for t in script.texts)
    assert (code.truncated, code.unreadable) == (False, [])


def test_homes_are_found_with_file_and_line_and_examples_are_nobodys(tmp_path: Path) -> None:
    (tmp_path / "start.sh").write_text("#!/bin/sh\ncd /home/dp/x\nls /Users/user/x /srv/home/nobody/x ~/home/me/y\n")
    (tmp_path / "notes.txt").write_text("/home/other/x\n")
    homes = read_code([tmp_path]).homes
    assert list(homes) == ["/home/dp"]
    assert (homes["/home/dp"].file.name, homes["/home/dp"].line) == ("start.sh", 2)


def test_environments_and_what_is_no_python_are_passed_over(tmp_path: Path) -> None:
    for place in ("env", "site-packages", ".hidden", "own"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "run.py").write_text(LOADS)
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    (tmp_path / "own" / "broken.py").write_text("def (from_pretrained\n")
    (tmp_path / "own" / "loop.py").symlink_to("loop.py")
    (tmp_path / "own" / "binary.py").write_bytes(b"from_pretrained\xff\x00")
    (tmp_path / "own" / "up").symlink_to(tmp_path)
    assert [s.path.parent.name for s in read_code([tmp_path]).scripts] == ["own"]
