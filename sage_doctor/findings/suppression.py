"""Which findings a run reports: what a person selects or ignores, and what the manifest ignores.

As with ruff, a selector is a code or the words that codes begin with (`adapter`, `adapter-base`), the more specific one
wins, and what is selected on the command line counts more than what the manifest ignores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from itertools import islice
from pathlib import Path
from typing import Final

from sage_doctor.errors import UsageError
from sage_doctor.findings import catalogue
from sage_doctor.manifest.ignored import require_known
from sage_doctor.manifest.specs import Manifest
from sage_doctor.system.frozen import frozen
from sage_doctor.system.small_text import read_text
from sage_doctor.system.walk import Walk
from sage_doctor.text import shell_quote

_MOST_FILES: Final = 200
_MOST_BYTES: Final = 1 << 20


@frozen
class Suppression:
    """The selectors of one run. `of_models` are those that one model ignores, by its name."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    of_manifest: tuple[str, ...] = ()
    of_models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def hides(self, code: str, subject: str) -> bool:
        """Return whether a finding about this subject is counted and no more."""
        selected = _longest(self.select, code)
        if self.select and not selected:
            return True
        ignored = _longest(self.ignore, code)
        if not self.select:
            ignored = max(ignored, _longest((*self.of_manifest, *self.of_models.get(subject, ())), code))
        return ignored > 0 and ignored >= selected


def _longest(selectors: Iterable[str], code: str) -> int:
    return max((len(s) for s in selectors if code == s or code.startswith(f"{s}-")), default=0)


def suppression_of(select: Sequence[str], ignore: Sequence[str], manifest: Manifest | None) -> Suppression:
    """Return what a run suppresses.

    Raises `UsageError` for a selector of the command line that stands for no code, `ManifestError` for one of the
    manifest, with its line.
    """
    found = Suppression(
        select=tuple(select),
        ignore=tuple(ignore),
        of_manifest=manifest.ignore if manifest is not None else (),
        of_models=manifest.ignored_of_models() if manifest is not None else {},
    )
    if found == Suppression():
        return found  # the families of codes are not imported for nothing
    codes = [d.code for d in catalogue.declarations()]
    codes += _own_codes(manifest.check_paths) if manifest is not None else ()
    for option, selectors in (("--select", select), ("--ignore", ignore)):
        for selector in selectors:
            if not any(_longest([selector], code) for code in codes):
                words = [code.rsplit("-", n)[0] for code in codes for n in range(code.count("-") + 1)]
                near = catalogue.nearest_codes(selector[:100], dict.fromkeys(words))
                hint = f"did you mean {shell_quote(near[0])}?" if near else "`sage-doctor explain --list` lists them"
                raise UsageError(f"{option}: no finding code is or begins with {shell_quote(selector)}; {hint}")
    if manifest is not None:
        require_known(manifest, codes)
    return found


def _own_codes(paths: Sequence[Path]) -> list[str]:
    """Return the texts in a user's own checks that may be codes."""
    below = (Path(e.path) for listing in Walk(roots=list(paths)).listings() for e in listing.files)
    files = islice((f for f in (*paths, *below) if f.suffix == ".py"), _MOST_FILES)
    texts = (read_text(f, most=_MOST_BYTES) or "" for f in files)
    return [code for text in texts for code in re.findall(r"[\"']([a-z0-9]+(?:-[a-z0-9]+)+)[\"']", text)]
