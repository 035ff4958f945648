import os
import pickle
import struct
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


def test_the_list_of_members_of_a_bomb_is_not_read(tmp_path: Path) -> None:
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    count = 400_000
    size = len(entry) * count
    (tmp_path / "f").write_bytes(
        b"PK\3\4"
        + entry * count
        + struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, 4)
        + struct.pack("<4sLQL", b"PK\6\7", 0, 4 + size, 1)
        + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    )
    began = time.process_time()
    assert read_pickle_names(tmp_path / "f") is None
    assert time.process_time() - began < 1
