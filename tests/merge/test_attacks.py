"""Hostile and unlucky layouts: a merge loses nothing of base, target and user, and copies nothing of others."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sage_doctor.merge import MergePlan, MergeRefused, apply, plan_merge
from sage_doctor.merge.leftovers import StagingRecord
from sage_doctor.merge.staging import lock_path
from tests.model_directories import MODEL, write_adapter, write_full, write_sharded
from tests.repairs.conftest import contents

SECRET = "-----BEGIN PRIVATE KEY-----"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with `base`, `adapter` and the older model `out`."""
    write_full(tmp_path / "base")
    write_adapter(tmp_path / "adapter", "../base")
    write_full(tmp_path / "out")
    return tmp_path


def plan(place: Path, out: str = "out", base: str = "base") -> MergePlan:
    return plan_merge(place / "adapter", place / out, base=place / base)


def farm(real: Path, folder: Path) -> Path:
    """Make a directory of links to the files of another."""
    folder.mkdir()
    for path in real.iterdir():
        (folder / path.name).symlink_to(os.path.relpath(path, folder))
    return folder


# A target that holds what is read


def files_linked(place: Path) -> None:
    shutil.rmtree(place / "base")
    farm(place / "out", place / "base")


def weights_linked(place: Path) -> None:
    (place / "base" / MODEL).unlink()
    (place / "base" / MODEL).symlink_to(place / "out" / MODEL)


def linked_by_way_of_the_target(place: Path) -> None:
    shutil.copy(place / "base" / MODEL, place / "elsewhere")
    (place / "out" / MODEL).unlink()
    (place / "out" / MODEL).symlink_to("../elsewhere")
    weights_linked(place)


def below_the_target(place: Path) -> None:
    (place / "out/inner").mkdir()
    shutil.move(place / "base" / MODEL, place / "out/inner" / MODEL)
    (place / "base" / MODEL).symlink_to("../out/inner/model.safetensors")


def linked_directory(place: Path) -> None:
    shutil.move(place / "base", place / "out/base")
    (place / "base").symlink_to("out/base")


def not_even_read(place: Path) -> None:
    (place / "out/pytorch_model.bin").write_bytes(b"precious")
    (place / "base/pytorch_model.bin").symlink_to("../out/pytorch_model.bin")


def adapter_linked(place: Path) -> None:
    path = place / "adapter/adapter_config.json"
    path.rename(place / "out/mine.json")
    path.symlink_to("../out/mine.json")


OVERLAPS = [
    files_linked, weights_linked, linked_by_way_of_the_target, below_the_target, linked_directory, not_even_read,
    adapter_linked,
]  # fmt: skip


@pytest.mark.parametrize("lay", OVERLAPS)
def test_a_target_that_holds_an_input_is_refused(lay: Callable[[Path], None], place: Path) -> None:
    lay(place)
    before = contents(place)

    with pytest.raises(MergeRefused, match=r"which the merge would replace|must not contain one another|not copied"):
        apply(plan(place), allow_delete=True)

    assert contents(place) == before


def test_a_base_that_comes_into_the_target_after_the_plan_is_refused(place: Path) -> None:
    made = plan(place)
    os.rename(place / "base" / MODEL, place / "out/moved")
    (place / "base" / MODEL).symlink_to("../out/moved")
    before = contents(place)

    with pytest.raises(Exception, match=r"changed during|which the merge would replace"):
        apply(made)

    assert contents(place) == before


MOUNTED = """
mount --bind "$1/out" "$1/bound" && mount --bind "$1/out/model.safetensors" "$1/base/model.safetensors" &&
for base in bound base; do "$2" -m sage_doctor merge "$1/adapter" --base "$1/$base" --out "$1/out" --yes; echo $?; done
"""
BELOW = """
mkdir "$1/out/data" && mount --bind "$1/adapter" "$1/out/data" &&
"$2" -m sage_doctor merge "$1/adapter" --base "$1/base" --out "$1/out" --yes; echo $?
"""


@pytest.mark.parametrize("script, answers", [(MOUNTED, ["1", "1"]), (BELOW, ["1"])])
def test_mounts_are_seen(place: Path, script: str, answers: list[str]) -> None:
    (place / "bound").mkdir()
    before = contents(place / "adapter")
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", place, sys.executable],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if "mount" in done.stderr and "permission denied" in done.stderr.lower():
        pytest.skip("no mounts here")

    assert [n for n in done.stdout.splitlines() if n.isdigit()] == answers, done.stderr
    assert contents(place / "adapter") == before
    assert (place / "out" / MODEL).is_file()


@pytest.mark.parametrize("link", [os.link, shutil.copy])
def test_hard_links_between_base_and_target_are_harmless(link: Callable[[Path, Path], object], place: Path) -> None:
    (place / "out" / MODEL).unlink()
    link(place / "base" / MODEL, place / "out" / MODEL)
    link(place / "base" / MODEL, place / "out/backup.safetensors")
    before = (place / "base" / MODEL).read_bytes()

    apply(plan(place))

    assert (place / "base" / MODEL).read_bytes() == before == (place / "out/backup.safetensors").read_bytes()
    assert (place / "out" / MODEL).read_bytes() != before


def test_a_base_whose_weights_are_links_beside_the_target_is_merged(place: Path) -> None:
    (place / "store").mkdir()
    (place / "base" / MODEL).rename(place / "store/blob")
    (place / "base" / MODEL).symlink_to("../store/blob")

    assert apply(plan(place, out="store/merged")).nbytes
    assert apply(plan(place)).replaced


# What a replaced directory holds

MINE = (
    "README.md", "README", "notes.txt", "LICENSE", "model-q4_k_m.gguf", "optimizer.pt", "trainer_state.json",
    "training.lock", "eval.json", "my.bin", "model.onnx", "model.old.safetensors", ".hidden", "runs/a/events",
    ".cache/mine", "scheduler.pt", "ünï\nname", "1_Pooling/config.json", ".git/HEAD",
)  # fmt: skip


def fill(out: Path) -> None:
    for name in MINE:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(f"mine: {name}")
    (out / "optimizer.pt").chmod(0o600)
    (out / "empty").mkdir(mode=0o750)
    (out / "dangling").symlink_to("nowhere")
    (out / "outside").symlink_to("/etc/hostname")
    (out / "latest").symlink_to("runs")
    (out / "closed").write_text("mine")
    (out / "closed").chmod(0)


def test_everything_that_no_merge_makes_is_carried_over(place: Path) -> None:
    fill(place / "out")
    for name in ("pytorch_model.bin", "model-00001-of-00002.safetensors", "tf_model.h5", "odd.safetensors"):
        (place / "out" / name).write_text("old weights")
    (place / "out/model.safetensors.index.json").write_text('{"weight_map": {"a": "odd.safetensors", "b": ".hidden"}}')
    (place / "base/notes.txt").write_text("the base's")
    before = contents(place / "out")
    gone = {"pytorch_model.bin", "model-00001-of-00002.safetensors", "tf_model.h5", "odd.safetensors"}
    gone |= {"model.safetensors.index.json"}
    written = {"config.json", MODEL, "tokenizer.json", "tokenizer_config.json", "sage-doctor-merge.json"}

    made = plan(place)
    apply(made)

    after = contents(place / "out")
    assert {n: v for n, v in before.items() if n not in gone | written} == {
        n: v for n, v in after.items() if n not in written
    }
    assert gone <= set(made.present.replaced)
    assert "optimizer.pt" in str(made)
    assert "replaces  " in str(made)
    assert "pytorch_model.bin" in str(made)
    assert not [n for n in os.listdir(place) if n.startswith(".")]


def test_without_hard_links_they_are_copied(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "no hard links")

    (place / "out/optimizer.pt").write_text("mine")
    (place / "out/optimizer.pt").chmod(0o640)
    monkeypatch.setattr(os, "link", refuse)

    apply(plan(place))

    assert (place / "out/optimizer.pt").read_text() == "mine"
    assert (place / "out/optimizer.pt").stat().st_mode & 0o777 == 0o640


def pipe(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


def adapter_config(path: Path) -> None:
    (path / "adapter_config.json").write_text("{}")


@pytest.mark.parametrize(
    "make, where",
    [
        (pipe, "thing"),
        (pipe, "below/thing"),
        (bound_socket, "thing"),
        (bound_socket, "below/thing"),
        (adapter_config, ""),
    ],
)
def test_what_cannot_be_carried_over_is_deleted_only_where_that_is_allowed(
    make: Callable[[Path], None], where: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    (place / "out/below").mkdir()
    make(place / "out" / where)
    names = {p.name for p in (place / "out").rglob("*")}

    made = plan(place)
    assert "deletes   1 file" in str(made)
    with pytest.raises(MergeRefused, match="--allow-delete"):
        apply(made)
    assert {p.name for p in (place / "out").rglob("*")} == names

    apply(made, allow_delete=True)
    assert len(names - {p.name for p in (place / "out").rglob("*")}) == 1


def test_what_comes_into_the_target_during_the_merge_is_kept(place: Path) -> None:
    made = plan(place)
    (place / "out/late.txt").write_text("mine")

    apply(made)
    assert (place / "out/late.txt").read_text() == "mine"

    made = plan(place)
    os.mkfifo(place / "out/pipe")
    with pytest.raises(MergeRefused, match="changed since the plan was made"):
        apply(made)


# What lies beside a target


def test_a_planted_directory_is_neither_used_nor_deleted(place: Path) -> None:
    shutil.rmtree(place / "out")
    planted = place / ".out.sage-merge-1-aaaaaaaa"
    write_full(planted)
    (planted / "evil.py").touch()
    (place / ".out.sage-merge-1-bbbbbbbb-replaced").mkdir()
    (place / ".out.sage-merge-1-cccccccc").symlink_to("base")
    before = contents(place)

    outcome = apply(plan(place))

    assert not (place / "out/evil.py").exists()
    assert {n: v for n, v in contents(place).items() if not n.startswith("out")} == before
    assert [left.path for left in outcome.cleaned] == sorted(place.glob(".out.sage-merge-*"))
    assert all("left as it is" in left.what for left in outcome.cleaned)


@pytest.mark.parametrize("fault", ["another directory", "writable", "a link"])
def test_a_record_that_others_may_have_written_is_not_believed(place: Path, fault: str) -> None:
    shutil.rmtree(place / "out")
    left = write_full(place / ".out.sage-merge-1-aaaa")
    inode = left.stat().st_ino + (fault == "another directory")
    StagingRecord(target=place / "out", staging_dir=left, made=1, replaced=inode, keep=False).write()
    record = next(Path(os.environ["XDG_STATE_HOME"], "sage-doctor/merges").glob("*.json"))
    if fault == "writable":
        record.chmod(0o666)
    elif fault == "a link":
        record.rename(place / "record")
        record.symlink_to(place / "record")

    apply(plan(place))

    assert (left / MODEL).is_file()


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    yield
    assert not list(Path(os.environ["XDG_STATE_HOME"]).rglob("*.json")), "a merge that ended keeps no record"


def lock_is_a_pipe(lock: Path) -> None:
    os.mkfifo(lock)


def lock_is_a_link(lock: Path) -> None:
    (lock.parent / "victim").write_text("precious")
    lock.symlink_to("victim")


def lock_is_a_hard_link(lock: Path) -> None:
    (lock.parent / "victim").write_text("precious")
    os.link(lock.parent / "victim", lock)


def lock_is_a_directory(lock: Path) -> None:
    lock.mkdir()


@pytest.mark.parametrize("make", [lock_is_a_pipe, lock_is_a_link, lock_is_a_hard_link, lock_is_a_directory])
def test_a_planted_lock_is_neither_waited_for_nor_written_into(make: Callable[[Path], None], place: Path) -> None:
    make(lock_path(place / "out"))
    before = contents(place / "out")

    with pytest.raises(MergeRefused, match=r"\.out\.sage-merge\.lock cannot be used: "):
        apply(plan(place))

    assert contents(place / "out") == before
    if (place / "victim").exists():
        assert (place / "victim").read_text() == "precious"


# Links that lead out of base and adapter


@pytest.mark.parametrize("name", ["LICENSE", "notes.txt", "modeling.py", "eval.json"])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_link_out_of_the_base_is_not_copied(place: Path, name: str, absolute: bool) -> None:
    (place / "home").mkdir()
    (place / "home" / name).write_text(SECRET)
    (place / "base" / name).symlink_to(place / "home" / name if absolute else f"../home/{name}")

    made = plan(place)
    apply(made)

    assert f"skips     {name}: a link out of its model directory, to {place / 'home' / name}" in str(made)
    assert SECRET not in "".join(p.read_text(errors="replace") for p in (place / "out").iterdir())


@pytest.mark.parametrize("name", ["base/tokenizer_config.json", "base/config.json", "adapter/adapter_config.json"])
def test_a_link_in_place_of_what_the_model_needs_is_refused(place: Path, name: str) -> None:
    (place / name).rename(place / "secret")
    (place / name).symlink_to("../secret")

    with pytest.raises(MergeRefused, match=r"is a link out of its model directory.*not copied"):
        plan(place)


def test_a_link_that_takes_a_files_place_after_the_plan_is_not_followed(place: Path) -> None:
    (place / "secret").write_text(SECRET)
    (place / "base/LICENSE").write_text("x" * len(SECRET))
    made = plan(place)
    (place / "base/LICENSE").unlink()
    (place / "base/LICENSE").symlink_to("../secret")

    with pytest.raises(Exception, match="changed during the merge"):
        apply(made)


def test_a_snapshot_of_the_cache_is_copied_and_its_secrets_are_not(place: Path) -> None:
    repo = place / "hub/models--a--b"
    snapshot = repo / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    (place / "base/LICENSE").write_text("free")
    for number, path in enumerate(sorted((place / "base").iterdir())):
        path.rename(repo / "blobs" / f"{number:040x}")
        (snapshot / path.name).symlink_to(f"../../blobs/{number:040x}")
    (place / "id_ed25519").write_text(SECRET)
    (repo / "blobs" / ("e" * 40)).symlink_to(place / "id_ed25519")
    (snapshot / "NOTICE").symlink_to(f"../../blobs/{'e' * 40}")
    (place / "linked").symlink_to(snapshot)
    farm(snapshot, place / "flat")

    for base in (snapshot, place / "linked", place / "flat"):
        made = plan_merge(place / "adapter", place / "out", base=base)
        apply(made)
        assert list(made.left_out) == ["NOTICE"]
        assert (place / "out/LICENSE").read_text() == "free"
        (place / "out/LICENSE").unlink()


@pytest.mark.parametrize("write", [write_full, write_sharded])
def test_a_directory_of_links_to_one_model_is_that_model(place: Path, write: Callable[[Path], Path]) -> None:
    shutil.rmtree(place / "base")
    real = write(place / "real")
    (real / "LICENSE").write_text("free")
    farm(real, place / "base")
    (place / "home").mkdir()
    (place / "home/NOTICE").write_text(SECRET)
    (place / "base/NOTICE").symlink_to("../home/NOTICE")
    (place / "base/notes.txt").symlink_to("../real/LICENSE")

    made = plan(place)
    apply(made)

    assert sorted(made.left_out) == ["NOTICE", "notes.txt"]
    assert (place / "out/LICENSE").read_text() == "free"
