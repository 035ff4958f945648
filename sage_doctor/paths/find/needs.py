"""Whether a Python program needs a path to exist: the path is followed through names to the calls that use it.

Names count in the whole module, whatever function they are in. What is passed on to other modules is judged by the
name of the parameter.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cached_property

from sage_doctor.paths.find.folding import called_name
from sage_doctor.paths.find.reference import Need
from sage_doctor.paths.find.usages import UsageAnalysis
from sage_doctor.paths.find.words import need_of_name, strongest

_DEEPEST = 60
# Calls and methods that return the path that they get, in another form.
_SAME_PATH = frozenset(
    {
        "Path", "PosixPath", "PurePath", "PurePosixPath", "str", "fspath", "join", "abspath", "expanduser", "expandvars",
        "realpath", "normpath", "resolve", "absolute", "joinpath", "as_posix", "as_uri", "with_name", "with_suffix",
        "format", "strip", "rstrip", "get", "getenv", "list", "tuple", "sorted", "dict", "dirname", "fsencode",
        "fsdecode", "append", "extend", "quote", "setdefault",
    }
)  # fmt: skip
_READING = frozenset(
    {
        "from_pretrained", "read_text", "read_bytes", "read_json", "read_csv", "read_parquet", "read_yaml", "load",
        "safe_load", "loads", "load_file", "load_model", "load_dataset", "load_adapter", "load_state_dict",
        "load_checkpoint", "load_tokenizer", "load_from_disk", "loadtxt", "safe_open", "from_file", "from_json",
        "from_single_file", "iterdir", "listdir", "scandir", "chdir", "stat", "lstat", "getsize", "run", "Popen", "call",
        "check_call", "check_output", "execv", "execvp", "execve", "system", "popen", "create_subprocess_exec",
        "create_subprocess_shell", "run_path", "spec_from_file_location", "CDLL", "Llama", "AutoModel", "pipeline",
        "LLM", "SentenceTransformer", "imread", "read", "from_config_file", "from_gguf", "load_lora_weights", "readlink",
    }
)  # fmt: skip
_CREATING = frozenset(
    {
        "mkdir", "makedirs", "touch", "write", "write_text", "write_bytes", "save", "save_pretrained", "save_model",
        "save_file", "savez", "savetxt", "savefig", "to_csv", "to_json", "to_parquet", "to_excel", "FileHandler",
        "RotatingFileHandler", "TimedRotatingFileHandler", "basicConfig", "connect", "SummaryWriter", "symlink",
        "symlink_to", "mkdtemp", "mkstemp", "NamedTemporaryFile", "TemporaryDirectory", "TrainingArguments", "imwrite",
        "snapshot_download", "hf_hub_download", "urlretrieve", "extractall", "ensure_dir", "rmtree", "rename", "mkfifo",
        "dump", "save_to_disk", "push", "disk_usage", "unlink", "remove",
    }
)  # fmt: skip
_TESTING = frozenset(
    {
        "exists", "is_dir", "is_file", "isdir", "isfile", "lexists", "is_mount", "ismount", "access", "glob", "rglob",
        "iglob", "walk", "is_symlink", "islink",
    }
)  # fmt: skip
_COPYING = frozenset({"copy", "copy2", "copyfile", "copytree", "move", "replace", "link"})
_EXITING = frozenset({"exit", "_exit", "abort", "fail", "quit", "die", "error"})
_OPENING = frozenset({"open", "fdopen", "gzopen"})
_SAYING = frozenset({"print", "info", "debug", "warning", "warn", "error", "exception", "critical", "log", "write"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class NeedAnalysis:
    """The needs of one module's paths."""

    def __init__(self, analysis: UsageAnalysis) -> None:
        self._parents, self._nodes = analysis.parents, analysis.nodes

    def need_of(self, node: ast.AST) -> Need:
        """Return whether the program needs the path that is the value of `node`."""
        found: set[Need] = set()
        names: set[str] = set()
        self._follow(node, found, names, set())
        need = strongest(found)
        return need if need != "unknown" else strongest({need_of_name(n) for n in names})

    @cached_property
    def _loads(self) -> dict[str, list[ast.expr]]:
        """The places where a variable or attribute is read, by its last name."""
        found: dict[str, list[ast.expr]] = defaultdict(list)
        for node in self._nodes:
            if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
                found[called_name(node)].append(node)
        return found

    @cached_property
    def _functions(self) -> dict[str, ast.arguments]:
        """The parameters of the functions and classes of this module, by name."""
        found: dict[str, ast.arguments] = {}
        for node in self._nodes:
            if isinstance(node, _FUNCTIONS):
                above = self._parents.get(node)
                own = isinstance(above, ast.ClassDef) and node.name == "__init__"
                found[above.name if own and isinstance(above, ast.ClassDef) else node.name] = node.args
        return found

    def _follow(self, node: ast.AST, found: set[Need], names: set[str], seen: set[object]) -> None:
        """Add what the uses of a value say, and the names that it gets on the way."""
        for _ in range(_DEEPEST):
            parent = self._parents.get(node)
            if parent is None or node in seen or len(seen) > 500:
                return
            seen.add(node)
            if isinstance(parent, ast.keyword):
                names.add(parent.arg or "")
                node, keyword = parent, parent.arg or ""
                parent = self._parents[node]
                if isinstance(parent, ast.Call) and self._argument(parent, node, keyword, found, names, seen):
                    return
            elif isinstance(parent, ast.Call):
                if node is parent.func or self._argument(parent, node, "", found, names, seen):
                    return
            elif isinstance(parent, ast.Attribute):
                above = self._parents.get(parent)
                if isinstance(above, ast.Call) and above.func is parent:
                    if self._called(above, parent.attr, found):
                        return
                    parent = above
            elif isinstance(parent, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr)):
                targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
                self._bound(targets, found, names, seen)
                if not isinstance(parent, ast.NamedExpr):
                    return
            elif isinstance(parent, (ast.For, ast.AsyncFor, ast.comprehension)):
                self._bound([parent.target], found, names, seen)
                return
            elif isinstance(parent, ast.arguments):
                self._default(parent, node, found, names, seen)
                return
            elif isinstance(parent, ast.Return):
                self._returned(parent, found, names, seen)
                return
            elif isinstance(parent, ast.Dict):
                keys = [k for k, v in zip(parent.keys, parent.values, strict=True) if v is node]
                names |= {str(k.value) for k in keys if isinstance(k, ast.Constant)}
                return  # what is done with other keys says nothing
            elif isinstance(parent, ast.List) and _option_before(parent, node):
                names.add(_option_before(parent, node))
                if need_of_name(_option_before(parent, node)) != "needed":
                    return
            elif isinstance(parent, (ast.stmt, ast.ExceptHandler)):
                return
            node = parent

    def _argument(
        self, call: ast.Call, node: ast.AST, keyword: str, found: set[Need], names: set[str], seen: set[object]
    ) -> bool:
        """Take what a call says about an argument. Return whether the path ends there."""
        name = called_name(call.func)
        if name in ("add_argument", "set_defaults", "add_option"):
            options = (
                [str(a.value) for a in call.args if isinstance(a, ast.Constant)]
                if name != "set_defaults"
                else [keyword]
            )
            names.discard("default")
            for option in options:
                names.add(option)
                self._uses(option.lstrip("-").replace("-", "_"), found, names, seen)
            return True
        if name in ("get", "getenv", "setdefault", "pop") and call.args and isinstance(call.args[0], ast.Constant):
            names.add(str(call.args[0].value))
            return False
        if name in _COPYING and call.args:
            found.add("created" if node is not call.args[0] else self._or_optional(call, "needed"))
            return True
        if name in self._functions and name not in _SAME_PATH:
            self._passed(self._functions[name], call, node, keyword, found, names, seen)
            return True
        if keyword and name not in _OPENING:
            said = need_of_name(keyword)
            if said != "unknown":
                found.add(said if said != "needed" else self._or_optional(call, said))
                return True
        if isinstance(call.func, ast.Attribute) and name in ("insert", "append", "extend") and _is_sys_path(call.func):
            return True
        return self._called(call, name, found)

    def _called(self, call: ast.Call, name: str, found: set[Need]) -> bool:
        """Take what the name of a called function says. Return whether the path ends there."""
        if name in _OPENING:
            found.add("created" if _opens_to_write(call) else self._or_optional(call, "needed"))
        elif name in _TESTING:
            found |= self._tested(call)
        elif name in _CREATING:
            found.add("created")
        elif name in _READING:
            found.add(self._or_optional(call, "needed"))
        else:
            return name not in _SAME_PATH
        return True

    def _or_optional(self, node: ast.AST, need: Need) -> Need:
        """Return `optional` for what happens below a `try` that has another way."""
        child, parent = node, self._parents.get(node)
        while parent is not None and not isinstance(parent, (*_FUNCTIONS, ast.Lambda)):
            if isinstance(parent, ast.Try) and child in parent.body and any(map(_goes_on, parent.handlers)):
                return "optional"
            if isinstance(parent, ast.With) and any("suppress" in ast.dump(i.context_expr) for i in parent.items):
                return "optional"
            child, parent = parent, self._parents.get(parent)
        return need

    def _tested(self, call: ast.Call) -> set[Need]:
        """Return what a test for existence says: a program that ends where the path is missing needs it."""
        node: ast.AST = call
        negated = False
        while isinstance(parent := self._parents.get(node), (ast.UnaryOp, ast.BoolOp)):
            negated = negated or (isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not))
            node = parent
        if isinstance(parent, ast.Assert) and node is parent.test:
            return set() if negated else {"needed"}
        if isinstance(parent, ast.If) and node is parent.test:
            return {"needed"} if any(map(_ends, parent.body if negated else parent.orelse)) else {"optional"}
        return set() if isinstance(parent, (ast.Call, ast.FormattedValue, ast.Expr)) else {"optional"}

    def _bound(self, targets: list[ast.expr], found: set[Need], names: set[str], seen: set[object]) -> None:
        for target in targets:
            for inner in [target, *(target.elts if isinstance(target, (ast.Tuple, ast.List)) else [])]:
                name = called_name(inner)
                if isinstance(inner, ast.Subscript) and isinstance(inner.slice, ast.Constant):
                    names.add(str(inner.slice.value))
                elif name:
                    names.add(name)
                    self._uses(name, found, names, seen)

    def _uses(self, name: str, found: set[Need], names: set[str], seen: set[object]) -> None:
        if name not in seen:
            seen.add(name)
            for use in self._loads.get(name, [])[:200]:
                self._follow(use, found, names, seen)

    def _passed(
        self,
        parameters: ast.arguments,
        call: ast.Call,
        node: ast.AST,
        keyword: str,
        found: set[Need],
        names: set[str],
        seen: set[object],
    ) -> None:
        known = [a.arg for a in (*parameters.posonlyargs, *parameters.args)]
        known = known[1:] if known[:1] in (["self"], ["cls"]) else known
        position = next((i for i, a in enumerate(call.args) if a is node), None)
        name = keyword or (known[position] if position is not None and position < len(known) else "")
        if name:
            names.add(name)
            self._uses(name, found, names, seen)

    def _default(
        self, parameters: ast.arguments, node: ast.AST, found: set[Need], names: set[str], seen: set[object]
    ) -> None:
        positional = [*parameters.posonlyargs, *parameters.args]
        pairs = list(zip(reversed(positional), reversed(parameters.defaults), strict=False))
        pairs += [(a, d) for a, d in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True) if d is not None]
        for argument, default in pairs:
            if default is node:
                names.add(argument.arg)
                self._uses(argument.arg, found, names, seen)

    def _returned(self, statement: ast.AST, found: set[Need], names: set[str], seen: set[object]) -> None:
        above = self._parents.get(statement)
        while above is not None and not isinstance(above, _FUNCTIONS):
            above = self._parents.get(above)
        if isinstance(above, _FUNCTIONS):
            names.add(above.name)
            for use in self._loads.get(above.name, [])[:200]:
                call = self._parents.get(use)
                if isinstance(call, ast.Call) and call.func is use:
                    self._follow(call, found, names, seen)


def _opens_to_write(call: ast.Call) -> bool:
    """Whether a call of `open`, the function or the method, has a mode that makes the file."""
    mode = next((k.value for k in call.keywords if k.arg == "mode"), None)
    values = [a.value for a in ([mode] if mode is not None else call.args) if isinstance(a, ast.Constant)]
    return any(isinstance(v, str) and len(v) <= 3 and set(v) & set("wax") for v in values)


def _goes_on(handler: ast.ExceptHandler) -> bool:
    """Whether a handler has another way: it does more than to say what is wrong, and does not end the program."""
    if any(_ends(s) for s in handler.body):
        return False
    return not all(_only_says(s) for s in handler.body)


def _only_says(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Return):
        value = statement.value
        return value is None or (isinstance(value, ast.Constant) and value.value in (None, False, 1))
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and called_name(call.func) in (*_SAYING, "print_exc")


def _ends(statement: ast.stmt) -> bool:
    """Whether a statement ends the program, or the work in hand, as a failure."""
    if isinstance(statement, ast.Raise):
        return True
    if isinstance(statement, ast.Return):
        value = statement.value
        return (
            isinstance(value, ast.Constant)
            and isinstance(value.value, int)
            and value.value > 0
            and value.value is not True
        )
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or called_name(call.func) not in _EXITING:
        return False
    return not (call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value in (0, None))


def _option_before(words: ast.List, node: ast.AST) -> str:
    """Return the option of a command whose value an element is; an empty text if there is none."""
    before = (
        words.elts[words.elts.index(node) - 1] if isinstance(node, ast.expr) and node is not words.elts[0] else None
    )
    text = before.value if isinstance(before, ast.Constant) else None
    return text if isinstance(text, str) and text.startswith("-") and "=" not in text else ""


def _is_sys_path(function: ast.Attribute) -> bool:
    return isinstance(function.value, ast.Attribute) and function.value.attr == "path"
