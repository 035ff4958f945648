"""Which paths of a Python file a program may rewrite, and how; what only a person may is suggested."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sage_doctor.host import Host
from sage_doctor.machine_paths.landscape import Placed
from sage_doctor.machine_paths.line_text import is_archived
from sage_doctor.machine_paths.occurrence import Occurrence
from sage_doctor.machine_paths.python_script import decoded, parse
from sage_doctor.readers.regular import UnreadableFile, look, read_start
from sage_doctor.rewriting.expressions import Start, expression, starts
from sage_doctor.rewriting.nodes import Nodes
from sage_doctor.rewriting.roots import Root, module_roots
from sage_doctor.scripts import Seen

MOST_BYTES = 2 * 1024 * 1024
_REWRITTEN = frozenset({"literal", "joined", "prefix"})


@dataclass(frozen=True, kw_only=True)
class World:
    """What edits depend on besides the file: the manifest's directory and models, and the sessions' packages."""

    directory: Path
    models: Mapping[Path, str] = field(default_factory=dict)
    resolvable: bool = True


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One expression and what takes its place. Positions are an occurrence's; `certain` is False for a suggestion."""

    occurrence: Occurrence
    source: str
    needs: tuple[str, str] | None = None
    certain: bool = True


@dataclass(frozen=True, kw_only=True)
class FileEdits:
    """What is to be done to one file. `raw` is what it held when this was planned; `obstacle` says why nothing is."""

    path: Path
    raw: bytes = b""
    edits: tuple[Edit, ...] = ()
    suggestions: tuple[Edit, ...] = ()
    left: int = 0
    obstacle: str = ""


def world_of(host: Host) -> World:
    """Return the world of this host. Asks the sessions' interpreter whether it has sage_doctor."""
    manifest = host.manifest
    if manifest is None:
        return World(directory=host.root or host.cwd, resolvable=False)
    places = {m.path.path: name for name, m in manifest.models.items() if m.path.path is not None}
    resolvable = host.session.packages.get("sage-doctor") is not None
    models = {Path(os.path.realpath(path)): name for path, name in places.items()}
    return World(directory=manifest.directory, models=models, resolvable=resolvable)


def plan_edits(seen: Seen, world: World) -> FileEdits:
    """Return how the paths of other machines in a file can be written so that they hold on every machine."""
    path = seen.script.path
    wanted = [*seen.misplaced, *seen.ours]
    if seen.script.language != "python":
        return FileEdits(path=path, obstacle="only Python is rewritten", left=len(wanted))
    if look(path).is_link:
        return FileEdits(path=path, obstacle="it is a link: rewrite the file it leads to", left=len(wanted))
    if is_archived(path, world.directory):
        return FileEdits(path=path, obstacle="it lies in an archive", left=len(wanted))
    try:
        raw = read_start(path, MOST_BYTES + 1)
        module, text = parse(raw), decoded(raw)
    except (UnreadableFile, ValueError) as error:
        return FileEdits(path=path, obstacle=str(error), left=len(wanted))
    nodes = Nodes(module, text)
    roots = module_roots(module, path)
    possible = starts(module, path, roots, models=world.models, directory=world.directory, resolvable=world.resolvable)
    found = [_edit(o, p, nodes, possible, roots) for o, p in wanted]
    return FileEdits(
        path=path,
        raw=raw,
        edits=tuple(e for e in found if e is not None and e.certain),
        suggestions=tuple(e for e in found if e is not None and not e.certain),
        left=sum(e is None for e in found),
    )


def _edit(
    occurrence: Occurrence, placed: Placed, nodes: Nodes, possible: list[Start], roots: list[Root]
) -> Edit | None:
    if placed.target is None or placed.base is None:
        return None
    node = nodes.at(occurrence)
    if node is None:
        return None
    real = Path(os.path.realpath(placed.base))
    target = real / os.path.relpath(placed.target, placed.base)
    lines = {r.name: r.line for r in roots}
    for start in possible:
        if not target.is_relative_to(start.path) or not nodes.sees(node, start, lines):
            continue
        segment = nodes.segment(occurrence)
        source = expression(
            start,
            target,
            "str" if occurrence.form == "argparse" and occurrence.value == "bytes" else occurrence.value,
            slash=occurrence.text.endswith("/") and occurrence.value == "str",
            within=nodes.parents.get(node),
            quote="'" if re.match(r"[rRuU]?'", segment) else '"',
        )
        if occurrence.form in _REWRITTEN and source is not None:
            certain = (placed.exists or target.parent.is_dir()) and not nodes.commented(node)
            return Edit(occurrence=occurrence, source=source, needs=start.needs, certain=certain)
        suggested = source if occurrence.form == "argparse" else _spliced(occurrence, segment, start, target)
        if suggested is not None:
            return Edit(occurrence=occurrence, source=suggested, needs=start.needs, certain=False)
    return None


def _spliced(occurrence: Occurrence, segment: str, start: Start, target: Path) -> str | None:
    """Return a longer text with its machine's root as a field: `f"{ROOT}/zoo/{name}"`."""
    below = target.relative_to(start.path).as_posix()
    text = occurrence.text.rstrip("/")
    root = text if below == "." else text.removesuffix("/" + below)
    opening = re.match(r"([fFrR]*)(\"\"\"|'''|\"|')", segment)
    if opening is None or (root == text and below != ".") or root not in segment:
        return None
    if "f" in opening[1].lower():
        return segment.replace(root, f"{{{start.source}}}")
    if "{" in segment or "}" in segment or occurrence.value != "str":
        return None
    return "f" + segment.replace(root, f"{{{start.source}}}")
