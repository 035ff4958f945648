"""The committed page of findings is the one the catalogue writes."""

from pathlib import Path

from sage_doctor.findings import page
from sage_doctor.findings.catalogue import declarations

COMMITTED = Path(__file__).parents[2] / "docs" / "findings.md"


def test_the_committed_page_is_current() -> None:
    text = COMMITTED.read_text(encoding="utf-8")
    assert text == page.markdown(), "run: python -m sage_doctor.findings.page > docs/findings.md"


def test_every_code_has_a_heading_to_link_to() -> None:
    lines = page.markdown().splitlines()
    assert [d.code for d in declarations() if f"### {d.code}" not in lines] == []
