"""Questions about guesses, which only a person can answer. Whoever is not sure leaves them comments."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from sage_doctor.init.pairs import BaseLink
from sage_doctor.system.frozen import frozen
from sage_doctor.text import printable

MOST_QUESTIONS = 6
NOT_SURE = "not sure: write it as a comment"
NONE_OF_THEM = "none of them"


@frozen
class OpenQuestion:
    """A question for a person. `options` are the possible answers; the first one changes nothing."""

    text: str
    options: tuple[str, ...]


# Returns one of the options, or None if nobody answers.
Ask = Callable[[OpenQuestion], "str | None"]


def confirm_guesses(
    new: Collection[str],
    bases: dict[str, BaseLink | None],
    merges: dict[str, tuple[BaseLink | None, BaseLink] | None],
    ask: Ask,
) -> None:
    """Ask which of the guesses about `new` models are right, a few at most, and put the answers in their place."""
    left = MOST_QUESTIONS
    for name, link in list(bases.items()):
        if link is not None and not link.sure and name in new and left:
            left -= 1
            bases[name] = _confirmed(link, f"Which model was the adapter {printable(name)} trained on?", ask)
    for name, pair in list(merges.items()):
        if pair is not None and not pair[1].sure and left:
            left -= 1
            adapter = _confirmed(pair[1], f"Which adapter was {printable(name)} merged from?", ask)
            merges[name] = (bases.get(adapter.name), adapter) if adapter is not None else None


def _confirmed(link: BaseLink, text: str, ask: Ask) -> BaseLink | None:
    """Return the link as a person confirms it; unchanged if nobody is sure, None if it is none of the options."""
    said = ask(OpenQuestion(text=f"{text} ({link.why})", options=(NOT_SURE, link.name, *link.others, NONE_OF_THEM)))
    if said is None or said == NOT_SURE:
        return link
    return None if said == NONE_OF_THEM else replace(link, name=said, why="named by you", sure=True)
