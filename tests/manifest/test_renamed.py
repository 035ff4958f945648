"""Former names of keys: they work for one release, and say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.manifest.load import load_for_host
from sage_doctor.manifest.specs import Manifest
from tests.other_hosts import load_manifest

Load = Callable[..., Manifest]
Problems = Callable[..., list[str]]

MODELS = '[models.n]\nkind = "full"\npath = "n"\n[models.m]\nkind = "full"\npath = "m"\n'
STATE = '[state.s]\npath = "s.json"\ncounter = "c"\n'


@pytest.mark.parametrize("name", ["or", "fallback"])
@pytest.mark.parametrize("value", ['"n"', '["n"]'])
def test_a_fallback_under_both_names(load: Load, name: str, value: str) -> None:
    assert load(f"{MODELS}{name} = {value}").models["m"].fallback == ("n",)


@pytest.mark.parametrize("name", ["at_least", "min_from_glob"])
def test_the_least_of_a_counter_under_both_names(load: Load, name: str) -> None:
    assert load(f'{STATE}{name} = "x/*"').states["s"].min_from_glob == "x/*"


def test_former_names_are_told_by_their_line_and_new_ones_are_not(load: Load) -> None:
    manifest = load(f'{MODELS}or = ["n"]\n{STATE}at_least = "x/*"')
    note = "the former name works in this release only"
    assert manifest.renamed == (
        f"sage-doctor.toml:8: [models.m] or is now called fallback; {note}",
        f"sage-doctor.toml:12: [state.s] at_least is now called min_from_glob; {note}",
    )
    assert load(f'{MODELS}fallback = ["n"]\n{STATE}min_from_glob = "x/*"').renamed == ()


def test_both_names_in_one_table_are_an_error(problems: Problems) -> None:
    assert problems(f'{MODELS}fallback = ["n"]\nor = ["n"]\n{STATE}at_least = "x"\nmin_from_glob = "x"') == [
        "9: [models.m] or is the former name of fallback, which is there as well; remove it",
        "13: [state.s] at_least is the former name of min_from_glob, which is there as well; remove it",
    ]


def test_mistakes_under_a_former_name_are_told_by_it(problems: Problems) -> None:
    assert problems(f'{MODELS}or = ["mm"]') == ["8: unknown model 'mm' in [models.m] or; did you mean 'm'?"]
    assert problems(f'{MODELS}fallbck = ["n"]') == ["8: unknown key 'fallbck' in [models.m]; did you mean 'fallback'?"]
    assert problems('[models.s]\nkind = "service"\nurl = "http://h"\nor = "s"') == [
        "5: [models.s] or is for models in a directory; this one is 'service'"
    ]


def test_they_are_reported_once_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sage-doctor.toml"
    path.write_text(f'schema = 1\n{MODELS}or = ["n"]')
    load_manifest(path, environ={}, hostname="h", device_tree=None, home=Path("/home/me"))
    assert capsys.readouterr().err == ""
    load_for_host(path)
    load_for_host(path)
    out, err = capsys.readouterr()
    assert (out, err.count("or is now called fallback")) == ("", 1)
