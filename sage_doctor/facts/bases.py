"""A base model's name, resolved: where a loader would find it on this machine, and where else it may be."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from sage_doctor.readers.repo_id import is_repo_id, repository_in
from sage_doctor.readers.tree import is_model_directory, read_tree
from sage_doctor.system.frozen import frozen
from sage_doctor.system.location import same_tail
from sage_doctor.system.path_info import inspect_path


@frozen
class ResolvedBase:
    """A base's name, resolved. `found` is the directory; `beside` is one relative to the adapter, which no loader uses.

    `tried` are the paths looked at, in order. `repo_id` is set where the text could name a hub repository.
    """

    text: str
    found: Path | None
    beside: Path | None
    tried: tuple[Path, ...]
    repo_id: str | None
    form: Literal["absolute", "relative", "repository"]


# Ranks of provenance, best first. Up to SAME_NAME it is the name that was asked for; the others are guesses.
WRITTEN_DOWN, SAME_TAIL, SAME_NAME, SIMILAR, KNOWN, NEAR_BY = range(6)


@frozen
class Candidate:
    """A directory on this machine that may be the base.

    `rank` is one of the ranks above; among equals, the more words of the name are `shared`, the better.
    """

    path: Path
    why: str
    rank: int
    shared: int = 0


def resolve_base(text: str, *, adapter: Path, cwd: Path, home: Path) -> ResolvedBase:
    """Return where a base named `text` leads.

    It counts as a path first (a loader takes any existing directory), then as a repository name. A relative path
    counts from the session's working directory, not from the adapter. No loader expands a `~`: where it was meant to
    lead is among the places tried, and not found.
    """
    if text.startswith("~/"):
        tried = (cwd / text, home / text[2:])
        return ResolvedBase(text=text, found=None, beside=None, tried=tried, repo_id=None, form="relative")
    path = Path(text)
    if path.is_absolute():
        node = inspect_path(path)
        return ResolvedBase(
            text=text,
            found=path if node.kind == "directory" else None,
            beside=None,
            tried=(path,),
            repo_id=None,
            form="absolute",
        )
    at_cwd = cwd / path
    nearby = [p / path for p in (adapter, *list(adapter.parents)[:3])]
    found = at_cwd if inspect_path(at_cwd).kind == "directory" else None  # an empty one as well
    beside = next((_short(p) for p in nearby if inspect_path(p).kind == "directory" and _holds_model(p)), None)
    plain = is_repo_id(text) and not text.startswith((".", "/"))
    return ResolvedBase(
        text=text,
        found=found,
        beside=beside,
        tried=(at_cwd, *nearby),
        repo_id=text if plain else None,
        form="repository" if plain else "relative",
    )


def _short(path: Path) -> Path:
    """Return a path without its `..`, where it leads to the same: with links it may not."""
    short = Path(os.path.normpath(path))
    return short if os.path.realpath(short) == os.path.realpath(path) else path


def _holds_model(path: Path) -> bool:
    return is_model_directory(read_tree(path))


def candidates_for(
    text: str,
    *,
    named: Iterable[tuple[Path, str]] = (),
    known: Iterable[tuple[Path, str]],
    found: Iterable[Path],
    cached: Iterable[tuple[str, Path]],
    roots: Iterable[Path],
    exclude: Iterable[Path] = (),
) -> list[Candidate]:
    """Return where the model named `text` may really be, best provenance first, never by shape.

    `named` are places that somebody wrote down for it, with who did; `known` the other models of the run with their
    names, `found` model directories seen near by, `cached` repositories of the hub cache, `roots` directories under
    which the same trailing path is looked for. Where any candidate has provenance or a similar name, models that
    merely happen to be here are left out.
    """
    ranked: dict[Path, Candidate] = {}

    def add(path: Path, why: str, rank: int, shared: int = 0) -> None:
        if path not in ranked or ranked[path].rank > rank:
            ranked[path] = Candidate(path=path, why=why, rank=rank, shared=shared)

    for path, who in named:
        add(path, who, WRITTEN_DOWN)
    for path in same_tail(Path(text.removeprefix("~").lstrip("./") or text), roots):
        if _holds_model(path):
            add(path, "the same trailing path", SAME_TAIL)
    repository = repository_in(text)
    text = repository[0] if repository is not None else text
    for path, name in known:
        rank, shared = _likeness(text, KNOWN, name, path.name)
        add(path, f"examined here as {name}" + (", a similar name" if rank == SIMILAR else ""), rank, shared)
    for path in found:
        rank, shared = _likeness(text, NEAR_BY, path.name)
        add(path, _WHY[rank], rank, shared)
    for repo, path in cached:
        add(path, f"{repo} in the Hugging Face cache", *_likeness(text, NEAR_BY, repo))
    left_out = set(exclude)
    kept = (c for p, c in ranked.items() if p not in left_out)
    best_first = sorted(kept, key=lambda c: (c.rank, -c.shared, str(c.path)))
    if best_first and best_first[0].rank < NEAR_BY:
        return [c for c in best_first if c.rank < NEAR_BY]
    return best_first


_CHECKPOINT = re.compile(r"(?:checkpoint|epoch|step)[-_]?\d*")
_COMMON = frozenset({"model", "models", "final", "fine", "tuned", "merged", "base", "checkpoint", "hf", "the", "home"})


_WHY = {SAME_NAME: "the same name", SIMILAR: "a similar name", NEAR_BY: "a complete model near by"}


def _likeness(text: str, otherwise: int, *names: str) -> tuple[int, int]:
    """Return the rank of a model with these names, `otherwise` where none is alike, and how many words they share."""
    shared = len(_words(text) & frozenset().union(*map(_words, names)))
    last = _last_name(text)
    if last and last in map(_last_name, names):
        return SAME_NAME, shared
    return SIMILAR if shared else otherwise, shared


def _last_name(text: str) -> str:
    """Return the last part of a name or path, empty where it is one that every training run gives: `final_model`."""
    name = text.rstrip("/").rpartition("/")[2].lower()
    return name if _words(name) and not _CHECKPOINT.fullmatch(name) else ""


def names_a_repository(place: ResolvedBase) -> bool:
    """Return whether a name is meant for the hub: not one such as `outputs/checkpoint-500`, which only looks so."""
    return place.form == "repository" and bool(_last_name(place.text))


def _words(text: str) -> frozenset[str]:
    tail = "/".join(text.rstrip("/").split("/")[-2:])
    return frozenset(w for w in re.split(r"[^a-z0-9.]+", tail.lower()) if len(w) > 1 and w not in _COMMON)
