"""Which paths of a file a program may rewrite, and how; what only a person may is suggested."""

from __future__ import annotations

import ast
import os
import re
import shutil
from pathlib import Path

from sage_doctor.paths.find.line_text import is_archived
from sage_doctor.paths.find.path_map import ClassifiedPath
from sage_doctor.paths.find.python_script import decoded, parse
from sage_doctor.paths.find.reference import PathReference
from sage_doctor.paths.rewrite.expressions import Start, expression, starts
from sage_doctor.paths.rewrite.nodes import Nodes
from sage_doctor.paths.rewrite.planned import Edit, FileEdits, Import, RewriteContext, root_in, target_of
from sage_doctor.paths.rewrite.roots import Root, bound_names, module_roots
from sage_doctor.paths.rewrite.shell_words import plan_shell_edits
from sage_doctor.paths.rewrite.texts import Spliced, splice
from sage_doctor.paths.scan import ScannedFile
from sage_doctor.subjects.host import Host
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start

MOST_BYTES = 2 * 1024 * 1024
_REWRITTEN = frozenset({"literal", "joined", "prefix"})
_OS: Import = ("os", "")


def world_of(host: Host) -> RewriteContext:
    """Return the world of this host. Asks the sessions' interpreter whether it has sage_doctor."""
    manifest = host.manifest
    if manifest is None:
        return RewriteContext(directory=host.root or host.cwd, resolvable=False)
    places = {m.path.path: name for name, m in manifest.models.items() if m.path.path is not None}
    return RewriteContext(
        directory=manifest.directory,
        models={Path(os.path.realpath(path)): name for path, name in places.items()},
        resolvable=host.session.packages.get("sage-doctor") is not None,
        command=shutil.which("sage-doctor", path=host.environ.get("PATH", os.defpath)) is not None,
        manifest=manifest.path,
    )


def plan_edits(seen: ScannedFile, world: RewriteContext) -> FileEdits:
    """Return how the paths of other machines in a file can be written so that they hold on every machine."""
    path, language = seen.script.path, seen.script.language
    wanted = [*seen.misplaced, *seen.ours]
    obstacle = ""
    if language not in ("python", "shell"):
        obstacle = "only Python is rewritten"
    elif inspect_path(path).is_link:
        obstacle = "it is a link: rewrite the file it leads to"
    elif is_archived(path, world.directory):
        obstacle = "it lies in an archive"
    if obstacle:
        return FileEdits(path=path, language=language, obstacle=obstacle, left=len(wanted))
    try:
        raw = read_start(path, MOST_BYTES + 1)
        if language == "shell":
            return plan_shell_edits(path, raw, wanted, world)
        module, text = parse(raw), decoded(raw)
    except (UnreadableFile, ValueError) as error:
        return FileEdits(path=path, language=language, obstacle=str(error), left=len(wanted))
    return _Planning(path, raw, module, text, world).edits(wanted)


class _Planning:
    """One Python file, with every expression that a place of it may start from."""

    def __init__(self, path: Path, raw: bytes, module: ast.Module, text: str, world: RewriteContext) -> None:
        self.path, self.raw = path, raw
        self.nodes = Nodes(module, text)
        self.roots: list[Root] = module_roots(module, path)
        self.possible = starts(
            module, path, self.roots, models=world.models, directory=world.directory, resolvable=world.resolvable
        )
        # `os.fsencode` takes the module itself; where the name means anything else, bytes are left alone.
        lines = [s.lineno for s in module.body if isinstance(s, ast.Import) and any(_is_os(a) for a in s.names)]
        self.os_from = min(lines, default=0 if "os" not in bound_names(module) else None)

    def edits(self, wanted: list[tuple[PathReference, ClassifiedPath]]) -> FileEdits:
        """Return the plan for these paths."""
        found = [self._edit(o, p) for o, p in wanted]
        sure = tuple(e for e in found if e is not None and e.certain)
        taken = [e.span for e in sure]
        maybe = []
        for edit in (e for e in found if e is not None and not e.certain):
            if not any(_overlap(edit.span, span) for span in taken):
                maybe.append(edit)
                taken.append(edit.span)
        left = len(wanted) - len(sure) - len(maybe)
        return FileEdits(path=self.path, raw=self.raw, edits=sure, suggestions=tuple(maybe), left=left)

    def _edit(self, occurrence: PathReference, placed: ClassifiedPath) -> Edit | None:
        target, node = target_of(placed), self.nodes.at(occurrence)
        if target is None or node is None:
            return None
        lines = {r.name: r.line for r in self.roots}
        for start in self.possible:
            if target.is_relative_to(start.path) and self.nodes.sees(node, start, lines):
                edit = self._from(start, target, occurrence, placed, node)
                if edit is not None:
                    return edit
        return None

    def _from(
        self, start: Start, target: Path, occurrence: PathReference, placed: ClassifiedPath, node: ast.expr
    ) -> Edit | None:
        needs = (start.needs,) if start.needs is not None else ()
        segment = self.nodes.segment(occurrence)
        whole = occurrence.form in (*_REWRITTEN, "argparse") and occurrence.value != "bytes"
        if whole or (occurrence.value == "bytes" and not self.nodes.formatted(node) and occurrence.form == "bytes"):
            source = self._whole(start, target, occurrence, node, segment)
            if source is not None and occurrence.value == "bytes":
                return Edit(occurrence=occurrence, source=source, needs=(*needs, _OS), certain=False)
            if source is not None:
                there = placed.exists or target.parent.is_dir()
                certain = there and occurrence.form in _REWRITTEN and not self.nodes.commented(node)
                return Edit(occurrence=occurrence, source=source, needs=needs, certain=certain)
            if occurrence.form == "argparse":
                return None
        if occurrence.value == "bytes" and not self._fsencode(node):
            return None
        made = self._spliced(start, target, occurrence, node, segment)
        if made is None:
            return None
        more = (_OS,) if occurrence.value == "bytes" else ()
        return Edit(occurrence=occurrence, source=made.source, needs=(*needs, *more), certain=False, place=made.place)

    def _whole(self, start: Start, target: Path, occurrence: PathReference, node: ast.expr, segment: str) -> str | None:
        binary = occurrence.value == "bytes"
        slash = occurrence.text.endswith("/") and occurrence.value != "Path"
        if binary and not self._fsencode(node):
            return None
        source = expression(
            start,
            target,
            occurrence.value if not binary else "Path" if start.value == "Path" and not slash else "str",
            slash=slash,
            within=ast.Return() if binary else self.nodes.parents.get(node),
            quote="'" if re.match(r"[bBrRuU]*'", segment) else '"',
        )
        return f"os.fsencode({source})" if binary and source is not None else source

    def _fsencode(self, node: ast.expr) -> bool:
        known = self.os_from is not None and self.os_from < node.lineno
        return known and self.nodes.means_the_module(node, "os")

    def _spliced(
        self, start: Start, target: Path, occurrence: PathReference, node: ast.expr, segment: str
    ) -> Spliced | None:
        """Return a longer text with its machine's root as a field, or put in front of it."""
        root = root_in(occurrence, target, start.path)
        return splice(self.nodes, node, segment, root, start) if root is not None else None


def _is_os(alias: ast.alias) -> bool:
    return alias.name == "os" and alias.asname in (None, "os")


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[:2] < other[2:] and other[:2] < one[2:]
