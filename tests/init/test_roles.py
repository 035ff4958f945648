from pathlib import Path

import pytest

from sage_doctor.init.roles import models_named, roles_of
from sage_doctor.init.scripts import Script, read_code
from sage_doctor.manifest import ModelPath
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model

TEXT = 'M = "{}"\nload = X.from_pretrained(M)\nif __name__ == "__main__":\n    pass\n'


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Model]:
    host = Host(cwd=tmp_path, home=tmp_path, environ={})
    found: dict[str, Model] = {}
    for name, path in (("intro", "zoo/a/intro-merged"), ("v2", "zoo/a/intro-v2/model"), ("copy", "old/a/intro-merged")):
        place = tmp_path / path
        found[name] = Model(name=name, kind="full", host=host, reference=ModelPath(text=path, path=place))
    hub = ModelPath(text="hf:org/name", hub="org/name")
    found["name"] = Model(name="name", kind="full", host=host, reference=hub)
    return found


@pytest.mark.parametrize(
    "text, names",
    [
        ("/home/other/hrm/zoo/a/intro-merged", ["intro"]),  # the longest tail wins over the copy
        ("intro-merged", []),  # two directories are called so
        ("intro-v2", ["v2"]),
        ("intro-v2/model", ["v2"]),
        ("model", []),
        ("org/name", ["name"]),
        ("name", []),
        ("", []),
    ],
)
def test_which_model_a_text_names(models: dict[str, Model], text: str, names: list[str]) -> None:
    script = Script(path=Path("/x/run.py"), starts=True, texts=(text,))
    assert models_named(script, models) == names


def test_scripts_of_a_directory_become_one_role_with_one_glob(tmp_path: Path, models: dict[str, Model]) -> None:
    place = tmp_path / "sage" / "raising" / "scripts"
    place.mkdir(parents=True)
    for name in ("run_session_a.py", "run_session_b.py", "train_a.py", "test_a.py"):
        (place / name).write_text(TEXT.format("/home/other/zoo/a/intro-merged"))
    (role,) = roles_of(read_code([tmp_path]).scripts, [tmp_path], models, frozenset())
    assert (role.name, role.models, role.sure) == ("raising", ("intro",), True)
    assert role.runners == ((place, "run_session_*.py"),)


def test_a_glob_that_would_match_another_file_is_not_taken(tmp_path: Path, models: dict[str, Model]) -> None:
    for name in ("run_a.py", "run_b.py"):
        (tmp_path / name).write_text(TEXT.format("nothing"))
    (tmp_path / "run_library.py").write_text("")
    (role,) = roles_of(read_code([tmp_path]).scripts, [tmp_path], models, frozenset())
    assert [g for _, g in role.runners] == ["run_a.py", "run_b.py"]
    assert (role.name, role.sure) == ("sessions", False)


def test_scripts_that_a_role_has_are_not_proposed_again(tmp_path: Path, models: dict[str, Model]) -> None:
    (tmp_path / "run_a.py").write_text(TEXT.format("x"))
    scripts = read_code([tmp_path]).scripts
    assert roles_of(scripts, [tmp_path], models, frozenset({str(tmp_path.resolve() / "run_a.py")})) == []
