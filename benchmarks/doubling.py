"""Twice the input takes twice the time: error texts, one-line files full of paths, patterns of adapters.

Goal: no ratio of the two times is above three, and `explain` reads a log of 50 MB in less than ten seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from sage_doctor.facts.adapter_patterns import AdapterPatterns
from sage_doctor.findings.recognition import recognise, search
from sage_doctor.paths.find.path_map import build_path_map
from sage_doctor.paths.find.script import read_text

GOAL = 3.0
LONGEST_S = 10.0
RUNS = 3


def _paths(name: str, form: str, between: str = ", ") -> Callable[[int], object]:
    known = build_path_map(home=Path("/nowhere/me"), own_roots=[], other_roots=["/home/sprout"])

    def read(size: int) -> object:
        text = form % between.join(f"'/home/sprout/a/b{n}'" for n in range(size))
        found = read_text(Path("/nowhere") / name, text.encode(), known, directory=Path("/nowhere")).references
        assert len(found) == size, name
        return found

    return read


def _patterns(size: int) -> None:
    names = [f"model.layers.{n}.self_attn.q_proj" for n in range(size)]
    AdapterPatterns({"rank_pattern": dict.fromkeys(names, 4), "target_modules": names}).ask(names)


_ERRORS = "Error no file named x\nRepo id must be in the form 'x'\nsize mismatch for base_model.model.x: copying a y\n"
_ORDINARY = "2026-01-01 INFO step loss=0.1 ok, no errors, the model has answered\n"
# Words of many patterns, and no message.
_NEAR = (
    '  File "/x/site-packages/transformers/modeling_utils.py", line 4300, in from_pretrained\n    has no attribute '
    "unexpected keyword argument assert param_data.shape AssertionError load_tiktoken_bpe CONFIG_MAPPING KeyError\n"
)
_CASES: Mapping[str, tuple[int, Callable[[int], object]]] = {
    "explain: blanks": (50_000, lambda n: search("ImportError:" + " " * n + "x")),
    "explain: one message": (5_000, lambda n: search("peft/config.py " * n)),
    "explain: one word": (50_000, lambda n: search("merg" * n)),
    "explain: words of errors": (5_000, lambda n: search(_ERRORS * (n // 20))),
    "explain: near-misses": (5_000, lambda n: search(_NEAR * (n // 20))),
    "explain: quoted errors": (5_000, lambda n: search(f"he saw `{_ERRORS.strip()}`\n" * (n // 20))),
    "paths: JSON in one line": (8_000, _paths("a.json", "[%s]")),
    "paths: TOML in one line": (8_000, _paths("a.toml", "x = [%s]")),
    "paths: a list in Python": (8_000, _paths("a.py", "x = [%s]")),
    "paths: words of a shell": (8_000, _paths("a.sh", "#!/bin/sh\nrun %s", " ")),
    "patterns of an adapter": (20_000, _patterns),
}


def main() -> bool:
    """Measure, print, and return whether the goal is met."""
    search("")  # compiles the patterns
    seconds = 0.0
    for name, line in (("", _ORDINARY), (" nearly", _NEAR)):
        log = line.encode() * (50_000_000 // len(line))
        took = _seconds(lambda _, parts=(log,): recognise(parts), 0)  # type: ignore[misc]
        print(f"  a log of 50 MB{name:<7} {took:13.3f} s   goal: below {LONGEST_S:.0f} s")
        seconds = max(seconds, took)
    worst = 0.0
    for name, (size, work) in _CASES.items():
        once, twice = (min(_seconds(work, n) for _ in range(RUNS)) for n in (size, 2 * size))
        worst = max(worst, twice / once)
        print(f"  {name:<26} {once:7.3f} s   twice as much {twice:7.3f} s   ratio {twice / once:.2f}")
    print(f"  goal: no ratio above {GOAL:.1f}")
    return worst <= GOAL and seconds < LONGEST_S


def _seconds(work: Callable[[int], object], size: int) -> float:
    begun = time.process_time()
    work(size)
    return time.process_time() - begun


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
