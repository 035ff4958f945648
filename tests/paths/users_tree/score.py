"""The finder on the users' tree, seen from two machines: `python -m tests.paths.users_tree.score`."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from sage_doctor.paths.scan import ScannedFile, scan
from sage_doctor.subjects.selection import Request, select

from .layout import Label, Right, Tree, described, lay_out

SEEN_FROM = ("thor", "sprout")


@dataclass(frozen=True)
class Score:
    """What was found, compared with what is right."""

    right: int
    wrong: tuple[str, ...]
    lost: tuple[str, ...]

    @property
    def precision(self) -> float:
        return self.right / (self.right + len(self.wrong))

    @property
    def recall(self) -> float:
        return self.right / (self.right + len(self.lost))


def told(seen: ScannedFile) -> list[Label]:
    """Return what the finder says about the paths of one file."""
    found = []
    for reference, place in seen.broken_paths:
        there = place.exists
        right: Right = "found here" if there else "not found here"
        found.append(Label(seen.subject, reference.line, reference.text, right, place.target if there else None))
    for reference, _ in seen.missing_paths if seen.roles else ():
        place_here = seen.elsewhere.get(reference.text)
        found.append(Label(seen.subject, reference.line, reference.text, "missing", place_here))
    return found


def score(tree: Tree) -> Score:
    """Return how the finder does on a tree."""
    environ = {"HOME": str(tree.home), "SAGE_MACHINE": tree.machine, "PATH": "/usr/bin:/bin"}
    with mock.patch.dict(os.environ, environ):
        host = select(Request(cwd=str(tree.checkout), level="static"), environ).host
        found = [label for seen in scan(host, lint=True).files for label in told(seen)]
    wanted = [label for label in tree.labels if label.right != "nothing"]
    right, wrong = 0, []
    rest = list(wanted)
    for one in found:
        match = next((w for w in rest if _same(w, one)), None)
        if match is not None:
            rest.remove(match)
            right += 1
        else:
            wrong.append(described(one))
    return Score(right, tuple(wrong), tuple(map(described, rest)))


def _same(wanted: Label, found: Label) -> bool:
    places = wanted.target is None or wanted.target == found.target
    return (wanted.file, wanted.line, wanted.right) == (found.file, found.line, found.right) and places


def main() -> int:
    """Print the scores."""
    total = []
    for machine in SEEN_FROM:
        with tempfile.TemporaryDirectory() as root:
            found = score(lay_out(Path(root), machine))
        total.append(found)
        sys.stdout.write(
            f"seen from {machine}: precision {found.precision:.1%}, recall {found.recall:.1%} "
            f"({found.right} right, {len(found.wrong)} wrong, {len(found.lost)} lost)\n"
        )
        sys.stdout.writelines(f"  wrong  {text}\n" for text in found.wrong)
        sys.stdout.writelines(f"  lost   {text}\n" for text in found.lost)
    return 0 if all(s.precision == 1 and s.recall >= 0.98 for s in total) else 1


if __name__ == "__main__":
    sys.exit(main())
