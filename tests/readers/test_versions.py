"""Versions as real machines carry them, vendors' builds above all."""

import pytest
from packaging.requirements import Requirement

from sage_doctor.readers.versions import Needed, applies, read_requirement, satisfies

THOR = "2.5.0a0+872d972e41.nv24.08"


@pytest.mark.parametrize(
    "version, versions, expected",
    [
        ("5.23.0", ">=4.45", True),
        ("4.44.2", ">=4.45", False),
        ("4.45", ">=4.45.0", True),
        ("2.13.0+cpu", ">=2.5,<3", True),
        ("0.22.1", "<=0.23.0,>=0.22.0", True),
        ("0.23.1", "<=0.23.0,>=0.22.0", False),
        ("2025.1", "!=2019.12.17", True),
        ("1.0", "", True),
        # vendors' builds and pre-releases count as the release they are of
        (THOR, ">=2.5", True),
        (THOR, ">=2.5,<2.6", True),
        (THOR, ">=2.6", False),
        (THOR, "<2.5", False),
        (THOR, ">=2.4", True),
        ("5.0.0rc1", ">=5", True),
        ("5.0.0.dev0", ">=5", True),
        ("5.0.0.dev0", "<5", False),
        ("2.9.1.post2", ">=2.9.1", True),
        ("2.9.1", "~=2.9", True),
        ("3.0", "~=2.9", False),
        ("2.9.1", "==2.9.*", True),
        ("2.13.0+cu128", "==2.13.0", True),
        ("unknown", ">=1", None),
        ("2.5-jetson!", ">=2.6", None),
        ("1.0", ">=one", None),
    ],
)
def test_satisfies(version: str, versions: str, expected: bool | None) -> None:
    assert satisfies(version, versions) is expected


@pytest.mark.parametrize(
    "text",
    [
        "transformers>=4.45",
        "huggingface_hub (>=0.25,<2)",
        'torch >= 2.5 ; python_version < "3.14"',
        "transformers[torch,sentencepiece]~=5.1",
        "Jinja2",
        "numpy!=1.24.0,>=1.17; extra == 'dev'",
        "thing @ https://example.org/thing.whl ; python_version > '3'",
    ],
)
def test_requirements_are_read_as_pip_reads_them(text: str) -> None:
    found, theirs = read_requirement(text), Requirement(text)
    assert found is not None
    assert found.name == theirs.name.lower().replace("_", "-")
    assert sorted(found.versions.replace(" ", "").split(",")) == sorted(str(theirs.specifier).split(","))
    assert (found.marker == "") == (theirs.marker is None)


def test_what_is_no_requirement() -> None:
    assert read_requirement(">=4") is None
    assert read_requirement("") is None
    assert read_requirement("accelerate") == Needed(name="accelerate", versions="", marker="")


def test_markers_are_judged_for_the_sessions_interpreter() -> None:
    assert applies("", None)
    assert applies("python_version < '3.9'", "3.8.10")
    assert not applies("python_version < '3.9'", "3.12.1")
    assert not applies("extra == 'torch'", "3.12.1")
    assert not applies("nonsense ===", "3.12.1")


def test_a_version_of_endless_digits_is_no_fault() -> None:
    for version, versions in (("9" * 5000, ">=4.45"), ("4.45", ">=" + "9" * 5000), ("1." + "9" * 5000, "<2,>=1.0")):
        satisfies(version, versions)
