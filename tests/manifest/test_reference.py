"""The page about the manifest says what the table of keys says."""

from __future__ import annotations

import re
from pathlib import Path

from tools.manifest_reference import reference, with_tables

PAGE = Path(__file__).parents[2] / "docs" / "manifest.md"


def test_the_committed_tables_are_those_that_the_keys_make() -> None:
    text = PAGE.read_text("utf-8")
    assert text == with_tables(text), "run: python -m tools.manifest_reference docs/manifest.md"
    assert reference() in text


def test_links_to_sections_lead_somewhere() -> None:
    text = PAGE.read_text("utf-8")
    sections = {line.lstrip("# ").lower().replace(" ", "-") for line in text.splitlines() if line.startswith("#")}
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= sections
    assert [name for name in re.findall(r"\]\(([a-z]+\.md)\)", text) if not (PAGE.parent / name).is_file()] == []
