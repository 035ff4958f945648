"""What a text in a Python program is used for, judged by the names and statements around it."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from functools import cached_property

from sage_doctor.paths.find.branches import EXISTENCE, Branch, PythonTests, nested
from sage_doctor.paths.find.calls import exits, starts_program
from sage_doctor.paths.find.folding import Folding, called_name
from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.reference import ReferenceForm, UsageKind
from sage_doctor.paths.find.shell_elsewhere import runs_elsewhere
from sage_doctor.system.frozen import frozen

_QUERY_FUNCTIONS = frozenset(
    {
        "exists", "is_dir", "is_file", "isdir", "isfile", "islink", "lexists", "ismount", "is_mount", "access",
        "samefile", "startswith", "endswith", "removeprefix", "removesuffix", "replace", "relative_to",
        "is_relative_to", "match", "fullmatch", "search", "sub", "subn", "compile", "findall", "finditer", "fnmatch",
        "fnmatchcase", "split", "rsplit", "partition", "rpartition", "find", "rfind", "index", "count", "strip",
        "lstrip", "rstrip", "commonpath", "commonprefix",
    }
)  # fmt: skip
_OUTPUT_FUNCTIONS = frozenset(
    {
        "print", "pprint", "info", "debug", "warning", "warn", "error", "critical", "exception", "log", "echo",
        "secho", "fail", "skip", "xfail", "deprecated", "input", "add_parser",
    }
)  # fmt: skip
_HELP_KEYWORDS = frozenset(
    {"help", "description", "epilog", "usage", "metavar", "doc", "reason", "message", "msg", "prompt"}
)
_EXISTENCE_FUNCTIONS = EXISTENCE | {"access"}


@frozen
class Usage:
    """`shell` is set if a text is a command line; `form` if its position decides how it must be rewritten.

    `condition` is that of the branches that only a run decides.
    """

    kind: UsageKind
    shell: bool = False
    form: ReferenceForm | None = None
    condition: str = ""


_USED = Usage(kind="use")


class UsageAnalysis:
    """One module, of a `program` or alone; `main` if it is the one that is started.

    `reached` are the functions of a program's module that a run comes to, None for the module's own statements, each
    with the condition.
    """

    def __init__(self, folding: Folding, path_map: PathMap, *, program: bool = False, main: bool = True) -> None:
        self.path_map, self._program, self._imported = path_map, program, program and not main
        self.reached: dict[ast.AST | None, str] = {}
        self._dead: dict[ast.AST, frozenset[ast.AST]] = {}
        self.module, self.nodes, self.parents = folding.module, folding.nodes, folding.parents
        self._usages: dict[ast.AST, Usage] = {}
        self._kinds: dict[ast.AST, UsageKind] = {}
        self._keys: dict[ast.Dict, frozenset[ast.AST]] = {}
        self._tests = PythonTests(folding, path_map, main=main)

    @cached_property
    def _shared_names(self) -> frozenset[str]:
        """Variables that functions share with the module or with one another."""
        return frozenset(n for s in self.nodes if isinstance(s, (ast.Global, ast.Nonlocal)) for n in s.names)

    def scope_of(self, name: ast.Name) -> ast.AST | None:
        """Return the function that a bound variable is local to, None for one of the module."""
        return next(self.functions_around(name), None) if name.id not in self._shared_names else None

    def functions_around(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the functions that a node is in, the innermost first."""
        above = self.parents.get(node)
        while above is not None:
            if isinstance(above, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield above
            above = self.parents.get(above)

    @cached_property
    def _probed_lists(self) -> frozenset[str]:
        """Names of lists that are searched for an existing path, and list displays that are."""
        found = set()
        for node in self.nodes:
            loops: list[tuple[ast.expr, ast.expr, list[ast.AST]]] = []
            if isinstance(node, (ast.For, ast.AsyncFor)):
                loops = [(node.target, node.iter, list(node.body))]
            elif isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp)):
                loops = [(g.target, g.iter, [node.elt, *g.ifs]) for g in node.generators]
            for target, source, within in loops:
                if any(_checks_existence(part) for part in within) and isinstance(target, (ast.Name, ast.Tuple)):
                    found.add(source.id if isinstance(source, ast.Name) else f"#{id(source)}")
        return frozenset(found)

    @cached_property
    def _elsewhere_names(self) -> frozenset[str]:
        """Names of command lines that run elsewhere."""
        found = [n for n in self.nodes if isinstance(n, ast.Assign) and _runs_elsewhere(n.value)]
        return frozenset(called_name(t) for n in found for t in n.targets)

    def _is_elsewhere(self, before: ast.expr) -> bool:
        """Whether what a list or text is added to is a command line that runs elsewhere."""
        before = before.value if isinstance(before, ast.Attribute) and before.attr in ("append", "extend") else before
        return called_name(before) in self._elsewhere_names or _runs_elsewhere(before)

    def usage_of(self, node: ast.AST) -> Usage:
        """Return what the value of an expression is used for."""
        usage = self._usage_within(node)
        if not self._program or usage.kind in ("detection", "documentation"):
            return usage
        condition = self.reached.get(next(self.functions_around(node), None))
        # A module serves many programs: its defaults, and what it does only in some case, say nothing of this one.
        if condition is None or (self._imported and (usage.condition or usage.kind == "fallback")):
            return Usage(kind="detection")
        return dataclasses.replace(usage, condition=nested(condition, usage.condition)) if condition else usage

    def _usage_within(self, node: ast.AST) -> Usage:
        """Return what a value is used for where a run comes to the function that it is in."""
        path = []
        while node not in self._usages and (parent := self.parents.get(node)) is not None:
            path.append((node, parent))
            node = parent
        usage = self._usages.get(node, _USED)
        for child, parent in reversed(path):
            usage = self._usages[child] = self._narrowed(usage, child, parent)
        return usage

    def _narrowed(self, above: Usage, node: ast.AST, parent: ast.AST) -> Usage:
        """Return what a node is used for, where its parent's value is used for `above`."""
        found = self._between(node, parent)
        if found in ("detection", "documentation"):
            return Usage(kind=found)
        if above.kind in ("detection", "documentation"):
            return above
        branch = self._tests.branch(node, parent)
        if not branch.taken or (self._program and node in self._not_run(parent)):
            return Usage(kind="detection")
        call = parent if isinstance(parent, ast.Call) and node is not parent.func else None
        name = called_name(call.func) if call is not None else ""
        return Usage(
            kind="fallback" if found == "fallback" else above.kind,
            shell=above.shell or (call is not None and starts_program(call.func)),
            form="argparse" if name in ("add_argument", "set_defaults") else above.form,
            condition=nested(above.condition, branch.condition),
        )

    def _not_run(self, block: ast.AST) -> frozenset[ast.AST]:
        """Return the statements of a block behind one that ends it in any case."""
        if block not in self._dead:
            dead: set[ast.AST] = set()
            for name in ("body", "orelse", "finalbody"):
                statements = getattr(block, name, None)
                if isinstance(statements, list):
                    last = next((n for n, s in enumerate(statements) if self._ends_block(s)), len(statements))
                    dead.update(statements[last + 1 :])
            self._dead[block] = frozenset(dead)
        return self._dead[block]

    def _ends_block(self, statement: ast.stmt) -> bool:
        if isinstance(statement, (ast.If, ast.With)):
            decided = self._tests.decide(statement.test) if isinstance(statement, ast.If) else True
            orelse = statement.orelse if isinstance(statement, ast.If) else []
            taken = statement.body if decided else orelse
            return decided is not None and any(map(self._ends_block, taken))
        return isinstance(statement, (ast.Return, ast.Raise, ast.Break, ast.Continue)) or exits(statement)

    def branch_of(self, node: ast.AST) -> Branch:
        """Return whether this machine gets to the statement that a node is in."""
        above: ast.AST | None = node
        while above is not None and not isinstance(above, ast.stmt):
            above = self.parents.get(above)
        usage = self.usage_of(above) if above is not None else _USED
        return Branch(taken=usage.kind != "detection", condition=usage.condition)

    def _between(self, node: ast.AST, parent: ast.AST) -> UsageKind:
        """Return how a parent uses the child that contains the text."""
        if isinstance(parent, (ast.Compare, ast.match_case)) and not isinstance(node, ast.stmt):
            return "detection"
        if isinstance(parent, ast.Expr) and isinstance(node, (ast.Constant, ast.JoinedStr)):
            return "documentation"
        if isinstance(parent, ast.Call):
            return self._argument(node, parent)
        if isinstance(parent, ast.Attribute):
            above = self.parents.get(parent)
            env_program = isinstance(above, ast.Call) and above.func is parent and parent.attr in _QUERY_FUNCTIONS
            return "detection" if env_program else "use"
        if isinstance(parent, ast.keyword):
            return "documentation" if parent.arg in _HELP_KEYWORDS else "fallback" if parent.arg == "default" else "use"
        if isinstance(parent, ast.Subscript) and node is parent.slice:
            return "detection"  # a key, as those of HDF5
        if isinstance(parent, ast.Raise) or (isinstance(parent, ast.Assert) and node is parent.msg):
            return "documentation"
        other = isinstance(parent, ast.BoolOp) and isinstance(parent.op, ast.Or) and node is not parent.values[0]
        if isinstance(parent, ast.arguments) or other:
            return "fallback"
        return self._statement(node, parent)

    def _statement(self, node: ast.AST, parent: ast.AST) -> UsageKind:
        if isinstance(parent, (ast.AnnAssign, ast.arg, ast.FunctionDef)):
            typed = getattr(parent, "annotation", None), getattr(parent, "returns", None)
            return "documentation" if node in typed else "use"
        if isinstance(parent, ast.AugAssign) and self._is_elsewhere(parent.target):
            return "detection"
        if isinstance(parent, ast.BinOp) and node is parent.right and self._is_elsewhere(parent.left):
            return "detection"
        return "fallback" if isinstance(parent, ast.ExceptHandler) else self._display(node, parent)

    def _argument(self, node: ast.AST, call: ast.Call) -> UsageKind:
        if node is call.func:
            return "use"
        name = called_name(call.func)
        if name in _QUERY_FUNCTIONS or (name in ("append", "extend") and self._is_elsewhere(call.func)):
            return "detection"
        if name in _OUTPUT_FUNCTIONS:
            return "documentation"
        if (
            name == "write"
            and isinstance(call.func, ast.Attribute)
            and called_name(call.func.value) in ("stdout", "stderr")
        ):
            return "documentation"
        default = isinstance(node, ast.expr) and node is not call.args[0]  # a keyword is no expression
        return "fallback" if name in ("get", "getenv", "setdefault", "getattr") and default else "use"

    def _display(self, node: ast.AST, parent: ast.AST) -> UsageKind:
        """A table of machines or a list of candidates: which entry is used is not decided here."""
        if parent not in self._kinds:
            self._kinds[parent] = self._of_display(parent)
        return "detection" if isinstance(parent, ast.Dict) and node in self._dict_keys(parent) else self._kinds[parent]

    def _dict_keys(self, display: ast.Dict) -> frozenset[ast.AST]:
        if display not in self._keys:
            self._keys[display] = frozenset(k for k in display.keys if k is not None)
        return self._keys[display]

    def _of_display(self, parent: ast.AST) -> UsageKind:
        if isinstance(parent, ast.Dict):
            keys = {k.value for k in parent.keys if isinstance(k, ast.Constant) and isinstance(k.value, str)}
            if keys & self.path_map.machine_names or self._roots_in(parent.values) > 1:
                return "detection"
        if isinstance(parent, (ast.List, ast.Tuple, ast.Set)):
            above = self.parents.get(parent)
            named = above.targets if isinstance(above, ast.Assign) else []
            machine_names = {t.id for t in named if isinstance(t, ast.Name)} | {f"#{id(parent)}"}
            command = " ".join(e.value for e in parent.elts if isinstance(e, ast.Constant) and isinstance(e.value, str))
            if machine_names & self._probed_lists or self._roots_in(parent.elts) > 1 or runs_elsewhere(command):
                return "detection"
        return "use"

    def _roots_in(self, values: list[ast.expr]) -> int:
        """Return in how many machines' homes or roots the texts of a display are."""
        roots = set()
        for text in (t for value in values for t in _texts(value)):
            found = self.path_map.pattern.match(text)
            if found is not None:
                roots.add("/".join(text.split("/")[:3]))
        return len(roots)


def _checks_existence(node: ast.AST) -> bool:
    return any(
        isinstance(n, (ast.Name, ast.Attribute)) and called_name(n) in _EXISTENCE_FUNCTIONS for n in ast.walk(node)
    )


def _texts(node: ast.expr) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def _runs_elsewhere(command: ast.expr) -> bool:
    return isinstance(command, (ast.List, ast.Tuple, ast.Constant, ast.JoinedStr, ast.BinOp)) and runs_elsewhere(
        " ".join(_texts(command))
    )
