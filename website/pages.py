"""Writes the pages of the site: those of `docs/`, the README as its start, and one for each finding.

python website/pages.py DIRECTORY
"""

from __future__ import annotations

import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

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
_HEAD = """\
# Findings

Every code that the doctor reports, with a page for each. The codes are a contract: they are added to, never renamed.
An **error** makes the run unhealthy (exit code 1), a **warning** only with `--fail-on warning`, an **info** never does.
"""
_SILENCE = """
## How to silence it

If you know better, in `sage-doctor.toml`:

```toml
[checks]
ignore = ["{code}"]
```

What is ignored is still counted.
"""
_SOURCE = re.compile(r"\[([^\]\n]+)\]\(\.\./[^)\n]+\)")
_CODE = re.compile(r"`([a-z]+(?:-[a-z0-9]+)+)`")


def write_pages(directory: Path) -> None:
    """Write every page of the site into a directory, which is made anew."""
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "findings").mkdir(parents=True)
    for source in sorted((ROOT / "docs").glob("*.md")):
        text = source.read_text(encoding="utf-8")
        (directory / source.name).write_text(_index() if source.name == "findings.md" else _below(text), "utf-8")
    for picture in (ROOT / "docs").glob("*.png"):
        shutil.copy(picture, directory)
    for name, page in OUTSIDE.items():
        (directory / page).write_text(_from_the_top((ROOT / name).read_text(encoding="utf-8")), "utf-8")
    for path, text in finding_pages():
        (directory / path).write_text(text, "utf-8")


def _below(text: str) -> str:
    """Return a page of `docs/` with its links out of that directory as they are in the site."""
    for name, target in OUTSIDE.items():
        text = text.replace(f"](../{name}", f"]({target}")
    return _SOURCE.sub(r"\1", text)  # a file of the repository, which the site does not have


def _from_the_top(text: str) -> str:
    """Return a page of the repository's top directory with its links as they are from `docs/`."""
    text = text.replace("](docs/", "](")
    for name, target in OUTSIDE.items():
        text = text.replace(f"]({name}", f"]({target}")
    return text


def _index() -> str:
    parts = [_HEAD]
    for title, known in families():
        parts.append(f"\n## {title}\n\n| code | what it says | severity |\n| --- | --- | --- |\n")
        parts += [f"| [`{d.code}`](findings/{d.code}.md){{ #{d.code} }} | {d.title} | {d.severity} |\n" for d in known]
    return "".join(parts)


def finding_pages() -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each finding's page."""
    texts = _logged()
    repairs: dict[str, list[str]] = defaultdict(list)
    for name, repair in all_repairs().items():
        for code in repair.codes:
            repairs[code].append(name)
    codes = {d.code for _, known in families() for d in known}
    for title, known in families():
        for one in known:
            yield f"findings/{one.code}.md", _page(one, title, texts[one.code], repairs[one.code], codes)


def _page(one: Declaration, family: str, texts: list[tuple[str, str]], repairs: list[str], codes: set[str]) -> str:
    more = MORE.get(family, "")
    related = [c for c in dict.fromkeys(_CODE.findall(f"{one.cause} {one.remediation}")) if c in codes - {one.code}]
    logs = "\n".join(f"{text}\n" for _, text in texts)
    ways = " or ".join(f"[{name}](../repairs.md#{name})" for name in repairs)
    sources = ", ".join(dict.fromkeys(source for source, _ in texts))
    parts = [
        f"# {one.code}\n\n**{one.title}** · {one.severity} by default · [{family}](../findings.md#{one.code})\n",
        f"\n## Why\n\n{one.cause}\n",
        f"\n## What it looks like in a log\n\n```text\n{logs}```\n\nFrom {sources}. "
        "`sage-doctor explain session.log` finds such lines.\n"
        if texts
        else "",
        f"\n## How to fix it\n\n{one.remediation}\n",
        f"\n`sage-doctor fix` can often do it: {ways} shows its plan first.\n" if repairs else "",
        _SILENCE.format(code=one.code),
        f"\n## More\n\n- `sage-doctor explain {one.code}` prints this at the terminal.\n",
        f"- [More about it](../{more})\n" if more else "",
        *(f"- [{c}]({c}.md)\n" for c in related),
    ]
    return "".join(parts)


def _logged() -> dict[str, list[tuple[str, str]]]:
    """Return code → the messages of other programs that show it, each with the program and its version."""
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


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
