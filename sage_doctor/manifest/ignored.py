"""The finding codes that a manifest ignores: whether each is one, told by its line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sage_doctor.manifest.load import read_manifest_text
from sage_doctor.manifest.problems import Problems
from sage_doctor.manifest.quoting import header
from sage_doctor.manifest.specs import Manifest
from sage_doctor.manifest.toml_lines import KeyPath, locate_keys
from sage_doctor.text import printable


def require_known(manifest: Manifest, codes: Sequence[str]) -> None:
    """Raise `ManifestError` with every ignored selector that is no code, and begins none."""
    wrong = [
        (path, index, selector)
        for path, selectors in _written(manifest)
        for index, selector in enumerate(selectors)
        if not _stands_for(selector, codes)
    ]
    if not wrong:
        return
    problems = Problems(manifest.path, locate_keys(read_manifest_text(manifest.path)))
    for path, index, selector in wrong:
        where = header(*path)
        what = f"{where} ignore: no finding code is or begins with '{printable(selector, limit=80)}'"
        problems.unknown((*_place(problems, (*path, "ignore")), index), what, codes, word=selector)
    problems.raise_if_any()


def _written(manifest: Manifest) -> Iterator[tuple[tuple[str, ...], Iterable[str]]]:
    yield ("checks",), manifest.ignore
    for name, selectors in manifest.ignored_of_models().items():
        yield ("models", name), selectors


def _stands_for(selector: str, codes: Iterable[str]) -> bool:
    return any(code == selector or code.startswith(f"{selector}-") for code in codes)


def _place(problems: Problems, path: tuple[str, ...]) -> KeyPath:
    """Return where a list is written: a dot in a table's name makes TOML read tables in tables."""
    apart = tuple(part for name in path[:-1] for part in name.split("."))
    return next((p for p in (path, (*apart, path[-1])) if p in problems.lines.lines), path)
