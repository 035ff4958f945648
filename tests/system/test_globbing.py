"""Globs over directories that may be large, looped or out of reach."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sage_doctor.system.globbing import MOST_ENTRIES, Glob, glob_pattern, numbering


def found(pattern: str, directory: Path, most: int = MOST_ENTRIES) -> tuple[list[str], Glob]:
    search = Glob(pattern=pattern, directory=directory, most=most)
    return sorted(os.path.relpath(path, directory) for path in search.paths()), search


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("s/a_1.json", "s/a_2.txt", "s/.a_3.json", "s/deep/a_4.json", "s/.hidden/a_5.json", "[s]/a_6.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    "pattern, names",
    [
        ("s/a_*.json", ["s/a_1.json"]),
        ("s/a_?.*", ["s/a_1.json", "s/a_2.txt"]),
        ("s/a_[!1].*", ["s/a_2.txt"]),
        ("./s//a_1.json", ["s/a_1.json"]),
        ("s/.a*", ["s/.a_3.json"]),
        ("*/a_*.json", ["[s]/a_6.json", "s/a_1.json"]),
        ("s/*/a_*.json", ["s/deep/a_4.json"]),
        ("**/a_*.json", ["[s]/a_6.json", "s/a_1.json", "s/deep/a_4.json"]),
        ("**/**/a_4*", ["s/deep/a_4.json"]),
        ("s/**", ["s/a_1.json", "s/a_2.txt", "s/deep", "s/deep/a_4.json"]),
        ("s/deep/../a_1*", ["s/a_1.json"]),
        ("[[]s]/*", ["[s]/a_6.json"]),
        ("none/*", []),
        ("s/a_1.json/*", []),
        ("", []),
        (".", []),
    ],
)
def test_what_matches(tree: Path, pattern: str, names: list[str]) -> None:
    paths, search = found(pattern, tree)
    assert paths == names
    assert (search.complete, search.unreadable) == (True, {})


def test_the_directory_is_no_part_of_the_glob(tree: Path) -> None:
    assert found("*", tree / "[s]")[0] == ["a_6.json"]


def test_a_glob_from_the_root(tree: Path) -> None:
    assert found(f"{tree}/s/a_*.txt", Path("/nowhere"))[0] == [os.path.relpath(tree / "s/a_2.txt", "/nowhere")]


def test_links_back_to_their_parents_end(tree: Path) -> None:
    for n in range(8):
        (tree / f"s/deep/up{n}").symlink_to(tree)
    assert found("**/a_*.json", tree)[0] == ["[s]/a_6.json", "s/a_1.json", "s/deep/a_4.json"]
    assert found("s/*/s/a_1*", tree)[0] == []
    assert len(found("s/deep/*/s/a_1.json", tree)[0]) == 8  # a part of its own may lead through a link


def test_a_deep_tree_takes_no_stack(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    paths, search = found("**/x", tmp_path)
    assert len(paths) > 1000  # `x` is named once in each; whether it is there, nobody has asked yet
    assert set(search.unreadable.values()) <= {"file name too long"}
    remove_chain(tmp_path)


def remove_chain(top: Path) -> None:
    """Delete the chain of directories from its end, in pieces that a path can name."""
    while True:
        path, depth = str(top), 0
        while depth < 400 and os.path.isdir(f"{path}/d"):
            path, depth = f"{path}/d", depth + 1
        if depth == 0:
            return
        if os.path.isdir(f"{path}/d"):
            os.rename(f"{path}/d", f"{top}/rest")
        for _ in range(depth):
            os.rmdir(path)
            path = os.path.dirname(path)
        if os.path.isdir(f"{top}/rest"):
            os.rename(f"{top}/rest", f"{top}/d")


def test_what_cannot_be_listed_is_told(tree: Path) -> None:
    (tree / "loop").symlink_to("loop")
    paths, search = found("loop/*", tree)
    assert paths == []
    assert search.unreadable == {f"{tree}/loop": "too many levels of symbolic links"}


def test_the_search_ends_at_its_bound(tree: Path) -> None:
    paths, search = found("s/*", tree, most=2)
    assert len(paths) <= 2
    assert not search.complete


@pytest.mark.parametrize(
    "pattern, base",
    [("s/a_*", "s"), ("s/a_1.json", "s"), ("*", ""), ("s/**/x", "s"), ("/etc/x*", "/etc"), ("a", "")],
)
def test_the_directory_that_all_matches_lie_below(pattern: str, base: str, tmp_path: Path) -> None:
    assert Path(Glob(pattern=pattern, directory=tmp_path).base) == tmp_path / base


@pytest.mark.parametrize(
    "path, pattern, number",
    [
        ("s/session_042.txt", "s/session_*.txt", 42),
        ("s/session_042_b7.txt", "s/session_*.txt", 42),
        ("/a/session_042.txt", "*/session_[0-9]*.txt", 42),
        ("s/session_142.txt", "s/session_1*.txt", 142),
        ("s/2024-01-05_session_42.txt", "s/*_session_*.txt", 42),
        ("s/v2_17", "s/v2_??", 17),
        ("s/session_7/out.json", "s/session_*/out.json", 7),
        ("s/9/y/session_7", "s/**/session_?", 7),
        ("a/b/c5.json", "a/**", 5),
        ("s/latest.json", "s/latest.json", None),
        ("s/session_final.txt", "s/session_*.txt", None),
        ("s/session_٤٢.txt", "s/session_*.txt", None),
        ("s/session_.5txt", "s/session_*.5txt", None),
    ],
)
def test_the_number_of_a_file(path: str, pattern: str, number: int | None) -> None:
    assert numbering(pattern)(path) == number


@pytest.mark.parametrize(
    "glob, name, fits",
    [
        ("**/*.py", "a.py", True),
        ("**/*.py", "x/y/a.py", True),
        ("*.py", "x/a.py", False),
        ("x/", "x/y/z", True),
        ("[!a]?.sh", "bc.sh", True),
        ("[!a]?.sh", "ac.sh", False),
        ("a[b.py", "a[b.py", True),
        ("[z-a]", "[z-a]", True),
        ("a(b)+.py", "a(b)+.py", True),
    ],
)
def test_globs(glob: str, name: str, fits: bool) -> None:
    assert (glob_pattern(glob).fullmatch(name) is not None) is fits
