"""Where models are said to lie."""

from dataclasses import replace
from pathlib import Path

import pytest

from sage_doctor.system.mounts import DeclaredMount, Mount, MountTable
from tests.model_directories import write_full

from .cases import Bench, Case, Cases

CASES = Cases()


@CASES.passes("check_path")
def a_directory(bench: Bench) -> None:
    write_full(bench.here)


@CASES.skips("check_path", "Hugging Face cache")
def a_hub_reference(bench: Bench) -> None:
    bench.manifest('[models.m]\nkind = "full"\npath = "hf:org/name"\n', "m")


@CASES.finds("check_path", "path-missing", "the deepest existing parent is")
def nothing_there(bench: Bench) -> None:
    bench.here.mkdir()
    bench.manifest('[models.m]\nkind = "full"\npath = "here/gone/away"\n', "m")


@CASES.finds("check_path", "path-foreign-home", "/home/somebody-else")
def the_home_of_another(bench: Bench) -> None:
    bench.manifest('[models.m]\nkind = "full"\npath = "/home/somebody-else/models/m"\n', "m")


@CASES.finds("check_path", "path-dangling-symlink", "gone")
def a_link_to_nothing(bench: Bench) -> None:
    bench.here.symlink_to(bench.root / "gone")
    bench.manifest('[models.m]\nkind = "full"\npath = "here"\n', "m")


@CASES.finds("check_path", "path-dangling-symlink", "itself")
def a_link_to_itself(bench: Bench) -> None:
    bench.here.symlink_to("here")
    bench.manifest('[models.m]\nkind = "full"\npath = "here"\n', "m")


@CASES.finds("check_path", "path-not-directory", "is a file")
def a_file(bench: Bench) -> None:
    bench.here.write_text("")
    bench.manifest('[models.m]\nkind = "full"\npath = "here"\n', "m")


@CASES.finds("check_path", "path-unreadable", "0000")
def a_closed_directory(bench: Bench) -> None:
    bench.here.mkdir(mode=0o000)
    bench.manifest('[models.m]\nkind = "full"\npath = "here"\n', "m")


ROOT = Mount(point="/", kind="ext4", source="/dev/vda")


def unmounted(bench: Bench, path: str, **declared: str) -> None:
    """Examine a model on a disk that a table names and that is not mounted at `bench.root / "disk"`."""
    bench.here.mkdir()
    bench.manifest(f'[models.m]\nkind = "full"\npath = "{path}"\n', "m")
    told = {"source": "/dev/null", "told_by": "/etc/fstab", **declared}
    bench.mounts = MountTable(mounted=(ROOT,), declared=(DeclaredMount(point=str(bench.root / "disk"), **told),))


@CASES.finds("check_path", "volume-not-mounted", "which is not mounted: /etc/fstab names it (/dev/null)")
def on_a_disk_that_is_not_mounted(bench: Bench) -> None:
    unmounted(bench, "disk/models/m")
    (bench.root / "disk").mkdir()


@CASES.finds("check_path", "volume-not-mounted", "disk is not mounted")
def an_empty_mount_point(bench: Bench) -> None:
    unmounted(bench, "disk")
    (bench.root / "disk").mkdir()


@CASES.finds("check_path", "volume-not-mounted", "data.mount names it")
def a_disk_of_a_unit(bench: Bench) -> None:
    unmounted(bench, "disk/m", told_by="/etc/systemd/system/data.mount", unit="data.mount")


@CASES.finds("check_path", "volume-not-mounted", "its device is not connected (/dev/disk-that-is-gone)")
def a_disk_that_is_not_connected(bench: Bench) -> None:
    unmounted(bench, "disk/m", source="/dev/disk-that-is-gone")


@CASES.finds("check_path", "volume-not-mounted", "an empty tmpfs is mounted at")
def hidden_by_a_sandbox(bench: Bench) -> None:
    """ProtectHome=tmpfs of a unit."""
    unmounted(bench, "disk/home/dp/m")
    (bench.root / "disk").mkdir()
    bench.mounts = MountTable(mounted=(ROOT, Mount(point=str(bench.root / "disk"), kind="tmpfs", source="tmpfs")))


@CASES.finds("check_path", "volume-not-mounted", "an empty tmpfs is mounted at")
def a_tmpfs_in_the_place_of_the_model(bench: Bench) -> None:
    hidden_by_a_sandbox(bench)
    bench.manifest('[models.m]\nkind = "full"\npath = "disk"\n', "m")


@CASES.finds("check_path", "path-missing", "does not exist")
def missing_in_a_tmpfs_that_holds_something(bench: Bench) -> None:
    hidden_by_a_sandbox(bench)
    (bench.root / "disk/other").mkdir()


@CASES.finds("check_path", "volume-not-mounted", "/models/m is on")
def a_link_to_a_disk_that_is_not_mounted(bench: Bench) -> None:
    unmounted(bench, "here/m")
    (bench.here / "m").symlink_to(bench.root / "disk/models/m")


@CASES.finds("check_path", "volume-not-mounted", "nothing is mounted there, and /etc/fstab does not name it")
def on_a_stick_that_is_not_there(bench: Bench) -> None:
    bench.manifest('[models.m]\nkind = "full"\npath = "/run/media/sprout/STICK/models/m"\n', "m")
    bench.mounts = MountTable(mounted=(ROOT,))


@CASES.finds("check_path", "volume-not-mounted", "drive Q: of Windows is not mounted in WSL")
def on_a_drive_of_windows(bench: Bench) -> None:
    bench.manifest('[models.m]\nkind = "full"\npath = "/mnt/q/models/m"\n', "m")
    bench.mounts = MountTable(mounted=(ROOT,))
    bench.machine = lambda facts: replace(facts, is_wsl=True)


@CASES.finds("check_path", "path-missing", "does not exist")
def missing_on_a_disk_that_is_mounted(bench: Bench) -> None:
    unmounted(bench, "disk/m")
    assert bench.mounts is not None
    there = Mount(point=str(bench.root / "disk"), kind="ext4", source="/dev/sda1")
    bench.mounts = replace(bench.mounts, mounted=(ROOT, there))


@CASES.finds("check_path", "path-missing", "does not exist")
def missing_where_the_system_tells_no_mounts(bench: Bench) -> None:
    unmounted(bench, "disk/m")
    bench.mounts = MountTable()


@CASES.passes("check_path")
def there_although_a_table_names_a_mount(bench: Bench) -> None:
    unmounted(bench, "disk/m")
    write_full(bench.root / "disk/m")


@CASES.finds("check_path", "filesystem-failed", "input/output error")
def a_file_that_cannot_be_read(bench: Bench) -> None:
    write_full(bench.here)
    (bench.here / "generation_config.json").symlink_to("/proc/self/mem")  # its first page is nobody's: EIO


@CASES.finds("check_path", "path-unreadable", "tokenizer.json has mode 0000")
def a_tokenizer_that_nobody_may_read(bench: Bench) -> None:
    (write_full(bench.here) / "tokenizer.json").chmod(0o000)


@CASES.finds("check_path", "path-unreadable", "chat_template.jinja has mode 0000")
def a_template_that_nobody_may_read(bench: Bench) -> None:
    (write_full(bench.here) / "chat_template.jinja").touch(mode=0o000)


@CASES.passes("check_path")
def files_that_no_load_opens(bench: Bench) -> None:
    (write_full(bench.here) / "training_args.json").touch(mode=0o000)
    (bench.here / "README.md").touch(mode=0o000)


@CASES.passes("check_path")
def read_only(bench: Bench) -> None:
    for path in [*write_full(bench.here).iterdir(), bench.here]:
        path.chmod(path.stat().st_mode & ~0o222)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)


def test_a_similar_name_is_offered(tmp_path: Path) -> None:
    write_full(tmp_path / "models" / "Qwen")
    bench = Bench(root=tmp_path)
    bench.manifest('[models.m]\nkind = "full"\npath = "models/qwen"\n', "m")
    (found,) = bench.run("check_path").findings
    assert str(tmp_path / "models" / "Qwen") in [c["path"] for c in found.evidence["candidates"]]
    assert found.fix.commands == (f"sage-doctor check {tmp_path}/models/Qwen",)


def test_an_empty_directory_where_a_path_ends_may_be_a_mount_point(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    bench = Bench(root=tmp_path)
    bench.manifest('[models.m]\nkind = "full"\npath = "disk/m"\n', "m")
    (found,) = bench.run("check_path").findings
    assert found.message.endswith(f"the deepest existing parent is {tmp_path}/disk, which is empty")
    assert "mount it. Otherwise correct the path in the manifest" in found.fix.summary
