"""Services at the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.behaving import KEY
from tests.services.running import base, closed_port

from .conftest import Doctor


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest with a service that wants a key, and one that is not there."""
    text = (
        f'schema = 1\n[models.keyed]\nkind = "service"\nurl = "{base()}/list-key/v1"\nmodel = "tiny"\n'
        'api_key_env = "SAGE_KEY"\n'
        f'[models.gone]\nkind = "service"\nurl = "http://127.0.0.1:{closed_port()}"\n'
    )
    (tmp_path / "sage-doctor.toml").write_text(text, encoding="utf-8")
    return tmp_path


def test_where_prints_the_url(doctor: Doctor, manifest: Path) -> None:
    done = doctor("where", "keyed", cwd=manifest)
    assert (done.code, done.out, done.err) == (0, f"{base()}/list-key/v1\n", "")


def test_the_key_is_sent_and_shown_nowhere(doctor: Doctor, manifest: Path) -> None:
    well = doctor("check", "keyed", "-f", "json", cwd=manifest, SAGE_KEY=KEY)
    assert well.code == 0
    assert KEY not in well.out + well.err
    for form in ("terminal", "json", "junit"):
        ill = doctor("check", "keyed", "-f", form, cwd=manifest, SAGE_KEY="0ther-key")
        assert ill.code == 1
        assert "service-key-refused" in ill.out
        assert "0ther-key" not in ill.out + ill.err


def test_no_proxy_is_used(doctor: Doctor, manifest: Path) -> None:
    dead = f"http://127.0.0.1:{closed_port()}"
    done = doctor("check", "keyed", cwd=manifest, SAGE_KEY=KEY, http_proxy=dead, HTTP_PROXY=dead, ALL_PROXY=dead)
    assert done.code == 0


def test_fix_has_nothing_to_repair(doctor: Doctor, manifest: Path) -> None:
    done = doctor("fix", "gone", "--yes", cwd=manifest)
    assert done.code == 1
    assert "service-down" in done.out


def test_a_service_that_lists_the_key_as_a_model(doctor: Doctor, tmp_path: Path) -> None:
    """What it says goes into the message, so the key is taken out whatever its variable is called."""
    (tmp_path / "sage-doctor.toml").write_text(
        f'schema = 1\n[models.s]\nkind = "service"\nurl = "{base()}/list-leak/v1"\nmodel = "another"\n'
        'api_key_env = "SAGE_OPENER"\n'
    )
    for form in ("terminal", "json", "junit"):
        done = doctor("check", "s", "-f", form, cwd=tmp_path, SAGE_OPENER="open-sesame")
        assert "***" in done.out
        assert "open-sesame" not in done.out + done.err
    assert not any(b"open-sesame" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_the_gates_own_deadline_is_no_verdict_on_a_service(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "sage-doctor.toml").write_text(
        'schema = 1\n[roles.day]\nmodels = ["s"]\n'
        f'[models.s]\nkind = "service"\nurl = "{base()}/silent"\nmodel = "tiny"\n'
    )
    done = doctor("gate", "day", "-l", "generate", "--timeout", "8", "--no-history", cwd=tmp_path, SAGE_MACHINE="x")
    assert done.code == 3
    assert "had not generated anything when the time for this run ended" in done.out
    assert "service-hung" not in done.out + done.err
