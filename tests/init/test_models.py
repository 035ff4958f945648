import os
from pathlib import Path

from sage_doctor.init.models import MOST_MODELS, find_new_models, kind_at, recorded_ingredients
from sage_doctor.readers.merge_record import RECORD
from tests.model_directories import MODEL, write_adapter, write_full, write_json, write_tokenizer


def test_kinds_are_told_by_names_and_by_the_record_of_a_merge(tmp_path: Path) -> None:
    assert kind_at(write_full(tmp_path / "full")) == "full"
    assert kind_at(write_adapter(tmp_path / "lora-merged-later", None)) == "adapter"
    assert kind_at(write_full(tmp_path / "x-merged")) == "merged"
    assert kind_at(write_full(tmp_path / "emerged")) == "full"
    made = write_full(tmp_path / "made")
    write_json(made / RECORD, {"base": {"path": "/b"}, "adapter": {"path": "/a"}})
    assert kind_at(made) == "merged"
    assert recorded_ingredients(made) == ("/b", "/a")
    write_json(made / RECORD, {"base": "/b"})
    assert recorded_ingredients(made) is None


def test_checkpoints_and_archives_are_no_models_unless_they_are_named(tmp_path: Path) -> None:
    write_adapter(tmp_path / "run", None)
    write_adapter(tmp_path / "run" / "checkpoint-10", None)
    write_full(tmp_path / "archive" / "deep" / "old")
    places = find_new_models([tmp_path], ())
    assert [p.name for p in places.found] == ["run"]
    assert places.skipped == [
        "skipped 1 directory in an archive",
        "skipped 1 directory with a checkpoint of a training run",
    ]
    named = tmp_path / "run" / "checkpoint-10"
    assert find_new_models([named], ()).found == [named]


def test_a_tokenizer_alone_is_no_model_unless_its_directory_says_merged(tmp_path: Path) -> None:
    for name in ("words", "introspective-merged"):
        (tmp_path / name).mkdir()
        write_tokenizer(tmp_path / name)
    places = find_new_models([tmp_path], ())
    assert [p.name for p in places.found] == ["introspective-merged"]
    assert places.skipped == ["skipped 1 directory with only a tokenizer"]


def test_models_of_other_programs_get_no_entry(tmp_path: Path) -> None:
    place = write_full(tmp_path / "llama-GGUF")
    (place / MODEL).rename(place / "llama.Q4_K_M.gguf")
    places = find_new_models([tmp_path], ())
    assert places.found == []
    assert places.skipped == ["skipped 1 directory of models in the form of another program (GGUF, ONNX and the like)"]


def test_each_directory_counts_once_and_known_ones_not_at_all(tmp_path: Path) -> None:
    one, two = write_full(tmp_path / "one"), write_full(tmp_path / "two")
    (tmp_path / "link").symlink_to(one)
    assert find_new_models([tmp_path, tmp_path, one], [str(two)]).found == [one]


def test_a_name_that_is_not_utf8_is_told_not_taken(tmp_path: Path) -> None:
    write_full(Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff")))
    places = find_new_models([tmp_path], ())
    assert places.found == []
    assert "\\xff" in places.skipped[0]


def test_the_search_is_bounded(tmp_path: Path) -> None:
    for number in range(MOST_MODELS + 5):
        (tmp_path / f"m{number:04}").mkdir()
        (tmp_path / f"m{number:04}" / "config.json").write_text('{"model_type": "llama"}')
    places = find_new_models([tmp_path], ())
    assert (len(places.found), places.truncated) == (MOST_MODELS, True)
    again = find_new_models([tmp_path], [str(p) for p in places.found])
    assert (again.found, again.truncated) == ([], True)
