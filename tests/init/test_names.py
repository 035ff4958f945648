from pathlib import Path

import pytest

from sage_doctor.init.names import free, identifying_tail, name_all, name_of
from sage_doctor.manifest.names import name_fault


@pytest.mark.parametrize(
    "path, tail",
    [
        ("/zoo/qwen2.5-0.5b", ("qwen2.5-0.5b",)),
        ("/zoo/Introspective-v2.1/model", ("Introspective-v2.1", "model")),
        ("/zoo/run-a/final/checkpoint-20", ("run-a", "final", "checkpoint-20")),
        ("/model", ("model",)),
    ],
)
def test_the_part_that_tells_which_model(path: str, tail: tuple[str, ...]) -> None:
    assert identifying_tail(Path(path)) == tail


@pytest.mark.parametrize(
    "text",
    ["a/b", "..", ".hidden", "~x", "{x}", "-rf", "hf:x", "machine", "", " ", "a\nb\x1b[2J", "\u202ex", "x" * 900],
)
def test_every_text_becomes_a_name_that_a_manifest_takes(text: str) -> None:
    name = name_of(text)
    assert name_fault(name, reserved=True) is None
    assert name.isprintable()


def test_names_are_those_of_the_directories() -> None:
    places = [Path("/z/Introspective-v2.1/model"), Path("/z/smollm2")]
    assert list(name_all(places, ()).values()) == ["Introspective-v2.1", "smollm2"]


def test_two_alike_are_told_apart_by_what_is_above_whatever_their_order() -> None:
    places = [Path("/z/a/qwen"), Path("/z/b/qwen"), Path("/z/c/other")]
    named = name_all(places, ())
    assert set(named.values()) == {"a-qwen", "b-qwen", "other"}
    assert name_all(places[::-1], ()) == named


def test_two_below_one_directory_are_told_apart_by_what_is_below() -> None:
    named = name_all([Path("/z/tuned/adapter"), Path("/z/tuned/merged")], ())
    assert len(set(named.values())) == 2
    assert all("tuned" in n for n in named.values())


def test_a_taken_name_is_not_given_again() -> None:
    (name,) = name_all([Path("/z/b/qwen")], ["Qwen"]).values()
    assert name == "b-qwen"
    assert free("x", ["X", "x-2"]) == "x-3"
