"""Which files globs mean, with git and without."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sage_doctor.paths.find import files
from sage_doctor.paths.find.files import find_files, removal_commit

NAMES = ("a.py", "b.txt", "sub/c.py", "sub/deep/d.py", "archive/e.py", ".git-ignored/f.py", "node_modules/g.py")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    (tmp_path / "pipe.py").mkdir()
    return tmp_path


def git(directory: Path, *words: str) -> None:
    author = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(directory), *author, *words], check=True, capture_output=True)


def names(tree: Path, *globs: str, ignore: tuple[str, ...] = ()) -> list[str]:
    return [str(p.relative_to(tree)) for p in find_files(tree, globs, ignore)[0]]


def test_a_walk(tree: Path) -> None:
    assert names(tree, "**/*.py", ignore=("archive/",)) == [".git-ignored/f.py", "a.py", "sub/c.py", "sub/deep/d.py"]
    assert names(tree, "*.py") == ["a.py"]
    assert names(tree, "./sub/**") == ["sub/c.py", "sub/deep/d.py"]
    assert names(tree, "nothing/*") == []


def test_git_knows_what_is_ignored(tree: Path) -> None:
    git(tree, "init", "-q")
    (tree / ".gitignore").write_text(".git-ignored/\n", encoding="utf-8")
    git(tree, "add", "a.py")
    assert names(tree, "**/*.py") == ["a.py", "archive/e.py", "sub/c.py", "sub/deep/d.py"]


def test_there_is_an_end(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_FILES", 2)
    found, complete = find_files(tree, ["**"], [])
    assert (len(found), complete) == (2, False)


def test_git_knows_what_was_removed(tree: Path) -> None:
    assert removal_commit(tree, tree / "a.py") is None
    git(tree, "init", "-q")
    git(tree, "add", "a.py")
    git(tree, "commit", "-qm", "one")
    assert removal_commit(tree, tree / "a.py") is None
    git(tree, "rm", "-q", "a.py")
    git(tree, "commit", "-qm", "two")
    commit = removal_commit(tree, tree / "a.py")
    assert commit is not None
    assert len(commit) >= 4
    assert removal_commit(tree, tree / "never.py") is None
    assert removal_commit(tree, Path("/elsewhere/a.py")) is None
