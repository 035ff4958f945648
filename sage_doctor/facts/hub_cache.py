"""The local Hugging Face cache: repositories, snapshots and files, found as huggingface_hub finds them offline."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Literal

from sage_doctor.readers.known_hash import HubFile, algorithm_of, is_inside, read_hub_listing
from sage_doctor.readers.repo_id import is_repo_id
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start
from sage_doctor.system.walk import Walk
from sage_doctor.text import printable

HubStatus = Literal["found", "not-cached", "ref-missing", "snapshot-missing"]

_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})", re.ASCII)
_MOST_ENTRIES = 20_000
# A link that a copy or an archive turned into a text: the path it led to. On Windows it is written with backslashes.
_LINK_AS_TEXT = re.compile(rb"(?:\.\.[/\\]){2,12}blobs[/\\]((?:[0-9a-f]{40}|[0-9a-f]{64}))\s{0,2}")
_MOST_LINK = 160  # bytes


@frozen
class DanglingLink:
    """A file of the snapshot whose blob is missing: its name in the snapshot, and where its link leads."""

    name: str
    target: str


@frozen
class LinkAsText:
    """A file of the snapshot that holds the path of its blob instead of being a link to it."""

    name: str
    blob: str


@frozen
class IncompleteDownload:
    """A download that was not finished: `size` bytes have arrived of `expected`, where the latter is known."""

    path: Path
    size: int
    expected: int | None = None


@frozen
class HubFacts:
    """One repository in the cache, and the snapshot that an offline load of `revision` would use.

    `files` maps each name in the snapshot to its size in bytes (links followed; dangling ones are only in
    `dangling`); `texts` are those that should be links. `expected` is what the hub listed for this commit, None where
    no listing was kept. `snapshots` are the commits there are; `refs` is what each ref's file holds, as it is:
    huggingface_hub strips nothing off it.
    """

    repo_id: str
    revision: str
    folder: Path
    status: HubStatus
    detail: str = ""
    commit: str | None = None
    snapshot: Path | None = None
    snapshots: tuple[str, ...] = ()
    refs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    dangling: tuple[DanglingLink, ...] = ()
    texts: tuple[LinkAsText, ...] = ()
    incomplete: tuple[IncompleteDownload, ...] = ()
    expected: Mapping[str, HubFile] | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """Names the hub listed for this commit that the snapshot does not have. Not every one was asked for."""
        there = set(self.files) | {d.name for d in self.dangling}
        return tuple(sorted(set(self.expected or ()) - there))


@frozen
class CachedModel:
    """A model in the cache. `size` is that of the files of `snapshot`, in bytes."""

    repo_id: str
    commit: str
    snapshot: Path
    size: int


def cache_root(environ: Mapping[str, str], home: Path) -> Path:
    """Return the cache directory that huggingface_hub would use (its `constants.py`), made absolute.

    A variable that is set but empty counts, as it does there: the result is then the working directory.
    """
    caches = environ.get("XDG_CACHE_HOME", str(home / ".cache"))
    hf_home = _expanded(environ.get("HF_HOME", os.path.join(caches, "huggingface")), environ, home)
    legacy = environ.get("HUGGINGFACE_HUB_CACHE", os.path.join(hf_home, "hub"))
    return Path(os.path.abspath(_expanded(environ.get("HF_HUB_CACHE", legacy), environ, home)))


def _expanded(text: str, environ: Mapping[str, str], home: Path) -> str:
    if text == "~" or text.startswith("~/"):
        text = str(home) + text[1:]
    return _VARIABLE.sub(lambda m: environ.get(m[1] or m[2], m[0]), text)


def repo_folder(root: Path, repo_id: str) -> Path:
    """Return the folder of a model repository in the cache. Raises `ValueError` for what is no repository id."""
    if not is_repo_id(repo_id):
        raise ValueError(f"{printable(repo_id, limit=120)!r} is not a Hugging Face repository id")
    return root / ("models--" + repo_id.replace("/", "--"))


def resolve_hub(root: Path, repo_id: str, revision: str | None = None) -> HubFacts:
    """Return what an offline load of the repository would find. Never raises for what a disk may hold.

    `revision` is a branch, a tag, or a full commit; the hub does not resolve shortened ones. What can be no
    repository or revision at all is `not-cached`, and `detail` says so.
    """
    wanted = "main" if revision is None else revision
    try:
        folder = repo_folder(root, repo_id)
    except ValueError as error:
        return HubFacts(repo_id=repo_id, revision=wanted, folder=root, status="not-cached", detail=str(error))
    snapshots = tuple(
        n for n in _names(folder / "snapshots") if inspect_path(folder / "snapshots" / n).kind == "directory"
    )
    refs = _refs(folder / "refs")
    facts = HubFacts(
        repo_id=repo_id,
        revision=wanted,
        folder=folder,
        status="not-cached",
        snapshots=snapshots,
        refs=refs,
        incomplete=_incomplete(folder / "blobs", {}),
    )
    if not is_inside(wanted):
        return replace(facts, detail=f"{printable(wanted, limit=120)!r} is not a revision")
    commit = refs.get(wanted, wanted)
    if commit in snapshots:
        return _with_files(facts, commit)
    if wanted in refs:
        stripped = commit.strip()
        detail = "the ref holds blanks around the commit, which huggingface_hub takes as part of it"
        return replace(
            facts,
            status="snapshot-missing",
            commit=stripped,
            detail=detail if stripped in snapshots else "the ref names a commit that is not in the cache",
        )
    if algorithm_of(wanted) == "git-sha1":
        return replace(facts, status="snapshot-missing" if snapshots else "not-cached", commit=wanted)
    return replace(facts, status="ref-missing" if snapshots else "not-cached")


def snapshot_facts(snapshot: Path) -> HubFacts:
    """Return the facts of the repository in the cache that a snapshot belongs to, with the files of this snapshot."""
    folder, commit = snapshot.parent.parent, snapshot.name
    repo_id = folder.name.removeprefix("models--").replace("--", "/", 1)
    facts = HubFacts(repo_id=repo_id, revision=commit, folder=folder, status="found", refs=_refs(folder / "refs"))
    return _with_files(facts, commit)


def _with_files(facts: HubFacts, commit: str) -> HubFacts:
    snapshot = facts.folder / "snapshots" / commit
    files, dangling, texts = _listing(snapshot)
    expected = read_hub_listing(facts.folder, commit)
    sizes = {e.hex: e.size for e in (expected or {}).values()}
    return replace(
        facts,
        status="found",
        commit=commit,
        snapshot=snapshot,
        files=files,
        dangling=dangling,
        texts=texts,
        expected=expected,
        incomplete=_incomplete(facts.folder / "blobs", sizes),
    )


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e, _ in zip(entries, range(_MOST_ENTRIES), strict=False))
    except OSError:
        return []


def _refs(folder: Path) -> dict[str, str]:
    refs: dict[str, str] = {}
    for listing in Walk(roots=[folder]).listings():
        for entry in listing.files[:_MOST_ENTRIES]:
            try:
                refs[os.path.relpath(entry.path, folder)] = read_start(entry.path, 256).decode("utf-8", "replace")
            except UnreadableFile:
                continue
    return refs


def _listing(snapshot: Path) -> tuple[dict[str, int], tuple[DanglingLink, ...], tuple[LinkAsText, ...]]:
    files: dict[str, int] = {}
    dangling: list[DanglingLink] = []
    texts: list[LinkAsText] = []
    for listing in Walk(roots=[snapshot]).listings():
        for entry in listing.files:
            relative = os.path.relpath(entry.path, snapshot)
            node = inspect_path(entry.path)
            if node.kind == "file":
                files[relative] = node.size
                if not node.is_link and node.size <= _MOST_LINK and (blob := blob_named_in(Path(entry.path))):
                    texts.append(LinkAsText(name=relative, blob=blob))
            elif node.is_link and node.kind != "directory":
                dangling.append(DanglingLink(name=relative, target=_target(entry.path)))
        if len(files) > _MOST_ENTRIES:
            break
    return files, tuple(dangling), tuple(texts)


def blob_named_in(path: Path) -> str:
    """Return the name of the blob that a file holds the path of, empty where it is no such text."""
    try:
        match = _LINK_AS_TEXT.fullmatch(read_start(path, _MOST_LINK + 1))
    except UnreadableFile:
        return ""
    return match[1].decode("ascii") if match else ""


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _incomplete(blobs: Path, sizes: Mapping[str, int]) -> tuple[IncompleteDownload, ...]:
    # `HASH.incomplete`, since huggingface_hub 1.x `HASH.RANDOM.incomplete`
    return tuple(
        IncompleteDownload(path=blobs / n, size=inspect_path(blobs / n).size, expected=sizes.get(n.partition(".")[0]))
        for n in _names(blobs)
        if n.endswith(".incomplete")
    )


def list_cached_models(root: Path) -> tuple[CachedModel, ...]:
    """Return the models in the cache that have a snapshot: that of `main`, else the only or newest one."""
    models = []
    for name in _names(root):
        repo_id = name.removeprefix("models--").replace("--", "/")
        if not name.startswith("models--") or not is_repo_id(repo_id):
            continue
        facts = resolve_hub(root, repo_id)
        if not facts.snapshots:
            continue
        if facts.status != "found":
            snapshots = facts.folder / "snapshots"
            newest = max(facts.snapshots, key=lambda c, s=snapshots: inspect_path(s / c).mtime_ns)  # type: ignore[misc]
            facts = _with_files(facts, newest)
        if facts.snapshot is None or facts.commit is None:
            continue
        models.append(
            CachedModel(
                repo_id=repo_id,
                commit=facts.commit,
                snapshot=facts.snapshot,
                size=sum(facts.files.values()),
            )
        )
    return tuple(models)
