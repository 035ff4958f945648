"""What a text in a Python program is there for: judged by the names and statements around it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from sage_doctor.paths.find.folding import called
from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.reference import Context, ReferenceForm

_QUESTIONS = frozenset(
    [
        "exists",
        "is_dir",
        "is_file",
        "isdir",
        "isfile",
        "islink",
        "lexists",
        "ismount",
        "is_mount",
        "access",
        "samefile",
        "startswith",
        "endswith",
        "removeprefix",
        "removesuffix",
        "replace",
        "relative_to",
        "is_relative_to",
        "match",
        "fullmatch",
        "search",
        "sub",
        "subn",
        "compile",
        "findall",
        "finditer",
        "fnmatch",
        "fnmatchcase",
        "split",
        "rsplit",
        "partition",
        "rpartition",
        "find",
        "rfind",
        "index",
        "count",
        "strip",
        "lstrip",
        "rstrip",
        "commonpath",
        "commonprefix",
    ]
)
_MESSAGES = frozenset(
    [
        "print",
        "pprint",
        "info",
        "debug",
        "warning",
        "warn",
        "error",
        "critical",
        "exception",
        "log",
        "echo",
        "secho",
        "fail",
        "skip",
        "xfail",
        "deprecated",
        "input",
        "add_parser",
    ]
)
_WORDS = frozenset({"help", "description", "epilog", "usage", "metavar", "doc", "reason", "message", "msg", "prompt"})
_SHELLS = frozenset(
    [
        "run",
        "Popen",
        "call",
        "check_call",
        "check_output",
        "system",
        "popen",
        "getoutput",
        "getstatusoutput",
        "create_subprocess_shell",
        "create_subprocess_exec",
    ]
)
_WHO = frozenset(["gethostname", "getfqdn", "hostname", "node", "uname", "nodename", "getuser", "platform", "getlogin"])
_WHO_VARIABLES = frozenset({"HOSTNAME", "SAGE_MACHINE", "MACHINE", "USER", "LOGNAME", "HOST", "COMPUTERNAME", "HOME"})
_TRIED = frozenset({"exists", "is_dir", "is_file", "isdir", "isfile", "access"})


@dataclass(frozen=True, kw_only=True)
class Usage:
    """`shell` is set where a text is a command line; `form` where the place says how it must be rewritten."""

    context: Context
    shell: bool = False
    form: ReferenceForm | None = None


class UsageContext:
    """One module, with every node's parent."""

    def __init__(self, module: ast.Module, landscape: PathMap) -> None:
        self.module = module
        self.landscape = landscape
        self.parents: dict[ast.AST, ast.AST] = {}
        self.nodes: list[ast.AST] = []
        for node in ast.walk(module):
            self.nodes.append(node)
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node

    @cached_property
    def _answers(self) -> frozenset[str]:
        """Names that hold the answer to the question which machine this is."""
        found = set()
        for node in self.nodes:
            if isinstance(node, ast.Assign) and self._asks_machine(node.value, deep=False):
                found |= {t.id for t in node.targets if isinstance(t, ast.Name)}
        return frozenset(found)

    @cached_property
    def _tried(self) -> frozenset[str]:
        """Names of lists that are gone through until something of them exists, and displays that are."""
        found = set()
        for node in self.nodes:
            loops: list[tuple[ast.expr, ast.expr, list[ast.AST]]] = []
            if isinstance(node, (ast.For, ast.AsyncFor)):
                loops = [(node.target, node.iter, list(node.body))]
            elif isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp)):
                loops = [(g.target, g.iter, [node.elt, *g.ifs]) for g in node.generators]
            for target, source, within in loops:
                if any(_tries(part) for part in within) and isinstance(target, (ast.Name, ast.Tuple)):
                    found.add(source.id if isinstance(source, ast.Name) else f"#{id(source)}")
        return frozenset(found)

    def purpose(self, node: ast.AST) -> Usage:
        """Return what the value of an expression is for."""
        context: Context = "use"
        shell = False
        form: ReferenceForm | None = None
        while (parent := self.parents.get(node)) is not None:
            found = self._between(node, parent)
            if found in ("detection", "documentation"):
                return Usage(context=found)
            if found == "fallback":
                context = "fallback"
            if isinstance(parent, ast.Call) and node is not parent.func:
                name = called(parent.func)
                shell = shell or name in _SHELLS
                if name in ("add_argument", "set_defaults"):
                    form = "argparse"
            node = parent
        return Usage(context=context, shell=shell, form=form)

    def _between(self, node: ast.AST, parent: ast.AST) -> Context:
        """Return what a parent makes of the child that a text came up through."""
        if isinstance(parent, (ast.Compare, ast.match_case)) and not isinstance(node, ast.stmt):
            return "detection"
        if isinstance(parent, ast.Expr) and isinstance(node, (ast.Constant, ast.JoinedStr)):
            return "documentation"
        if isinstance(parent, ast.Call):
            return self._argument(node, parent)
        if isinstance(parent, ast.Attribute):
            above = self.parents.get(parent)
            asked = isinstance(above, ast.Call) and above.func is parent and parent.attr in _QUESTIONS
            return "detection" if asked else "use"
        if isinstance(parent, ast.keyword):
            return "documentation" if parent.arg in _WORDS else "fallback" if parent.arg == "default" else "use"
        if isinstance(parent, ast.Raise) or (isinstance(parent, ast.Assert) and node is parent.msg):
            return "documentation"
        if isinstance(parent, ast.arguments) or (isinstance(parent, ast.BoolOp) and node is not parent.values[0]):
            return "fallback"
        return self._statement(node, parent)

    def _statement(self, node: ast.AST, parent: ast.AST) -> Context:
        if isinstance(parent, (ast.AnnAssign, ast.arg, ast.FunctionDef)):
            typed = getattr(parent, "annotation", None), getattr(parent, "returns", None)
            return "documentation" if node in typed else "use"
        if isinstance(parent, (ast.If, ast.IfExp, ast.While)):
            return "detection" if node is not parent.test and self._asks_machine(parent.test) else "use"
        return "fallback" if isinstance(parent, ast.ExceptHandler) else self._display(node, parent)

    def _argument(self, node: ast.AST, call: ast.Call) -> Context:
        if node is call.func:
            return "use"
        name = called(call.func)
        if name in _QUESTIONS:
            return "detection"
        if name in _MESSAGES:
            return "documentation"
        if name == "write" and isinstance(call.func, ast.Attribute) and called(call.func.value) in ("stdout", "stderr"):
            return "documentation"
        return "fallback" if name in ("get", "getenv", "setdefault", "getattr") and node in call.args[1:] else "use"

    def _display(self, node: ast.AST, parent: ast.AST) -> Context:
        """A table of machines, or a list of candidates, is asked; it says nothing of which entry is taken."""
        if isinstance(parent, ast.Dict):
            keys = {k.value for k in parent.keys if isinstance(k, ast.Constant) and isinstance(k.value, str)}
            if node in parent.keys or keys & self.landscape.names or self._roots_in(parent.values) > 1:
                return "detection"
        if isinstance(parent, (ast.List, ast.Tuple, ast.Set)):
            above = self.parents.get(parent)
            named = above.targets if isinstance(above, ast.Assign) else []
            names = {t.id for t in named if isinstance(t, ast.Name)} | {f"#{id(parent)}"}
            if names & self._tried or self._roots_in(parent.elts) > 1:
                return "detection"
        return "use"

    def _roots_in(self, values: list[ast.expr]) -> int:
        """Return under how many machines' homes or roots the texts of a display lie."""
        roots = set()
        for text in (t for value in values for t in _texts(value)):
            found = self.landscape.pattern.match(text)
            if found is not None:
                roots.add("/".join(text.split("/")[:3]))
        return len(roots)

    def _asks_machine(self, test: ast.expr, *, deep: bool = True) -> bool:
        """Whether a condition asks which machine this is: by name, by user, or by whose home is there."""
        asks_disk = False
        names_home = False
        for node in ast.walk(test):
            word = called(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""
            if word in _WHO or (word == "name" and ast.unparse(node) == "os.name") or (deep and word in self._answers):
                return True
            asks_disk = asks_disk or word in _TRIED or isinstance(node, ast.Compare) or word == "startswith"
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if node.value in _WHO_VARIABLES or node.value in self.landscape.names:
                    return True
                names_home = names_home or self.landscape.pattern.match(node.value) is not None
        return asks_disk and names_home


def _tries(node: ast.AST) -> bool:
    return any(isinstance(n, (ast.Name, ast.Attribute)) and called(n) in _TRIED for n in ast.walk(node))


def _texts(node: ast.expr) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value
