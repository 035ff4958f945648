"""What keeps a user from a path. Refusals are real: root gives them to another user in a child."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sage_doctor.system.access import Obstacle, find_obstacle

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
MEMORY = Path("/proc/self/mem")  # a regular file whose first page nobody can read: EIO


def as_nobody(path: Path) -> Obstacle | None:
    """Return what keeps the user nobody from the path."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        found = find_obstacle(path)
        fields = None if found is None else {**vars(found), "path": str(found.path)}
        os.write(write, json.dumps(fields).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        fields = json.loads(pipe.read())
    return None if fields is None else Obstacle(**{**fields, "path": Path(fields["path"])})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for part in (tmp_path, *tmp_path.parents):
        if os.geteuid() == 0 and part != Path("/"):
            part.chmod(part.stat().st_mode | 0o011)
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_text("x")
    return tmp_path


def test_what_can_be_read_and_what_is_not_there(tree: Path) -> None:
    for path in (tree, tree / "a/b/file", tree / "gone/away", tree / "a/b/file/below", Path("a\0b")):
        assert find_obstacle(path) is None


def test_pipes_and_links_in_circles_are_let_alone(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    (tree / "round").symlink_to("round")
    assert find_obstacle(tree / "pipe") is None
    assert find_obstacle(tree / "round") is None


@pytest.mark.skipif(not MEMORY.exists(), reason="no /proc here")
def test_an_error_is_no_refusal(tree: Path) -> None:
    (tree / "file").symlink_to(MEMORY)
    found = find_obstacle(tree / "file")
    assert found is not None
    assert (found.number, found.is_refusal, found.says) == (errno.EIO, False, "input/output error")


@root_only
@pytest.mark.parametrize(
    "closed, mode, asked, at, wanted",
    [
        ("a/b/file", 0o600, "a/b/file", "a/b/file", "read"),
        ("a/b", 0o700, "a/b", "a/b", "list"),
        ("a/b", 0o711, "a/b", "a/b", "list"),
        ("a/b", 0o744, "a/b", "a/b", "list"),
        ("a", 0o700, "a/b/file", "a", "search"),
        ("a", 0o744, "a/b/file", "a", "search"),
        ("a", 0o700, "link/file", "a", "search"),
        ("a", 0o700, "a/gone", "a", "search"),
    ],
)
def test_a_refusal_is_at_the_first_that_refuses(
    tree: Path, closed: str, mode: int, asked: str, at: str, wanted: str
) -> None:
    (tree / "link").symlink_to("a/b")
    (tree / closed).chmod(mode)
    found = as_nobody(tree / asked)
    assert found is not None
    assert (found.path, found.wanted, found.mode, found.uid) == (tree / at, wanted, mode, 0)
    assert found.is_refusal
    assert not found.bits_allow(65534, frozenset())


@root_only
def test_what_lets_a_group_in_is_no_obstacle_to_it(tree: Path) -> None:
    os.chown(tree / "a/b/file", 0, 65534)
    (tree / "a/b/file").chmod(0o640)
    assert as_nobody(tree / "a/b/file") is None


@root_only
@pytest.mark.parametrize("number", [errno.ESTALE, errno.ENOTCONN, errno.EIO, errno.ETIMEDOUT, errno.EHOSTDOWN, 0])
def test_file_systems_that_fail(tree: Path, number: int) -> None:
    mount = Path(__file__).parents[1] / "fuse_mount.py"
    script = (
        f'"{sys.executable}" "{mount}" "$0" {number} >"$0.log" & '
        'for i in 1 2 3 4 5 6 7 8 9 10; do grep -q mounted "$0.log" && break; sleep 0.2; done\n'
        f'[ {number} = 0 ] && wait\n"{sys.executable}" -c "import sys; from pathlib import Path; '
        "from sage_doctor.system.access import find_obstacle; "
        'f = find_obstacle(Path(sys.argv[1]) / \'models\'); print(f.number, f.is_refusal)" "$0"; '
        'code=$?; umount -l "$0"; kill %1 2>/dev/null; exit $code'
    )
    (tree / "point").mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-mc", script, str(tree / "point")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    if "Operation not permitted" in done.stderr or "/dev/fuse" in done.stderr:
        pytest.skip("no FUSE here")
    assert done.stdout.split() == [str(number or errno.ENOTCONN), "False"], done.stderr
