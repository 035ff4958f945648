"""Which files are read for paths of one machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sage_doctor.errors import ManifestError
from sage_doctor.manifest.specs import LintSpec, Manifest

Load = Callable[..., Manifest]


def test_nothing_is_read_where_nothing_is_said(load: Load) -> None:
    assert load("").lint == LintSpec()


def test_globs_are_taken_as_they_are_written(load: Load) -> None:
    manifest = load('lint = { paths = ["**/*.py", "deploy/**"], ignore = ["archive/"] }')
    assert manifest.lint == LintSpec(paths=("**/*.py", "deploy/**"), ignore=("archive/",))


def test_a_glob_that_leaves_the_directory_is_told_by_its_line(load: Load) -> None:
    with pytest.raises(ManifestError) as told:
        load('\n[lint]\npaths = ["*.py", "../other/*.py"]\n')
    assert [p for p in told.value.problems if "stays below it" in p]
