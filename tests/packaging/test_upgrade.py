"""What 0.1 wrote is read: its manifest, report, lock, merge record and history, made by 0.1 itself and kept here."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import sage_doctor
from sage_doctor.cli.saved_reports import read_reports
from sage_doctor.history.listing import listing
from sage_doctor.lock.parse import read_lock
from sage_doctor.manifest.load import load_for_host
from sage_doctor.readers.merge_record import merge_hashes, merged_adapters
from sage_doctor.render import FORMATS, render

WRITTEN = Path(__file__).parent / "written_by_0_1"


def test_a_manifest_with_a_key_of_an_old_name() -> None:
    manifest = load_for_host(WRITTEN / "sage-doctor.toml")
    assert manifest.models["merged"].fallback == ("one",)
    assert "or is now called fallback" in " ".join(manifest.renamed)


def test_a_report_in_every_format() -> None:
    ((_, report),) = read_reports([WRITTEN / "report.json"])
    assert (report.verdict, report.machine.name) == ("healthy", "thor")
    for name in FORMATS:
        assert "healthy" in render(report, name).lower()


def test_a_lock() -> None:
    lock = read_lock(WRITTEN / "sage-doctor.lock")
    assert lock is not None
    assert list(lock) == ["merged"]


def test_the_record_of_a_merge() -> None:
    assert list(merge_hashes(WRITTEN)) == ["model.safetensors"]
    (adapter,) = merged_adapters(WRITTEN)
    assert adapter["path"] == "/srv/models/intro"


def test_a_history(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    connection = sqlite3.connect(path)
    connection.executescript((WRITTEN / "history.sql").read_text())
    connection.close()
    path.chmod(0o600)
    runs = listing(path)["runs"]
    assert [(run["verb"], run["verdict"]) for run in runs] == [("gate", "healthy"), ("check", "healthy")]
    assert json.dumps(runs)


def test_the_collection_has_the_version_of_the_package() -> None:
    galaxy = Path(sage_doctor.__path__[0]) / "ansible_collections/sage_doctor/fleet/galaxy.yml"
    assert f"version: {sage_doctor.__version__}\n" in galaxy.read_text()
