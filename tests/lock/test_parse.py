import random
from pathlib import Path

import pytest

from sage_doctor.lock.entry import LockedBase, LockedFile, LockedMerge, LockedModel, LockedTensors, lock_text
from sage_doctor.lock.parse import LockError, parse_lock, read_lock

A, B = "a" * 64, "b" * 64
FULL = LockedModel(
    kind="full",
    files={
        "model.safetensors": LockedFile(size=840, sha256=A, header=B),
        'odd "name"\n\x1b/ü.json': LockedFile(size=0, sha256=B),
    },
    tensors=LockedTensors(count=3, dtypes="BF16 2, F32 1", header=A, shapes=B),
    repository="org/name",
    commit="c" * 40,
)
ENTRIES = {
    "qwen2.5-0.5b": FULL,
    "a]\n[models.b": LockedModel(kind="adapter", base=LockedBase(declared="./x", model="qwen2.5-0.5b", weights=A)),
    "files": LockedModel(kind="merged", merge=LockedMerge(base="b", adapter="a", base_weights=A, adapter_weights=B)),
}


def test_what_is_written_is_read_back_in_one_order() -> None:
    text = lock_text(ENTRIES)
    assert parse_lock(text, Path("x.lock")) == ENTRIES
    assert lock_text(dict(reversed(ENTRIES.items()))) == text
    assert all(line.isprintable() for line in text.splitlines())


def test_a_change_of_one_file_is_a_change_of_one_line() -> None:
    changed = {**FULL.files, "model.safetensors": LockedFile(size=841, sha256=B, header=B)}
    other = LockedModel(kind="full", files=changed, tensors=FULL.tensors, repository="org/name", commit="c" * 40)
    before, after = (lock_text({**ENTRIES, "qwen2.5-0.5b": m}).splitlines() for m in (FULL, other))
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


HEAD = "schema = 1\n[models.m]\n"


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "x.lock:1: schema is missing"),
        ("[package]\nname = 'x'\n", "x.lock:1: schema is missing"),
        ('{"lockfileVersion": 3}', "x.lock:1: not valid TOML"),
        ("schema = 2\n", "x.lock:1: schema must be 1, not the number 2; a newer sage-doctor may read it"),
        ("schema = '1'\n", "x.lock:1: schema must be 1"),
        ("schema = 1\n[models.m]\nkind = \n", "x.lock:3: not valid TOML"),
        (HEAD + "<<<<<<< ours\nkind = 'full'\n=======\n", "x.lock:3: unresolved merge conflict"),
        (HEAD + "kind = 'service'\n", "x.lock:3: kind must be one of"),
        (HEAD + "kind = 'full'\nkimd = 1\n", "x.lock:4: unknown key 'kimd'; did you mean 'kind'?"),
        (
            HEAD + f"kind = 'full'\nfiles.'../x' = {{ size = 1, sha256 = '{A}' }}\n",
            "x.lock:4: the file name ../x leads",
        ),
        (HEAD + f"kind = 'full'\nfiles.x = {{ size = -1, sha256 = '{A}' }}\n", "x.lock:4: size must be a whole number"),
        (HEAD + "kind = 'full'\nfiles.x = { size = 1, sha256 = 'ABC' }\n", "x.lock:4: sha256 must be 64 hexadecimal"),
        (HEAD + "kind = 'full'\nfiles.x = { size = 1 }\n", "x.lock:4: sha256 is missing"),
        (HEAD + "kind = 'full'\nfiles = [1]\n", "x.lock:4: files must be a table"),
        ("schema = 1\nmodels = 3\n", "x.lock:2: models must be a table"),
        ("schema = 1\n" + "x." * 40 + "y = 1\n", "x.lock:2: nested too deeply for a lock"),
        ("schema = 1\nx = " + "[" * 5000, "x.lock:2: nested too deeply for a lock"),
    ],
)
def test_what_is_no_lock_is_told_by_line(text: str, says: str) -> None:
    with pytest.raises(LockError) as caught:
        parse_lock(text, Path("x.lock"))
    assert any(p.startswith(says) for p in caught.value.problems), caught.value.problems
    assert "\n" not in caught.value.problems[0]


def test_files_of_other_kinds_are_refused_and_a_missing_one_is_none(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "gone") is None
    (tmp_path / "raw").write_bytes(b"schema = 1\n\xff\n")
    with pytest.raises(LockError, match="raw:2: not UTF-8"):
        read_lock(tmp_path / "raw")
    with pytest.raises(LockError, match="a directory, not a lock"):
        read_lock(tmp_path)
    (tmp_path / "big").write_bytes(b"#" * (16 * 1024 * 1024 + 1))
    with pytest.raises(LockError, match="at most"):
        read_lock(tmp_path / "big")


def test_damaged_locks_never_raise_anything_else() -> None:
    text = lock_text(ENTRIES)
    chance = random.Random(7)
    for _ in range(400):
        at = chance.randrange(len(text))
        cut = text[:at] if chance.random() < 0.3 else text[:at] + chance.choice('"[]{}=\n.x1\\') + text[at + 1 :]
        told = problems_of(cut)
        assert all(p.startswith("x.lock") and p.isprintable() for p in told)


def problems_of(text: str) -> list[str]:
    try:
        parse_lock(text, Path("x.lock"))
    except LockError as error:
        return error.problems
    return []
