"""Plans the edits of one file: those that are certain, and suggestions where a person must judge."""

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
from sage_doctor.paths.rewrite.expressions import RESOLVE, RootExpression, at_home, path_expression, root_expressions
from sage_doctor.paths.rewrite.file_edits import Edit, FileEdits, RewriteContext, root_in, target_of
from sage_doctor.paths.rewrite.interpolation import splice
from sage_doctor.paths.rewrite.node_index import NodeIndex
from sage_doctor.paths.rewrite.roots import Root, module_roots
from sage_doctor.paths.rewrite.shell_edits import plan_shell_edits
from sage_doctor.paths.scan import ScannedFile
from sage_doctor.subjects.host import Host
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start

MOST_BYTES = 2 * 1024 * 1024
_REWRITTEN = frozenset({"literal", "joined", "prefix"})


def rewrite_context(host: Host) -> RewriteContext:
    """Return the context of a host. Asks the sessions' interpreter whether sage_doctor is installed."""
    manifest = host.manifest
    if manifest is None:
        return RewriteContext(directory=host.root or host.cwd, resolvable=False, home=host.home)
    model_paths = {m.path.path: name for name, m in manifest.models.items() if m.path.path is not None}
    return RewriteContext(
        directory=manifest.directory,
        models={Path(os.path.realpath(path)): name for path, name in model_paths.items()},
        resolvable=host.session.packages.get("sage-doctor") is not None,
        command=shutil.which("sage-doctor", path=host.environ.get("PATH", os.defpath)) is not None,
        manifest=manifest.path,
        home=host.home,
    )


def plan_edits(scanned: ScannedFile, context: RewriteContext) -> FileEdits:
    """Return how the hard-coded paths of a file can be rewritten to work on every machine."""
    path, language = scanned.script.path, scanned.script.language
    wanted = [*scanned.broken_paths, *scanned.local_paths]
    obstacle = ""
    if language not in ("python", "shell"):
        obstacle = "only Python and shell scripts are rewritten"
    elif inspect_path(path).is_link:
        obstacle = "it is a link: rewrite the file that it points to"
    elif is_archived(path, context.directory):
        obstacle = "it is in an archive"
    if obstacle:
        return FileEdits(path=path, language=language, obstacle=obstacle, unresolved_count=len(wanted))
    try:
        raw = read_start(path, MOST_BYTES + 1)
        if language == "shell":
            return plan_shell_edits(path, raw, wanted, context)
        module, text = parse(raw), decoded(raw)
    except (UnreadableFile, ValueError) as error:
        return FileEdits(path=path, language=language, obstacle=str(error), unresolved_count=len(wanted))
    return _PythonPlanner(path, raw, module, text, context).edits(wanted)


class _PythonPlanner:
    """One Python file, with every expression that a path in it may start from."""

    def __init__(self, path: Path, raw: bytes, module: ast.Module, text: str, context: RewriteContext) -> None:
        self.path, self.raw = path, raw
        self.models = context.models
        self.nodes = NodeIndex(module, text)
        self.roots: list[Root] = module_roots(module, path)
        self.possible = root_expressions(
            module, path, self.roots, models=context.models, directory=context.directory, resolvable=context.resolvable
        )
        self.home = at_home(module, context.home) if context.home is not None else None

    def edits(self, wanted: list[tuple[PathReference, ClassifiedPath]]) -> FileEdits:
        """Return the plan for these paths."""
        found = [self._edit(o, p) for o, p in wanted]
        sure = tuple(e for e in found if e is not None and e.certain)
        spans = [e.span for e in sure]
        maybe = []
        for edit in (e for e in found if e is not None and not e.certain):
            if not any(_overlap(edit.span, span) for span in spans):
                maybe.append(edit)
                spans.append(edit.span)
        left = len(wanted) - len(sure) - len(maybe)
        return FileEdits(path=self.path, raw=self.raw, edits=sure, suggestions=tuple(maybe), unresolved_count=left)

    def _edit(self, reference: PathReference, classified: ClassifiedPath) -> Edit | None:
        target, node = target_of(classified), self.nodes.at(reference)
        if target is None or node is None:
            return None
        lines = {r.name: r.line for r in self.roots}
        from_home = self.home is not None and classified.local_root == self.home.path
        for start in (*self.possible, *([self.home] if self.home is not None and from_home else [])):
            if target.is_relative_to(start.path) and self.nodes.is_visible(node, start, lines):
                edit = self._from(start, target, reference, classified, node)
                if edit is not None:
                    return edit
        return None

    def _from(
        self, start: RootExpression, target: Path, reference: PathReference, classified: ClassifiedPath, node: ast.expr
    ) -> Edit | None:
        if reference.value_type == "bytes" or self.nodes.is_template(node):
            return None
        needs = (start.needs,) if start.needs is not None else ()
        segment = self.nodes.segment(reference)
        if reference.form in (*_REWRITTEN, "argparse"):
            source = path_expression(
                start,
                target,
                reference.value_type,
                slash=reference.text.endswith("/") and reference.value_type != "Path",
                within=self.nodes.parents.get(node),
                quote="'" if re.match(r"[rRuU]*'", segment) else '"',
            )
            if source is not None:
                known = classified.certain or (classified.exists and target in self.models)
                known = known and start is not self.home  # who runs it elsewhere, with which home, is not known
                late = start.needs != RESOLVE or self.nodes.is_late(node)
                certain = known and late and reference.form in _REWRITTEN and not self.nodes.commented(node)
                return Edit(reference=reference, source=source, needs=needs, certain=certain)
            if reference.form == "argparse":
                return None
        root = root_in(reference, target, start.path)
        source = splice(node, segment, root, start) if root is not None else None
        return Edit(reference=reference, source=source, needs=needs, certain=False) if source is not None else None


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[:2] < other[2:] and other[:2] < one[2:]
