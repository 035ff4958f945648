import os
import pickle
import time
import zipfile
from pathlib import Path

from sage_doctor.readers.pickle_names import read_pickle_names


def write(path: Path, value: object, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(value, protocol=2))
    return path


def test_names_at_the_top(tmp_path: Path) -> None:
    found = read_pickle_names(write(tmp_path / "f", {"module.a.weight": None, "module.b.bias": None}))
    assert found is not None
    assert (found.tensors, found.holder) == (("module.a.weight", "module.b.bias"), "")


def test_names_below_a_key(tmp_path: Path) -> None:
    found = read_pickle_names(write(tmp_path / "f", {"epoch": 1, "state_dict": {"a.weight": None}}))
    assert found is not None
    assert found.holder == "state_dict"


class Trap:
    def __init__(self, bait: Path) -> None:
        self.bait = bait

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.bait),)


def test_nothing_is_carried_out(tmp_path: Path) -> None:
    found = read_pickle_names(write(tmp_path / "f", {"a.weight": Trap(tmp_path / "bait")}))
    assert found is not None
    assert "a.weight" in found.tensors
    assert not (tmp_path / "bait").exists()


def test_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a zip archive")
    assert read_pickle_names(tmp_path / "text") is None
    assert read_pickle_names(write(tmp_path / "deflated", {"a.b": 1}, zipfile.ZIP_DEFLATED)) is None
    assert read_pickle_names(tmp_path / "missing") is None
    with zipfile.ZipFile(tmp_path / "cut", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}X\xff\xff")
    assert read_pickle_names(tmp_path / "cut") is None


def test_many_texts_take_time_in_proportion_to_their_number(tmp_path: Path) -> None:
    # as many other texts as names of tensors: each was looked for among all names
    file = write(tmp_path / "f", {**{f"x{n}": None for n in range(60_000)}, **{f"a.b{n}": None for n in range(60_000)}})
    began = time.process_time()
    found = read_pickle_names(file)
    assert found is not None
    assert len(found.tensors) == 60_000
    assert time.process_time() - began < 5
