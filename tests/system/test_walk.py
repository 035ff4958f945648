"""Directories are listed once each, in order, within bounds, and no link is followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sage_doctor.system.walk import Walk


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("b/deep", "a"):
        (root / name).mkdir(parents=True)
    for name in ("z", "b/y", "b/deep/x", "a/w"):
        (root / name).touch()
    return root


def paths(walk: Walk, root: Path) -> list[str]:
    return [os.path.relpath(listing.path, root) for listing in walk.listings()]


def test_parents_come_first_and_names_are_sorted(tree: Path) -> None:
    found = [
        (os.path.relpath(at.path, tree), at.depth, [e.name for e in at.below], [e.name for e in at.files])
        for at in Walk(roots=[tree]).listings()
    ]
    assert found == [
        (".", 0, ["a", "b"], ["z"]),
        ("a", 1, [], ["w"]),
        ("b", 1, ["deep"], ["y"]),
        ("b/deep", 2, [], ["x"]),
    ]


def test_links_are_files_and_not_entered(tree: Path) -> None:
    (tree / "a/up").symlink_to(tree)
    (tree / "a/self").symlink_to("self")
    (tree / "top").symlink_to(tree.parent)
    walk = Walk(roots=[tree])
    files = [os.path.relpath(e.path, tree) for at in walk.listings() for e in at.files]
    assert files == ["top", "z", "a/self", "a/up", "a/w", "b/y", "b/deep/x"]
    assert (walk.complete, walk.too_deep) == (True, False)


def test_a_root_may_be_a_link(tree: Path) -> None:
    link = tree.parent / "link"
    link.symlink_to("root")
    assert paths(Walk(roots=[link]), link) == [".", "a", "b", "b/deep"]


def test_a_directory_is_listed_once(tree: Path) -> None:
    assert paths(Walk(roots=[tree / "b", tree, tree / "a"]), tree) == ["b", "b/deep", ".", "a"]


def test_what_is_taken_out_is_not_entered(tree: Path) -> None:
    found = []
    for listing in Walk(roots=[tree]).listings():
        found.append(os.path.basename(listing.path))
        listing.below = [e for e in listing.below if e.name != "b"]
    assert found == ["root", "a"]


@pytest.mark.parametrize(
    "bounds, found, complete, too_deep",
    [
        ({"most_directories": 2}, [".", "a"], False, False),
        ({"most_entries": 4}, [".", "a"], False, False),
        ({"most_depth": 1}, [".", "a", "b"], True, True),
        ({"most_depth": 2}, [".", "a", "b", "b/deep"], True, False),
    ],
)
def test_bounds(tree: Path, bounds: dict[str, int], found: list[str], complete: bool, too_deep: bool) -> None:
    walk = Walk(roots=[tree], **bounds)  # type: ignore[arg-type]
    assert paths(walk, tree) == found
    assert (walk.complete, walk.too_deep) == (complete, too_deep)


@pytest.mark.parametrize("name, problem", [("absent", "no such file"), ("z", "not a directory"), ("a\0b", "null")])
def test_what_cannot_be_listed_says_why(tree: Path, name: str, problem: str) -> None:
    (listing,) = Walk(roots=[tree / name]).listings()
    assert problem in listing.problem
    assert (listing.files, listing.below) == ([], [])
