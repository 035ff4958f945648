"""Whether a file that we left behind is still only ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.system import trust
from sage_doctor.system.trust import is_trusted, passed_over, why_untrusted

NOBODY = 65534
USERS = 100  # a group that several people are in

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def _for_a_group(place: Path) -> None:
    os.chown(place, -1, USERS)
    place.chmod(0o770)


def left_behind(place: Path) -> Path:
    """Return a file of ours, in directories of ours."""
    path = place / "state" / "sage-doctor" / "gate" / "r.json"
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_text("{}")
    path.chmod(0o600)
    return path


def test_what_only_we_could_write_is_trusted(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    assert why_untrusted(path) == ""
    assert why_untrusted(path.with_name("not there")) == ""
    assert why_untrusted(tmp_path / "not" / "there" / "either") == ""
    assert why_untrusted(path / "below a file") == ""
    assert why_untrusted(Path("/dev/null/.local/state")) == ""


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o700, 0o1777])
def test_healthy_modes_of_the_directories_above_are_trusted(tmp_path: Path, mode: int) -> None:
    path = left_behind(tmp_path)
    (tmp_path / "state").chmod(mode)
    assert why_untrusted(path) == ""


def test_a_private_group_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a umask of 002, as Debian and Fedora have it for groups of one."""
    path = left_behind(tmp_path)
    path.parent.chmod(0o775)
    path.chmod(0o664)
    monkeypatch.setattr(trust, "is_private_group", lambda _gid, _uid: True)
    assert why_untrusted(path) == ""
    monkeypatch.setattr(trust, "_has_acl", lambda _place: True)
    assert "other users can write to" in why_untrusted(path)


@pytest.mark.parametrize(
    "part", ["state", "state/sage-doctor", "state/sage-doctor/gate", "state/sage-doctor/gate/r.json"]
)
@pytest.mark.parametrize(
    "change",
    [
        lambda place: os.chmod(place, 0o777),
        pytest.param(lambda place: os.chown(place, NOBODY, -1), marks=root_only),
        pytest.param(_for_a_group, marks=root_only),
    ],
    ids=["everybody may write", "another owner", "a group may write"],
)
def test_what_others_could_have_written_is_not(tmp_path: Path, part: str, change: Callable[[Path], object]) -> None:
    path = left_behind(tmp_path)
    change(tmp_path / part)
    assert str(tmp_path / part) in why_untrusted(path)


@root_only
def test_in_a_directory_for_everybody_the_owner_below_counts(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    (tmp_path / "state").chmod(0o1777)
    os.chown(tmp_path / "state" / "sage-doctor", NOBODY, NOBODY)
    assert "belongs to another user (65534)" in why_untrusted(path)


@root_only
def test_links_are_followed_with_care(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "link").symlink_to("../state/sage-doctor")
    assert why_untrusted(shared / "link" / "gate" / "r.json") == ""
    os.chown(shared / "link", NOBODY, NOBODY, follow_symlinks=False)
    assert str(shared / "link") in why_untrusted(shared / "link" / "gate" / "r.json")
    (tmp_path / "in").symlink_to(path)
    path.parent.chmod(0o777)
    assert str(path.parent) in why_untrusted(tmp_path / "in")
    (tmp_path / "loop").symlink_to("loop")
    why_untrusted(tmp_path / "loop")


def test_it_is_said_once(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    passed_over()
    assert is_trusted(path)
    assert passed_over() == []
    path.parent.chmod(0o777)
    assert not is_trusted(path)
    assert not is_trusted(path.with_name("other.json"))
    (said,) = passed_over()
    assert said.startswith(f"{path} is neither read nor written: other users can write to {path.parent} (mode 777)")
    assert passed_over() == []
