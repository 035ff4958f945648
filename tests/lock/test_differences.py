from dataclasses import replace

from sage_doctor.lock.differences import Sides, changes_between
from sage_doctor.lock.entry import LockedBase, LockedFile, LockedMerge, LockedModel, LockedTensors

H = {c: c * 64 for c in "0123456789abcdef"}
TENSORS = LockedTensors(count=272, dtypes="BF16 272", header=H["1"], shapes=H["2"])


def model(
    weights: dict[str, str] | None = None,
    tensors: LockedTensors | None = TENSORS,
    beside: dict[str, LockedFile] | None = None,
) -> LockedModel:
    files = {n: LockedFile(size=9, sha256=h) for n, h in (weights or {"model.safetensors": H["a"]}).items()}
    return LockedModel(kind="full", files={**files, **(beside or {})}, tensors=tensors)


def words(old: LockedModel, new: LockedModel) -> list[str]:
    return [c.words for c in changes_between(old, new)]


def kinds(old: LockedModel, new: LockedModel) -> list[str]:
    return [c.of for c in changes_between(old, new)]


def test_the_same_is_no_difference() -> None:
    assert changes_between(model(), model()) == []


def test_the_same_header_with_other_bytes_is_other_numbers() -> None:
    (said,) = words(model(), model({"model.safetensors": H["b"]}))
    assert "with other numbers" in said
    assert "sha256 aaaaaaaaaaaa… locked" in said
    assert "sha256 bbbbbbbbbbbb… here" in said


def test_the_same_tensors_in_another_type_were_converted() -> None:
    float32 = LockedTensors(count=272, dtypes="F32 272", header=H["3"], shapes=H["2"])
    (said,) = words(model(), model({"model.safetensors": H["b"]}, float32))
    assert "stored in another type: BF16 272 (locked), F32 272 (here)" in said


def test_other_tensors_are_another_architecture() -> None:
    more = LockedTensors(count=290, dtypes="BF16 290", header=H["3"], shapes=H["4"])
    assert "272 (locked), 290 (here)" in words(model(), model({"model.safetensors": H["b"]}, more))[0]
    other = replace(TENSORS, header=H["3"], shapes=H["4"])
    assert "other names or shapes" in words(model(), model({"model.safetensors": H["b"]}, other))[0]


def test_new_files_for_the_same_tensors_say_that_numbers_were_not_compared() -> None:
    shards = {f"model-0000{n}-of-00002.safetensors": H[str(n)] for n in (1, 2)}
    (said,) = words(model(), model(shards))
    assert "1 file locked, 2 files here" in said
    assert "cannot be told" in said


def test_a_new_name_for_the_same_bytes_is_said_to_be_that() -> None:
    assert "the same weights in files of other names" in words(model(), model({"other.safetensors": H["a"]}))[0]


def test_no_weights_are_said() -> None:
    empty = LockedModel(kind="full", files={"config.json": LockedFile(size=1, sha256=H["c"])})
    assert "it has no weights here" in words(model(), empty)


def test_an_adapter_on_another_base() -> None:
    old = replace(model(), base=LockedBase(declared="org/a", model="a", weights=H["1"]))
    assert kinds(old, replace(old, base=LockedBase(declared="org/a", model="a", weights=H["2"]))) == ["base"]
    assert words(old, replace(old, base=LockedBase(declared="org/b", model="a", weights=H["1"]))) == [
        "base_model_name_or_path is org/a (locked), org/b (here)"
    ]
    assert words(old, replace(old, base=LockedBase(declared="org/a", model="b", weights=H["1"]))) == [
        "it is loaded onto a (locked), b (here)"
    ]
    unknown = replace(old, base=LockedBase(declared="org/a", model="a"))
    assert changes_between(old, unknown) == []


def test_a_merge_from_another_base_and_another_commit() -> None:
    old = replace(model(), merge=LockedMerge(base_weights=H["1"], adapter_weights=H["2"]), commit="1")
    new = replace(model({"model.safetensors": H["b"]}), merge=LockedMerge(base_weights=H["3"], adapter_weights=H["2"]))
    said = words(old, replace(new, commit="2"))
    assert said[0] == "it was merged from another base: that one's weights differ"
    assert "another commit" in said[1]
    assert "other numbers" in said[2]


def test_small_files_are_named_each() -> None:
    config = LockedFile(size=10, sha256=H["c"])
    old = model(beside={"config.json": config, "tokenizer.json": config})
    new = model(beside={"config.json": LockedFile(size=12, sha256=H["d"]), "chat_template.jinja": config})
    assert words(old, new) == [
        "chat_template.jinja: absent (locked), present (here)",
        "config.json differs: 10 bytes, sha256 cccccccccccc… locked; 12 bytes, sha256 dddddddddddd… here",
        "tokenizer.json: present (locked), absent (here)",
    ]
    assert set(kinds(old, new)) == {"files"}


def test_the_sides_have_the_names_they_are_given() -> None:
    sides = Sides(old="in a.lock", new="in b.lock")
    assert "in b.lock" in changes_between(model(), model({"model.safetensors": H["b"]}), sides)[0].words


def test_names_from_a_lock_are_made_safe_to_show() -> None:
    (said,) = words(model(), model(beside={"e\x1b[2J.py": LockedFile(size=1, sha256=H["c"])}))
    assert said.isprintable()
