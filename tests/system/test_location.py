from pathlib import Path

import pytest

from sage_doctor.system.location import foreign_home, locate, same_tail

HOME = Path("/home/dp")


@pytest.mark.parametrize(
    "path, whose",
    [
        ("/home/alice/models/a", "/home/alice"),
        ("/home/alice", "/home/alice"),
        ("/Users/alice/models/a", "/Users/alice"),
        ("/mnt/c/Users/alice/models", "/mnt/c/Users/alice"),
        ("C:\\Users\\alice\\models", "C:\\Users\\alice"),
        ("D:/Users/alice/models", "D:/Users/alice"),
        ("/home/dp/models/a", None),
        ("/home/dp", None),
        ("/home/dpx/models", "/home/dpx"),
        ("/rootfs/models", None),
        ("/srv/home/alice/models", None),
        ("/opt/zoo", None),
        ("models/home/alice", None),
    ],
)
def test_whose_home_a_path_names(path: str, whose: str | None) -> None:
    assert foreign_home(Path(path), HOME) == whose


def test_a_home_that_is_here_is_another_user_s_and_not_foreign() -> None:
    whose = None if Path("/root").exists() else "/root"
    assert foreign_home(Path("/root/models"), HOME) == whose


def test_homes_that_the_manifest_names() -> None:
    others = ("/data/people/eve", "/srv/dp")
    assert foreign_home(Path("/data/people/eve/models"), HOME, others) == "/data/people/eve"
    assert foreign_home(Path("/srv/dp"), HOME, others) == "/srv/dp"
    assert foreign_home(Path("/srv/dpx"), HOME, others) is None
    assert foreign_home(Path("/home/dp/m"), HOME, ("/home/dp",)) is None  # another machine where we have the same home


def test_a_service_whose_home_is_the_root_directory() -> None:
    assert foreign_home(Path("/home/alice/m"), Path("/")) == "/home/alice"
    assert foreign_home(Path("/opt/m"), Path("/")) is None


def test_a_path_that_exists(tmp_path: Path) -> None:
    found = locate(tmp_path, home=HOME)
    assert (found.node.kind, found.existing, found.near) == ("directory", tmp_path, ())


def test_another_case_comes_before_a_similar_name(tmp_path: Path) -> None:
    for name in ("Qwen2.5-0.5B", "qwen2.5-0.5bb", "zoo"):
        (tmp_path / name / "final").mkdir(parents=True)
    found = locate(tmp_path / "qwen2.5-0.5b/final", home=HOME)
    assert found.node.kind == "missing"
    assert found.existing == tmp_path
    assert found.near == (tmp_path / "Qwen2.5-0.5B/final", tmp_path / "qwen2.5-0.5bb/final")


def test_what_lies_below_a_similar_name_is_named_only_where_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    assert locate(tmp_path / "model/a/b", home=HOME).near == (tmp_path / "models",)


def test_nothing_is_like_itself(tmp_path: Path) -> None:
    (tmp_path / "model").symlink_to("absent")
    found = locate(tmp_path / "model", home=HOME)
    assert (found.node.kind, found.existing, found.near) == ("dangling", tmp_path, ())


def test_the_same_tail_under_another_root(tmp_path: Path) -> None:
    here = tmp_path / "home/ai/zoo/sage"
    here.mkdir(parents=True)
    found = locate(Path("/home/nobody-here/ai/zoo/sage"), home=tmp_path / "home", roots=[tmp_path])
    assert found.near == (here,)
    assert found.existing == Path("/home") if Path("/home").exists() else Path("/")
    assert found.foreign_home == "/home/nobody-here"


def test_longest_tail_first_and_never_a_single_name(tmp_path: Path) -> None:
    short, long, single = tmp_path / "a/zoo/m", tmp_path / "b/x/zoo/m", tmp_path / "c/m"
    for path in (short, long, single):
        path.mkdir(parents=True)
    roots = [tmp_path / name for name in "abc"]
    assert same_tail(Path("/elsewhere/x/zoo/m"), roots) == [long, short]
    assert same_tail(Path("m"), roots) == []
    assert same_tail(Path("../x/./zoo/m"), roots) == [long, short]


def test_a_file_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = locate(tmp_path / "file/model", home=HOME)
    assert (found.node.kind, found.existing, found.near) == ("missing", tmp_path / "file", ())


def test_odd_paths(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert locate(tmp_path / "loop/a", home=HOME).node.kind == "loop"
    assert locate(Path("a\0b/c"), home=HOME).node.kind == "missing"
    assert locate(Path("not/anywhere/here"), home=HOME).existing == Path()
