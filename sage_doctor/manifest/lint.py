"""The `[lint]` table: which files besides the runners are read for paths of one machine."""

from __future__ import annotations

from sage_doctor.manifest import keys
from sage_doctor.manifest.specs import LintSpec
from sage_doctor.manifest.tables import Table


def read_lint(top: Table) -> LintSpec:
    """Return what is to be read. A glob that leaves the manifest's directory is noted by its line."""
    table = top.section("lint")
    table.only(keys.LINT)
    globs = {key: table.texts(key) or () for key in keys.LINT}
    for key in keys.LINT:
        for index, text in table.items(key):
            if text.startswith(("/", "~")) or ".." in text.split("/") or "\0" in text:
                wrong = f"{table.field(key)}: a glob starts from the manifest's directory and stays below it"
                table.problems.add((*table.path, key, index), wrong)
    return LintSpec(paths=globs["paths"], ignore=globs["ignore"])
