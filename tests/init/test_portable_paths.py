from pathlib import Path

from sage_doctor.init.portable_paths import Portable, shared_root

HERE = Portable(directory=Path("/home/me/repo"), home=Path("/home/me"), variables={"zoo": "/data/zoo"})


def test_below_the_manifest_a_path_is_relative() -> None:
    assert HERE.text(Path("/home/me/repo/zoo/a")) == "zoo/a"


def test_elsewhere_a_variable_or_the_home_stands_for_what_differs_between_machines() -> None:
    assert HERE.text(Path("/data/zoo/a")) == "{zoo}/a"
    assert HERE.text(Path("/home/me/models/a")) == "{home}/models/a"
    assert HERE.text(Path("/mnt/a")) == "/mnt/a"


def test_what_the_manifest_would_read_as_something_else_is_escaped() -> None:
    assert HERE.text(Path("/home/me/repo/{a}")) == "{{a}}"
    assert HERE.text(Path("/home/me/repo/~a")) == "./~a"
    assert HERE.text(Path("/home/me/repo/hf:a/b")) == "./hf:a/b"


def test_models_that_lie_together_far_away_get_a_variable() -> None:
    plain = Portable(directory=Path("/repo"), home=Path("/home/me"))
    assert shared_root([Path("/mnt/zoo/a"), Path("/mnt/zoo/b/c")], plain) == ("zoo", Path("/mnt/zoo"))
    assert shared_root([Path("/mnt/zoo/a")], plain) is None
    assert shared_root([Path("/mnt/a"), Path("/data/b")], plain) is None
    assert shared_root([Path("/repo/a"), Path("/repo/b")], plain) is None
