"""What the site has besides `docs/`: the README as its start, and a page for each finding code, from its declaration.

mkdocs calls `on_files` before it reads a page, and `on_page_markdown` with the text of each.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from sage_doctor.findings.catalogue import families
from sage_doctor.findings.declaration import Declaration
from sage_doctor.repairs.registry import all_repairs

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ROOT / "tests" / "findings" / "explain_texts"
MOST_TEXTS = 6
# The file at the top of the repository → its page.
OUTSIDE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
# The page that says more about a family of findings.
MORE = {
    "Paths and configuration": "manifest.md",
    "Adapters": "merge.md",
    "Integrity": "lock.md",
    "Packages": "installation.md",
    "Accelerator": "accelerator.md",
    "Accelerator in use": "accelerator.md",
    "Budgets": "history.md",
    "Merging": "merge.md",
    "Runners and scripts": "paths.md",
    "Units, and scripts taken together": "paths.md",
    "Sessions": "manifest.md",
    "Services": "services.md",
}
_SOURCE = re.compile(r"\[([^\]\n]+)\]\(\.\./[^)\n]+\)")
_CODE = re.compile(r"`([a-z]+(?:-[a-z0-9]+)+)`")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in `docs/`."""
    for name, page in OUTSIDE.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_from_the_top(text)))
    for path, text in finding_pages():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Make the page of all findings a list of their pages; links out of `docs/` lead to the site's pages."""
    if page.file.src_uri == "findings.md":
        return _index()
    if page.file.src_uri in OUTSIDE.values() or page.file.src_uri.startswith("findings/"):
        return markdown
    for name, target in OUTSIDE.items():
        markdown = markdown.replace(f"](../{name}", f"]({target}")
    return _SOURCE.sub(r"\1", markdown)  # a file of the repository, which the site does not have


def _from_the_top(text: str) -> str:
    """Return a page of the repository's top directory with its links as they are from `docs/`."""
    text = text.replace("](docs/", "](")
    for name, target in OUTSIDE.items():
        text = text.replace(f"]({name}", f"]({target}")
    return text


def _index() -> str:
    parts = [
        "# Findings\n\nEvery code that the doctor reports, with a page for each. The codes are a contract: they are added to, "
        "never renamed.\nAn **error** makes the run unhealthy (exit code 1), a **warning** only with "
        "`--fail-on warning`, an **info** never does.\n"
    ]
    for title, known in families():
        parts.append(f"\n## {title}\n\n| code | what it says | severity |\n| --- | --- | --- |\n")
        parts += [f"| [`{d.code}`](findings/{d.code}.md){{ #{d.code} }} | {d.title} | {d.severity} |\n" for d in known]
    return "".join(parts)


def finding_pages() -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each finding's page."""
    texts = _logged()
    repairs = {code: name for name, repair in all_repairs().items() for code in sorted(repair.codes)}
    codes = {d.code for _, known in families() for d in known}
    for title, known in families():
        for one in known:
            yield f"findings/{one.code}.md", _page(one, title, texts[one.code], repairs.get(one.code, ""), codes)


def _page(one: Declaration, family: str, texts: list[tuple[str, str]], repair: str, codes: set[str]) -> str:
    more = MORE.get(family, "")
    related = [c for c in dict.fromkeys(_CODE.findall(f"{one.cause} {one.remediation}")) if c in codes - {one.code}]
    logs = "\n".join(f"{text}\n" for _, text in texts)
    sources = ", ".join(dict.fromkeys(source for source, _ in texts))
    parts = [
        f"# {one.code}\n\n**{one.title}** · {one.severity} by default · [{family}](../findings.md#{one.code})\n",
        f"\n## Why\n\n{one.cause}\n",
        f"\n## What it looks like in a log\n\n```text\n{logs}```\n\nFrom {sources}. "
        "`sage-doctor explain session.log` finds such lines.\n"
        if texts
        else "",
        f"\n## How to fix it\n\n{one.remediation}\n",
        f"\n`sage-doctor fix` can often do it: [{repair}](../repairs.md#{repair}) shows its plan first.\n"
        if repair
        else "",
        f'\n## How to silence it\n\nIf you know better, in `sage-doctor.toml`:\n\n```toml\n[checks]\nignore = ["{one.code}"]'
        "\n```\n\nWhat is ignored is still counted.\n",
        f"\n## More\n\n- `sage-doctor explain {one.code}` prints this at the terminal.\n",
        f"- [More about it](../{more})\n" if more else "",
        *(f"- [{c}]({c}.md)\n" for c in related),
    ]
    return "".join(parts)


def _logged() -> dict[str, list[tuple[str, str]]]:
    """Return code → the messages of other programs that show it, each with the program and version it was taken from."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for table in sorted(TEXTS.glob("*.txt")):
        source = table.stem
        for line in table.read_text(encoding="utf-8").splitlines():
            if line.startswith("## "):
                source = f"{table.stem} {line.split()[1]}"
                continue
            code, text = line.split(" | ", 1)
            if len(found[code]) < MOST_TEXTS:
                plain = text.replace("«", "").replace("»", "").replace("\\n", "\n").replace("\\t", "\t")
                found[code].append((source, plain))
    return found
