import json
import socket
from pathlib import Path

from sage_doctor.subjects.host import MOST_NEIGHBOURS, Host
from tests.other_hosts import load_manifest

TEXT = """
schema = 1
[machines.thor]
vars.zoo = "{zoo}"
home = "/home/dp"
python = "/opt/py/bin/python"
[machines.desk]
vars.zoo = "/srv/zoo"
home = "/home/alice"
accelerator = "cuda"
[roles.raising]
models = ["a"]
accelerator = "mps"
[models.a]
kind = "full"
path = "{{zoo}}/a"
"""


def host(root: Path, *, machine: str | None = "thor", **environ: str) -> Host:
    (root / "zoo").mkdir(exist_ok=True)
    (root / "home").mkdir(exist_ok=True)
    (root / "repository").mkdir(exist_ok=True)
    path = root / "repository/sage-doctor.toml"
    path.write_text(TEXT.format(zoo=root / "zoo"))
    settings = {"SAGE_MACHINE": machine} if machine else {}
    manifest = load_manifest(path, environ=settings, hostname="none", device_tree=None, home=root / "home")
    return Host(cwd=root, home=root / "home", environ=environ, manifest=manifest)


def plain(root: Path, **environ: str) -> Host:
    return Host(cwd=root / "cwd", home=root / "home", environ=environ, root=root / "models/one")


def write_model(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return path


def test_what_the_manifest_says_of_this_machine(tmp_path: Path) -> None:
    thor, desk = host(tmp_path), host(tmp_path, machine="desk")
    assert (thor.name, desk.name) == ("thor", "desk")
    assert (thor.python, desk.python) == (Path("/opt/py/bin/python"), None)
    assert (thor.accelerator, desk.accelerator) == ("mps", "cuda")  # of its roles, and its own
    assert (thor.other_homes, desk.other_homes) == (("/home/alice",), ("/home/dp",))


def test_without_a_manifest(tmp_path: Path) -> None:
    found = plain(tmp_path)
    assert found.name == socket.gethostname()
    assert (found.python, found.accelerator, found.other_homes) == (None, None, ())


def test_the_cache_of_a_session(tmp_path: Path) -> None:
    assert plain(tmp_path).hub_cache_dir == tmp_path / "home/.cache/huggingface/hub"
    assert plain(tmp_path, HF_HOME="/data/hf").hub_cache_dir == Path("/data/hf/hub")
    assert plain(tmp_path).cached_models == ()


def test_roots_are_directories_that_are_there(tmp_path: Path) -> None:
    assert host(tmp_path).roots == (tmp_path / "repository", tmp_path / "zoo", tmp_path)
    for name in ("cwd", "models/one", "home/model-zoo"):
        (tmp_path / name).mkdir(parents=True)
    found = plain(tmp_path).roots
    assert found == (tmp_path / "models/one", tmp_path / "models", tmp_path / "cwd", tmp_path / "home/model-zoo")
    assert Path("/") not in Host(cwd=Path("/"), home=tmp_path, environ={}, root=Path("/tmp")).roots


def test_neighbours_lie_below_the_roots_and_never_in_the_whole_home(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    one = write_model(tmp_path / "models/one")
    two = write_model(tmp_path / "models/two")
    zoo = write_model(tmp_path / "home/model-zoo/three")
    write_model(tmp_path / "home/private/four")
    found = Host(cwd=tmp_path / "home", home=tmp_path / "home", environ={}, root=one)
    assert set(found.nearby_models) == {one, two, zoo}


def test_neighbours_are_bounded(tmp_path: Path) -> None:
    for number in range(MOST_NEIGHBOURS + 5):
        write_model(tmp_path / f"models/{number:03}")
    found = Host(cwd=tmp_path / "models", home=tmp_path / "home", environ={})
    assert len(found.nearby_models) == MOST_NEIGHBOURS


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    found = Host(cwd=tmp_path / "gone", home=tmp_path / "gone", environ={})
    assert "environ" not in repr(found)  # it may hold secrets
    assert found.roots == ()
    assert found.nearby_models == ()
