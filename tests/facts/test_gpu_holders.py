"""Who holds the accelerator: a composed `/proc`, and programs that answer as NVIDIA's tool does."""

import os
import sys
import time
from pathlib import Path

from sage_doctor.facts.gpu_holders import Holder, read_holders

ABSENT = ("no-such-program-anywhere",)


def process(root: Path, pid: int, name: str, *opens: str, pages: int = 0) -> None:
    folder = root / "proc" / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "comm").write_text(name + "\n")
    (folder / "statm").write_text(f"999 {pages} 1 1 0 1 0\n")
    for number, target in enumerate(opens):
        (folder / "fd" / str(number)).symlink_to(target)


def tool(root: Path, said: str) -> tuple[str, ...]:
    root.mkdir(parents=True, exist_ok=True)
    (root / "said").write_text(said)
    return ("cat", str(root / "said"))


def test_open_device_files_tell(tmp_path: Path) -> None:
    process(tmp_path, 10, "python", "/dev/null", "/dev/nvidia-uvm", pages=100)
    process(tmp_path, 11, "ollama", "/dev/nvidia0", pages=300)
    process(tmp_path, 12, "nvtop", "/dev/nvidiactl", "/dev/nvidia-modeset")
    process(tmp_path, 13, "bash", "/dev/pts/0")
    process(tmp_path, 14, "llama-server", "/dev/nvmap", pages=200)
    found = read_holders(jetson=False, root=tmp_path, tool=ABSENT)
    assert [(h.pid, h.name) for h in found.processes] == [(11, "ollama"), (14, "llama-server"), (10, "python")]
    assert found.processes[0].resident_bytes == 300 * os.sysconf("SC_PAGE_SIZE")
    assert found.unseen == 0


def test_the_tool_tells_how_much(tmp_path: Path) -> None:
    process(tmp_path, 10, "python", "/dev/nvidia-uvm")
    said = "10, /opt/a, b/python3, 512\n4711, /usr/bin/ollama, 6144\n4712, x, [N/A]\ngarbage\n"
    found = read_holders(jetson=False, root=tmp_path, tool=tool(tmp_path, said))
    assert [(h.pid, h.name, h.held_bytes) for h in found.processes] == [
        (4711, "ollama", 6144 << 20),
        (10, "python3", 512 << 20),
        (4712, "x", None),
    ]


def test_the_tool_is_never_asked_on_jetson(tmp_path: Path) -> None:
    process(tmp_path, 10, "python", "/dev/nvhost-gpu")
    touched = tmp_path / "touched"
    found = read_holders(jetson=True, root=tmp_path, tool=("touch", str(touched)))
    assert found.processes == (Holder(pid=10, name="python", resident_bytes=0),)
    assert not touched.exists()


def test_a_tool_that_hangs_is_ended(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    began = time.monotonic()
    found = read_holders(jetson=False, root=tmp_path, tool=(sys.executable, "-c", "import time; time.sleep(600)"))
    assert time.monotonic() - began < 60
    assert found.processes == ()


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    assert read_holders(jetson=False, root=tmp_path / "gone", tool=ABSENT).processes == ()


def test_this_machine() -> None:
    found = read_holders(jetson=False)
    assert all(h.pid != os.getpid() for h in found.processes)
