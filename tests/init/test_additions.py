"""What is added to a manifest is held against the schema before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.init import additions
from sage_doctor.init.additions import added
from sage_doctor.init.inventory import Inventory
from sage_doctor.init.portable_paths import Portable

GOOD = '[models.m]\nkind = "full"\npath = "m"\n'


def adding(monkeypatch: pytest.MonkeyPatch, directory: Path, old: str | None, *tables: str) -> str:
    monkeypatch.setattr(additions, "new_tables", lambda _inventory: list(tables))
    inventory = Inventory(portable=Portable(directory=directory, home=directory))
    return added(inventory, directory / "sage-doctor.toml", old).new


def test_tables_that_fit_are_added(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert adding(monkeypatch, tmp_path, None, "schema = 1\n", GOOD).endswith(GOOD)
    assert adding(monkeypatch, tmp_path, "schema = 1\n", GOOD).startswith("schema = 1\n\n#")


@pytest.mark.parametrize("wrong, where", [("path = 1", "models.m.path"), ('path = "m"\nkinds = 1', "models.m")])
def test_tables_that_do_not_fit_the_schema_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: str, where: str
) -> None:
    with pytest.raises(DoctorError, match=f"nothing was written.*schema: {where}: "):
        adding(monkeypatch, tmp_path, "schema = 1\n", f'[models.m]\nkind = "full"\n{wrong}\n')


def test_what_a_person_wrote_before_is_for_the_parser_to_judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = 'schema = 1\n[models."tab name "]\n'
    with pytest.raises(DoctorError, match=r"sage-doctor\.toml:2: "):
        adding(monkeypatch, tmp_path, old, GOOD)
