"""6,000 scripts are read for other machines' paths, and those that have some are rewritten: files per second.

Goal: the finder reads 6,000 files in at most ten seconds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from sage_doctor.paths.find import read_script
from sage_doctor.paths.find.path_map import build_path_map
from sage_doctor.paths.rewrite import RewriteContext, plan_edits
from sage_doctor.paths.rewrite.python_source import rewritten
from sage_doctor.paths.scan import ScannedFile

GOAL_S = 10.0
FILES = 6_000
EVERY = 20  # one file in so many names another machine
PLAIN = "import os\n\n\ndef work(value: int) -> int:\n    return value + 1\n\n\n" * 20
NAMES = 'from pathlib import Path\n\nROOT = Path(__file__).resolve().parents[1]\nMODEL = "/home/sprout/hrm/zoo/m"\n\n\n'


def main() -> bool:
    """Measure, print, and return whether the goal is met."""
    with tempfile.TemporaryDirectory(prefix="sage-doctor-bench-") as name:
        top = Path(name)
        (top / "zoo/m").mkdir(parents=True)
        (top / "scripts").mkdir()
        files = []
        for number in range(FILES):
            path = top / "scripts" / f"s{number}.py"
            path.write_text((NAMES if number % EVERY == 0 else "") + PLAIN, encoding="utf-8")
            files.append(path)
        known = build_path_map(home=top / "home", own_roots=[top], other_roots=["/home/sprout"])
        begun = time.monotonic()
        scripts = [read_script(path, known, directory=top) for path in files]
        known.learn_roots(o.text for s in scripts for o in s.references if o.used)
        seen = [
            ScannedFile(
                script=s, subject=s.path.name, classified=tuple((o, known.classify(o.text)) for o in s.references)
            )
            for s in scripts
        ]
        found = [s for s in seen if s.broken_paths]
        finding = time.monotonic() - begun
        assert len(found) == FILES // EVERY
        world = RewriteContext(directory=top)
        rewritten(planned := plan_edits(found[0], world), planned.edits)  # libcst is imported once
        begun = time.monotonic()
        for one in found:
            planned = plan_edits(one, world)
            assert rewritten(planned, planned.edits) != planned.raw
        writing = time.monotonic() - begun
    print(f"  finder    {FILES} files in {finding:.2f} s, {FILES / finding:.0f} files/s")
    print(f"  rewriter  {len(found)} files in {writing:.2f} s, {len(found) / writing:.0f} files/s")
    print(f"  goal: {FILES} files found in at most {GOAL_S:.0f} s")
    return finding <= GOAL_S


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
