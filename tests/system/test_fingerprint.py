"""What identifies a file without reading it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.system import fingerprint as module
from sage_doctor.system.fingerprint import TooMany, changed, fingerprint, fingerprint_files, fingerprint_tree, presence


def test_what_is_not_there_has_no_identity(tmp_path: Path) -> None:
    assert fingerprint(str(tmp_path / "gone")) is None
    assert fingerprint("with\0nul") is None


def test_a_link_is_known_by_itself_and_by_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("a")
    link = tmp_path / "link"
    link.symlink_to("a")
    before = fingerprint_files([link])
    link.unlink()
    link.symlink_to("b")
    assert changed(before)
    before = fingerprint_files([link])
    assert changed(before) == []
    (tmp_path / "b").write_text("longer")
    assert changed(before) == [(str(link), "has another size")]


def test_presence_is_all_that_may_be_asked_for(tmp_path: Path) -> None:
    before = presence([tmp_path / "a", tmp_path / "b"])
    assert before == {str(tmp_path / "a"): None, str(tmp_path / "b"): None}
    (tmp_path / "a").mkdir()
    before = presence([tmp_path / "a"])
    (tmp_path / "a" / "x").touch()
    assert changed(before) == []
    (tmp_path / "a" / "x").unlink()
    (tmp_path / "a").rmdir()
    assert changed(before) == [(str(tmp_path / "a"), "is gone")]


def test_everything_below_is_watched_through_links_as_well(tmp_path: Path) -> None:
    (tmp_path / "model" / "sub").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    (tmp_path / "model" / "sub" / "x").touch()
    (tmp_path / "model" / "link").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(tmp_path / "model")
    os.mkfifo(tmp_path / "model" / "pipe")
    names = {os.path.relpath(p, tmp_path) for p in fingerprint_tree(tmp_path / "model")}
    below = {"sub", "sub/x", "link", "link/file", "link/back", "pipe"}
    assert names == {"model", *(f"model/{name}" for name in below)}


def _lead_elsewhere(link: Path, target: str) -> None:
    link.unlink()
    link.symlink_to(target)


@pytest.mark.parametrize(
    "change",
    [
        lambda place: os.truncate(place / "disk/inner/shard", 3),
        lambda place: (place / "disk/inner/model.safetensors").touch(),
        lambda place: _lead_elsewhere(place / "hop", "other"),
        lambda place: _lead_elsewhere(place / "model/weights", "../other/inner"),
        lambda place: shutil.copy2(place / "other/inner/shard", place / "disk/inner/shard"),
    ],
    ids=["cut off", "a new name", "a link on the way", "the link itself", "overwritten with its date"],
)
def test_a_change_behind_links_is_a_change(tmp_path: Path, change: Callable[[Path], object]) -> None:
    for disk in ("disk", "other"):
        (tmp_path / disk / "inner").mkdir(parents=True)
        (tmp_path / disk / "inner" / "shard").write_bytes(b"12345")
    (tmp_path / "hop").symlink_to("disk")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").symlink_to("../hop/inner")
    before = fingerprint_tree(tmp_path / "model")
    assert changed(before) == []
    change(tmp_path)
    assert changed(before)


@pytest.mark.parametrize(
    "change,words",
    [
        (lambda p: p.unlink(), "is gone"),
        (lambda p: p.write_text("other"), "has another size"),
        (lambda p: p.write_text("x"), "was changed"),
        (lambda p: p.chmod(0o600), "has another mode"),
    ],
)
def test_changes_are_told_in_words(tmp_path: Path, change: object, words: str) -> None:
    path = tmp_path / "file"
    path.write_text("a")
    path.chmod(0o644)
    os.utime(path, (1, 1))
    before = fingerprint_files([path])
    change(path)  # type: ignore[operator]
    assert changed(before) == [(str(path), words)]


def test_a_file_rewritten_in_place_whose_date_was_set_back_is_another(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a")
    os.utime(path, (1, 1))
    before = fingerprint_files([path])
    path.write_text("b")
    os.utime(path, (1, 1))
    assert changed(before) == [(str(path), "was changed")]


def test_a_link_made_again_whose_date_was_set_back_is_another(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    os.link(tmp_path / "a", tmp_path / "b")
    link = tmp_path / "link"
    link.symlink_to("a")
    os.utime(link, (1, 1), follow_symlinks=False)
    before = fingerprint_files([link])
    link.unlink()
    link.symlink_to("b")
    os.utime(link, (1, 1), follow_symlinks=False)
    assert changed(before) == [(str(link), "was changed")]


def test_what_appears_is_a_change(tmp_path: Path) -> None:
    before = fingerprint_files([tmp_path / "new"])
    (tmp_path / "new").touch()
    assert changed(before) == [(str(tmp_path / "new"), "is new")]


def test_more_files_than_can_be_watched_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        (tmp_path / str(number)).touch()
    monkeypatch.setattr(module, "MOST_FILES", 5)
    with pytest.raises(TooMany):
        fingerprint_tree(tmp_path)


def test_a_tree_deeper_than_can_be_watched_is_said(tmp_path: Path) -> None:
    (tmp_path / "/".join("abcdefgh")).mkdir(parents=True)
    with pytest.raises(TooMany):
        fingerprint_tree(tmp_path)
