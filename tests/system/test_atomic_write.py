import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.system.atomic_write import atomic_write, replace_file


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_a_new_file_gets_what_the_umask_leaves(tmp_path: Path) -> None:
    atomic_write(tmp_path / "report.json", "ü\udcff")
    assert (tmp_path / "report.json").read_bytes() == "ü".encode() + b"\xff"
    assert mode(tmp_path / "report.json") == 0o640
    assert os.listdir(tmp_path) == ["report.json"]


@pytest.mark.usefixtures("umask")
def test_an_old_one_keeps_its_mode_and_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    path.chmod(0o604)
    with path.open() as reader:
        atomic_write(path, "new")
        assert reader.read() == "old"  # who reads it still sees one whole report
    assert (path.read_text(), mode(path)) == ("new", 0o604)


def test_links_stay_links(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/report")
    for text in ("first", "second"):
        atomic_write(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "there/report").read_text() == text
    assert os.listdir(tmp_path / "there") == ["report"]


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    atomic_write(tmp_path / ("x" * 255), "text")
    assert os.listdir(tmp_path) == ["x" * 255]


@pytest.mark.parametrize(
    "name, reason",
    [
        ("absent/report", "no such file or directory"),
        ("file/report", "not a directory"),
        ("directory", "is a directory"),
        ("a\0b", "embedded null byte"),
        ("x" * 256, "file name too long"),
    ],
)
def test_where_nothing_can_be_written(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "directory").mkdir()
    with pytest.raises(DoctorError, match=rf"could not be written: {reason}$"):
        atomic_write(tmp_path / name, "text")
    assert sorted(os.listdir(tmp_path)) == ["directory", "file"]
    assert os.listdir(tmp_path / "directory") == []
    assert (tmp_path / "file").read_text() == "kept"


def test_a_failure_half_way_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_text("old")
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from sage_doctor.system.atomic_write import atomic_write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "atomic_write(Path(sys.argv[1]), 'x' * 5000)"
    )
    run = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False, timeout=60)
    assert run.stderr.splitlines()[-1].endswith("report could not be written: file too large")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report"]


def test_a_pipe_that_nobody_reads_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DoctorError, match="no such device or address"):
        atomic_write(tmp_path / "pipe", "text")


def test_a_pipe_that_somebody_reads_gets_everything(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDWR)  # as reader and writer, so that it is never at its end
    text = "x" * 1_000_000  # far more than a pipe holds
    writer = threading.Thread(target=atomic_write, args=(tmp_path / "pipe", text))
    writer.start()
    with os.fdopen(reader, "rb") as file:
        assert file.read(len(text)) == text.encode()
    writer.join(timeout=60)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_devices() -> None:
    atomic_write(Path("/dev/null"), "text")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


SAY = """
from pathlib import Path
from sage_doctor.system.atomic_write import atomic_write
atomic_write(Path("/dev/stdout"), "report")
"""


def test_standard_output_in_a_log_is_added_to(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("yesterday\n")
    with log.open("a") as file:
        subprocess.run([sys.executable, "-c", SAY], stdout=file, check=True, timeout=60)
    assert log.read_text() == "yesterday\nreport"


def test_standard_output_in_a_pipe() -> None:
    assert subprocess.run([sys.executable, "-c", SAY], capture_output=True, check=True, timeout=60).stdout == b"report"


def test_a_replaced_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "link").symlink_to("victim")
    replace_file(tmp_path / "link", b"new", mode=0o600)
    assert not (tmp_path / "link").is_symlink()
    assert ((tmp_path / "victim").read_text(), mode(tmp_path / "link")) == ("precious", 0o600)


def test_a_directory_that_may_be_written_to_and_not_read(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o300)
    try:
        atomic_write(closed / "report", "text")
    finally:
        closed.chmod(0o700)
    assert os.listdir(closed) == ["report"]
