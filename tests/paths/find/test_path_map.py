"""Whose a path is, and where another machine's lies here."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_doctor.paths.find import PathMap
from sage_doctor.paths.find.path_map import build_path_map, machine_roots

from .forms import S, lay_out


@pytest.fixture
def known(tmp_path: Path) -> PathMap:
    home, checkout = lay_out(tmp_path)
    return build_path_map(home=home, own_roots=[checkout], other_roots=["/home/sprout", "/mnt/nvme/zoo", "/tmp/x", "/"])


def test_roots_that_everybody_has_say_nothing(known: PathMap) -> None:
    assert known.other_roots == ("/home/sprout", "/mnt/nvme/zoo")


def test_the_roots_of_machines_are_their_homes_and_absolute_variables() -> None:
    machines = {"a": ("/home/a", {"zoo": "/mnt/zoo/", "name": "x"}), "b": (None, {})}
    assert machine_roots(machines) == ["/home/a", "/mnt/zoo"]


@pytest.mark.parametrize(
    "text, origin",
    [
        (f"{S}/zoo/m", "mappable"),
        (f"file://{S}/zoo/m", "mappable"),
        (f"{S}/zoo/m/../m/", "mappable"),
        (f"{S}/zoo/m/new.json", "mappable"),
        ("/home/somebody/zoo/m", "mappable"),
        ("/mnt/c/Users/dp/zoo/m", "mappable"),
        ("C:\\Users\\dp\\zoo\\m", "mappable"),
        ("/home/sprout/other/thing", "foreign"),
        ("/mnt/nvme/zoo/other", "foreign"),
        ("/usr/bin/python3", "external"),
        ("/data/x/y", "external"),
        ("/home/sprout/\0", "external"),
        ("/home/sprout/" + "x" * 5000, "external"),
    ],
)
def test_places(text: str, origin: str, known: PathMap) -> None:
    assert known.classify(text).origin == origin


def test_ours(known: PathMap) -> None:
    checkout = known.own_roots[0]
    assert known.classify(str(checkout / "zoo/m")).origin == "here"
    assert known.classify(str(checkout / "zoo/lost")).origin == "gone"
    assert known.classify(str(known.home / "elsewhere")).origin == "gone"
    assert known.classify(str(checkout) + "-other").origin == "gone"  # of the home, not of the checkout


def test_what_is_learnt_from_one_path_holds_for_the_others(known: PathMap) -> None:
    root = "/home/sprout/hrm"
    assert known.classify(root).origin == "foreign"
    known.learn_roots([f"{root}/zoo/m"])
    found = known.classify(root)
    assert (found.origin, found.target, found.exists) == ("mappable", known.own_roots[0], True)
    new = known.classify(f"{root}/not/yet")
    assert (new.origin, new.target, new.exists) == ("mappable", known.own_roots[0] / "not/yet", False)


def test_a_single_name_proves_nothing(known: PathMap) -> None:
    assert known.classify("/home/sprout/zoo").origin == "foreign"


def test_files_that_name_no_machine_are_told_at_once(known: PathMap) -> None:
    assert not known.may_occur_in(b"import os\nx = '/usr/bin'\n")
    assert known.may_occur_in(b"x = '/home/x'\n")
    assert known.may_occur_in(b"x = Path('/', 'home', 'x')\n")
    assert known.may_occur_in(b"x = '/mnt/nvme/zoo/a'\n")
