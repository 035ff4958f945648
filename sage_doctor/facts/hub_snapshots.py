"""What else the Hugging Face caches of a machine hold of a repository: earlier snapshots, and other caches."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from sage_doctor.facts.hub_cache import HubFacts, cache_root, resolve_hub, snapshot_facts
from sage_doctor.facts.wholeness import directory_defects
from sage_doctor.readers.tree import read_tree
from sage_doctor.system.path_info import inspect_path

_WEIGHTS = re.compile(r".+\.(?:safetensors|bin|h5|msgpack|gguf)(?:\.index\.json)?", re.ASCII)
_MOST_SNAPSHOTS = 20


def is_leftover(snapshot: Path) -> bool:
    """Return whether nothing is meant to load a snapshot: refs name others, or only small files were asked for.

    A download that was interrupted left a partial file behind: what it was for was meant to be loaded.
    """
    facts = snapshot_facts(snapshot)
    current = {v for v in facts.refs.values() if inspect_path(snapshot.parent / v).kind == "directory"}
    if current and snapshot.name not in current:
        return True
    named = {*facts.files, *(link.name for link in facts.dangling)}
    return not any(_WEIGHTS.fullmatch(n) for n in named) and not facts.incomplete


def whole_snapshots(folder: Path, *, other_than: str = "") -> list[str]:
    """Return the commits of a repository's whole snapshots, the newest first."""
    try:
        names = sorted(os.listdir(folder / "snapshots"))[:_MOST_SNAPSHOTS]
    except OSError:
        return []
    whole = [n for n in names if n != other_than and _is_whole(folder / "snapshots" / n)]
    return sorted(whole, key=lambda n: -inspect_path(folder / "snapshots" / n).mtime_ns)


def _is_whole(snapshot: Path) -> bool:
    if inspect_path(snapshot).kind != "directory":
        return False
    facts = snapshot_facts(snapshot)
    return not facts.dangling and not facts.texts and not directory_defects(read_tree(snapshot))


def elsewhere(hub: HubFacts, environ: Mapping[str, str], home: Path) -> Path | None:
    """Return the repository's folder in another cache that a session may have used earlier, if it is whole there."""
    used = hub.folder.parent
    hf_home = Path(environ.get("HF_HOME") or home / ".cache" / "huggingface")
    places = [
        cache_root({}, home),
        cache_root({k: v for k, v in environ.items() if k == "XDG_CACHE_HOME"}, home),
        hf_home / "hub",
        hf_home,  # HF_HUB_CACHE once pointed where HF_HOME does now
        hf_home / "transformers",
        *(Path(v) for n in ("TRANSFORMERS_CACHE", "HUGGINGFACE_HUB_CACHE") if (v := environ.get(n))),
        used.parent,  # the other way round
        used / "hub",
    ]
    for place in dict.fromkeys(Path(os.path.abspath(p)) for p in places):
        if place == used:
            continue
        found = resolve_hub(place, hub.repo_id, hub.revision)
        if found.status == "found" and found.snapshot is not None and _is_whole(found.snapshot):
            return found.folder
    return None
