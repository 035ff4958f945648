"""The pages of the site, without its builder: all are there, and their links lead to pages. `make docs` does more."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from sage_doctor.findings.catalogue import declarations

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def test_every_page_is_written_and_every_link_leads_to_one(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("pages", ROOT / "website" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    pages.write_pages(tmp_path / "site")
    written = {p.relative_to(tmp_path / "site").as_posix(): p for p in (tmp_path / "site").rglob("*.md")}
    assert {f"findings/{d.code}.md" for d in declarations()} <= set(written)
    lost = [
        f"{name}: {target}"
        for name, page in written.items()
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).is_file()
    ]
    assert lost == []
    nav = re.findall(r": ([\w-]+\.md)$", (ROOT / "website" / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(nav) == {name for name in written if "/" not in name}
    missing = written["findings/weights-missing.md"].read_text(encoding="utf-8")
    for part in (
        "## Why",
        "OSError: Error no file named",
        "transformers 5",
        "repairs.md#merge",
        'ignore = ["weights-missing"]',
    ):
        assert part in missing
