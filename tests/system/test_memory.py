from pathlib import Path

import pytest

from sage_doctor.system.memory import parse_swapusage, parse_vm_stat, read_memory

MIB = 1 << 20
GIB = 1 << 30


def lay(root: Path, files: dict[str, str]) -> Path:
    host = {"proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n"}
    for name, text in {**host, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_no_group_limit(tmp_path: Path) -> None:
    memory = read_memory(lay(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}))
    assert (memory.limit, memory.effective_available, memory.effective_total) == (None, 8 * GIB, 16 * GIB)


def test_version_2_the_tightest_group_on_the_way_up_decides(tmp_path: Path) -> None:
    memory = read_memory(
        lay(
            tmp_path,
            {
                "proc/self/cgroup": "0::/system.slice/sage.service\n",
                "sys/fs/cgroup/system.slice/memory.max": f"{4 * GIB}\n",
                "sys/fs/cgroup/system.slice/memory.current": f"{3 * GIB}\n",
                "sys/fs/cgroup/system.slice/memory.stat": f"anon 1\ninactive_file {512 * MIB}\nslab 3\n",
                "sys/fs/cgroup/system.slice/sage.service/memory.max": f"{6 * GIB}\n",
                "sys/fs/cgroup/system.slice/sage.service/memory.current": f"{1 * GIB}\n",
            },
        )
    )
    assert memory.limit == 4 * GIB
    assert memory.limit_free == GIB + 512 * MIB
    assert memory.effective_available == GIB + 512 * MIB
    assert memory.effective_total == 4 * GIB


def test_version_1_inside_a_container_that_mounts_its_own_group_as_the_root(tmp_path: Path) -> None:
    memory = read_memory(
        lay(
            tmp_path,
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/docker/ab12\n4:memory:/docker/ab12\n1:name=systemd:/docker/ab12\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
                "sys/fs/cgroup/memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {256 * MIB}\n",
            },
        )
    )
    assert memory.limit == 2 * GIB
    assert memory.effective_available == GIB + 256 * MIB


def test_version_1_without_a_limit_writes_a_huge_number(tmp_path: Path) -> None:
    memory = read_memory(
        lay(
            tmp_path,
            {
                "proc/self/cgroup": "4:memory:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
            },
        )
    )
    assert memory.limit is None
    assert memory.effective_available == 8 * GIB


def test_a_group_that_is_over_its_limit_has_nothing_free(tmp_path: Path) -> None:
    memory = read_memory(
        lay(
            tmp_path,
            {
                "proc/self/cgroup": "0::/../outside\n",
                "sys/fs/cgroup/memory.max": f"{GIB}\n",
                "sys/fs/cgroup/memory.current": f"{2 * GIB}\n",
            },
        )
    )
    assert memory.effective_available == 0


def test_old_kernels_without_memavailable(tmp_path: Path) -> None:
    lay(tmp_path, {"proc/meminfo": "MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 5 kB\nCached: 20 kB\n"})
    assert read_memory(tmp_path).available == 35 * 1024


def test_vm_stat() -> None:
    text = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10.
Pages active:                         500000.
Pages inactive:                           20.
Pages speculative:                         3.
Pages throttled:                           0.
Pages purgeable:                           7.
"""
    assert parse_vm_stat(text) == 40 * 16384
    assert parse_vm_stat("") is None


@pytest.mark.parametrize(
    "text,expected",
    [
        ("total = 2048.00M  used = 1023.50M  free = 1024.50M  (encrypted)\n", (2048 * MIB, 1024 * MIB + MIB // 2)),
        ("total = 0.00M  used = 0.00M  free = 0.00M", (0, 0)),
        ("", (None, None)),
    ],
)
def test_swapusage(text: str, expected: tuple[int | None, int | None]) -> None:
    assert parse_swapusage(text) == expected
