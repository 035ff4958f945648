"""Recognising the errors in a log of any size, in time in proportion to it.

A pattern is searched for only near the words that it cannot match without; what it finds counts only where a program
says it, not where somebody quotes it (`quotation.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import islice

from sage_doctor.findings.catalogue import declarations
from sage_doctor.findings.declaration import Certainty, Declaration
from sage_doctor.findings.json_lines import unfolded
from sage_doctor.findings.log_window import LogWindow, Recognised
from sage_doctor.findings.message_pattern import MessagePattern, words_of
from sage_doctor.findings.quotation import TextKind, kind_of_text

BLOCK = 1 << 15
_BATCH = 32  # windows of which the newest that says a thing is enough
_OVERLAP = 1 << 12  # longer than what any pattern spans
_LEAST_TYPED = 10


def search(text: str) -> tuple[Declaration, ...]:
    """Return the declarations whose messages occur in `text`, the likeliest first; empty if none is recognised."""
    return tuple(r.known for r in recognise([text.encode("utf-8", "replace")]))


def sure_cause(message: str, besides: str) -> Declaration | None:
    """Return what a message surely means. Codes that begin with `besides` say no more than that something failed."""
    found = [r for r in recognise([message.encode("utf-8", "replace")]) if r.sure]
    return next((r.known for r in found if not r.known.code.startswith(besides)), None)


def recognise(parts: Iterable[bytes]) -> list[Recognised]:
    """Return what is recognised in a log that comes in parts of any size, the likeliest first, each code once.

    Colours, case and wrapped lines do not matter.
    """
    found: dict[str, Recognised] = {}
    windows = ((window, _with_words(words_of(window.raw))) for window in _windows(unfolded(parts)))
    while batch := list(islice(windows, _BATCH)):
        for window, known in batch:
            _look(window, known, found, {code: one.certainty + 1 for code, one in found.items()})
        newest: dict[str, Recognised] = {}
        for window, known in reversed(batch):
            _look(window, known, newest, {c: one.certainty + (c in newest) for c, one in found.items()}, again=True)
        found.update({code: _newest(found[code], one) for code, one in newest.items()})
    return sorted(found.values(), key=lambda r: r.order)


def shortened(text: str) -> list[Recognised]:
    """Return what the beginning of a message, or a part of it, may mean: somebody typed it, and not all of it."""
    said = b" ".join(text.lower().encode("utf-8", "replace").split()).strip(b".:\"' ")
    if len(said) < _LEAST_TYPED:
        return []
    known = dict.fromkeys(p.declaration for p in patterns() if said in p.phrase)
    return [
        Recognised(
            known=one, certainty=Certainty.MAY, number=1, first=1, line=text.strip(), around=text, letters=len(said)
        )
        for one in known
    ]


def _newest(old: Recognised, one: Recognised) -> Recognised:
    """Return the later of two lines that say the same: what is surer counts before what is less so."""
    if old.certainty != one.certainty:
        return max(old, one, key=lambda r: r.certainty)
    later = one if (one.number, one.letters) >= (old.number, old.letters) else old
    return replace(later, first=min(old.first, one.first))


def _windows(parts: Iterable[bytes]) -> Iterator[LogWindow]:
    """Yield pieces of a log, each with some of the one before, up to where its text is seen to be a program."""
    number, kept = 1, b""
    kind: TextKind | None = None
    for block in _blocks(parts):
        window = kept + block
        kind = kind or kind_of_text(window)
        if kind == "source":
            return
        yield LogWindow.of(window, number, kind)
        start = window.find(b"\n", max(0, len(window) - _OVERLAP)) + 1
        start = start or max(0, len(window) - _OVERLAP)  # one line without an end
        number += window.count(b"\n", 0, start)
        kept = window[start:]


def _blocks(parts: Iterable[bytes]) -> Iterator[bytes]:
    kept = b""
    for part in parts:
        kept += part
        whole = len(kept) - len(kept) % BLOCK
        yield from (kept[start : start + BLOCK] for start in range(0, whole, BLOCK))
        kept = kept[whole:]
    yield kept


def _look(
    window: LogWindow,
    known: list[MessagePattern],
    found: dict[str, Recognised],
    least: Mapping[str, int],
    *,
    again: bool = False,
) -> None:
    """Put what a window says, and is at least so certain, with what was found. `known` are those whose words it has.

    What raised an exception counts only where nothing else knows its line, so that everything has to be looked for.
    """
    wanted = [p for p in known if p.certainty >= least.get(p.declaration.code, 0)]
    raised = [p for p in wanted if p.raised and window.framed and p.phrase in window.flat]
    raised = [p for p in raised if window.said(p, (), again=True) is not None]
    told: list[str] = []
    for pattern in [*(p for p in (known if raised else wanted) if not p.raised), *raised]:
        one = window.said(pattern, told, again=again) if pattern.phrase in window.flat else None
        if one is None:
            continue
        told.append(" ".join(one.line.split()))
        if pattern.certainty >= least.get(pattern.declaration.code, 0):
            old = found.get(one.known.code)
            found[one.known.code] = one if old is None else _newest(old, one)


def _with_words(words: set[bytes]) -> list[MessagePattern]:
    """Return the patterns whose words are all among these."""
    by_word, known = _by_rarest_word(), patterns()
    places = sorted(place for word in by_word.keys() & words for place in by_word[word])
    return [known[place] for place in places if known[place].words <= words]


@cache
def patterns() -> tuple[MessagePattern, ...]:
    """Return every declaration's patterns, in catalogue order."""
    return tuple(
        MessagePattern.of(known, text, certainty) for known in declarations() for certainty, text in known.messages
    )


@cache
def _by_rarest_word() -> dict[bytes, list[int]]:
    """Return the places of the patterns, by the word of each that the fewest patterns have."""
    often = Counter(word for p in patterns() for word in p.words)
    found: dict[bytes, list[int]] = {}
    for place, one in enumerate(patterns()):
        found.setdefault(min(one.words, key=lambda w: (often[w], -len(w), w)), []).append(place)
    return found
