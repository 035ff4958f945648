"""What the functions of Python's libraries do with a path, by their names; and what a handler or a branch does."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from sage_doctor.paths.find.folding import called_name
from sage_doctor.paths.find.reference import Need

# Calls and methods that return the path that they get, in another form.
SAME_PATH = frozenset(
    {
        "Path", "PosixPath", "PurePath", "PurePosixPath", "str", "fspath", "join", "abspath", "expanduser",
        "expandvars", "realpath", "normpath", "resolve", "absolute", "joinpath", "as_posix", "as_uri", "with_name",
        "with_suffix", "format", "strip", "rstrip", "get", "getenv", "list", "tuple", "sorted", "dict", "dirname",
        "fsencode", "field", "Field", "fsdecode", "append", "extend", "quote", "setdefault",
    }
)  # fmt: skip
READING = frozenset(
    {
        "from_pretrained", "read_text", "read_bytes", "read_json", "read_csv", "read_parquet", "read_yaml", "load",
        "safe_load", "load_file", "load_model", "load_dataset", "load_adapter", "load_state_dict",
        "load_checkpoint", "load_tokenizer", "load_from_disk", "loadtxt", "safe_open", "from_file", "from_json",
        "from_single_file", "iterdir", "listdir", "scandir", "chdir", "stat", "lstat", "getsize", "run", "Popen",
        "call", "check_call", "check_output", "execv", "execvp", "execve", "system", "popen", "create_subprocess_exec",
        "create_subprocess_shell", "run_path", "spec_from_file_location", "CDLL", "Llama", "AutoModel", "pipeline",
        "LLM", "SentenceTransformer", "imread", "read", "from_config_file", "from_gguf", "load_lora_weights",
        "readlink", "read_index", "WhisperModel", "InferenceSession", "CrossEncoder", "initialize_config_dir",
    }
)  # fmt: skip
_CREATING = frozenset(
    {
        "mkdir", "makedirs", "touch", "write", "write_text", "write_bytes", "save", "save_pretrained", "save_model",
        "save_file", "savez", "savetxt", "savefig", "to_csv", "to_json", "to_parquet", "to_excel", "FileHandler",
        "RotatingFileHandler", "TimedRotatingFileHandler", "basicConfig", "connect", "SummaryWriter", "symlink",
        "symlink_to", "mkdtemp", "mkstemp", "NamedTemporaryFile", "TemporaryDirectory", "TrainingArguments", "imwrite",
        "snapshot_download", "hf_hub_download", "urlretrieve", "extractall", "rmtree", "rename", "mkfifo",
        "dump", "save_to_disk", "push", "disk_usage", "unlink", "remove",
    }
)  # fmt: skip
_MAKING = re.compile(r"(?:create|make|ensure|prepare)\w*(?:dir|folder|path)", re.IGNORECASE)
TESTING = frozenset(
    {
        "exists", "is_dir", "is_file", "isdir", "isfile", "lexists", "is_mount", "ismount", "access", "glob", "rglob",
        "iglob", "walk", "is_symlink", "islink",
    }
)  # fmt: skip
STARTING = frozenset(
    {
        "run", "Popen", "call", "check_call", "check_output", "system", "popen", "getoutput", "getstatusoutput",
        "create_subprocess_shell", "create_subprocess_exec",
    }
)  # fmt: skip
_STARTERS = frozenset({"subprocess", "sp", "asyncio", "self", "cls", "trio", "anyio"})
COPYING = frozenset({"copy", "copy2", "copyfile", "copytree", "move", "replace", "link"})
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_EXITING = frozenset({"exit", "_exit", "abort", "fail", "quit", "die", "error"})
_MOST_STATEMENTS = 50
OPENING = frozenset({"open", "fdopen", "gzopen"})
_SAYING = frozenset({"print", "info", "debug", "warning", "warn", "error", "exception", "critical", "log", "write"})


def creates(name: str) -> bool:
    """Whether a function makes what it is given, by its name."""
    return name in _CREATING or _MAKING.search(name) is not None


def starts_program(function: ast.expr) -> bool:
    """Whether what is called can start a program by its command: `run(x)`, `subprocess.run(x)`, not `agent.run(x)`."""
    name = called_name(function)
    if not isinstance(function, ast.Attribute) or name not in ("run", "call"):
        return name in STARTING
    return called_name(function.value) in _STARTERS


def opens_to_write(call: ast.Call) -> bool:
    """Whether a call of `open`, the function or the method, has a mode that makes the file."""
    mode = next((k.value for k in call.keywords if k.arg == "mode"), None)
    values = [a.value for a in ([mode] if mode is not None else call.args) if isinstance(a, ast.Constant)]
    return any(isinstance(v, str) and len(v) <= 3 and set(v) & set("wax") for v in values)


def tests_for_a_file(test: ast.expr) -> bool:
    """Whether a condition asks if a file is there."""
    return any(isinstance(n, ast.Call) and called_name(n.func) in TESTING for n in ast.walk(test))


def is_alternative(statement: ast.stmt | ast.expr, above: ast.AST | None) -> bool:
    """Whether an assignment gives a name one of two values, by a test for a file: then neither is needed for sure."""
    if not isinstance(above, ast.If) or not isinstance(statement, ast.Assign):
        return False
    if len(above.body) + len(above.orelse) > _MOST_STATEMENTS or not tests_for_a_file(above.test):
        return False
    wanted = ast.dump(statement.targets[0])
    both = [[s for s in branch if isinstance(s, ast.Assign)] for branch in (above.body, above.orelse)]
    return all(any(ast.dump(s.targets[0]) == wanted for s in branch) for branch in both)


def goes_on(handler: ast.ExceptHandler) -> bool:
    """Whether a handler has another way: it does more than to say what is wrong, and does not end the program."""
    if any(ends(s) for s in handler.body):
        return False
    return not all(_only_says(s) for s in handler.body)


def is_tried(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Whether a node is below a `try` that has another way, or one whose failure is suppressed."""
    child, parent = node, parents.get(node)
    imports = isinstance(node, (ast.Import, ast.ImportFrom))  # what the file does is not caught as an ImportError
    while parent is not None and not isinstance(parent, (*FUNCTIONS, ast.Lambda)):
        handlers = parent.handlers if isinstance(parent, ast.Try) and child in parent.body else []
        if any(goes_on(h) for h in handlers if not (imports and is_for_imports(h))):
            return True
        if isinstance(parent, ast.With) and any("suppress" in ast.dump(i.context_expr) for i in parent.items):
            return True
        child, parent = parent, parents.get(parent)
    return False


def is_for_imports(handler: ast.ExceptHandler) -> bool:
    """Whether a handler catches a failed import, and nothing that a missing path raises."""
    return handler.type is not None and called_name(handler.type) in ("ImportError", "ModuleNotFoundError")


def what_a_branch_says(body: list[ast.stmt]) -> set[Need]:
    """Return what the branch for a missing path says about it: one that ends, or says so and gives up, needs it.

    A branch that only says so leaves it to what follows.
    """
    if any(map(ends, body)):
        return {"needed"}
    if not any(isinstance(s, ast.Expr) for s in body) or not all(map(_only_says, body)):
        return {"optional"}
    return {"needed"} if isinstance(body[-1], ast.Return) else set()


def _only_says(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Return):
        value = statement.value
        return value is None or (isinstance(value, ast.Constant) and value.value in (None, False, 1))
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and called_name(call.func) in (*_SAYING, "print_exc")


def ends(statement: ast.stmt) -> bool:
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


def exits(statement: ast.stmt) -> bool:
    """Whether a statement ends the program in any case, well or not, or makes another one of it."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call):
        return False
    name, on = called_name(call.func), called_name(getattr(call.func, "value", call.func))
    if name in ("exit", "_exit", "quit", "abort"):
        return on in ("sys", "os", name)
    return name.startswith("exec") and on == "os"


def is_own(function: ast.expr) -> bool:
    """Whether what is called can be a function of the module: `load(x)` and `self.load(x)`, not `torch.load(x)`."""
    return isinstance(function, ast.Name) or called_name(getattr(function, "value", function)) in ("self", "cls")


def is_truth(call: ast.AST, argument: ast.AST) -> bool:
    """Whether a call only says if its argument is true: `bool(x.exists())`."""
    return isinstance(call, ast.Call) and argument in call.args and called_name(call.func) in ("bool", "all", "any")


def what_a_test_says(call: ast.Call, parents: Mapping[ast.AST, ast.AST]) -> set[Need]:
    """Return what a test for existence says: a program that ends where the path is missing needs it."""
    node: ast.AST = call
    parent = parents.get(node)
    negated, above_or = False, None
    while parent is not None and (isinstance(parent, (ast.UnaryOp, ast.BoolOp)) or is_truth(parent, node)):
        negated = negated or (isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not))
        if isinstance(parent, ast.BoolOp) and isinstance(parent.op, ast.Or):
            above_or = parent
        node, parent = parent, parents.get(parent)
    if isinstance(parent, ast.Assert) and node is parent.test:
        return set() if negated else {"needed"}
    if above_or is not None and exits(ast.Expr(above_or.values[-1])):
        return {"needed"}
    if isinstance(parent, ast.If) and node is parent.test:
        above = parents.get(parent)
        if isinstance(above, ast.If) and parent in above.orelse and tests_for_a_file(above.test):
            return {"optional"}  # one of several that are tried
        return what_a_branch_says(parent.body if negated else parent.orelse)
    return set() if isinstance(parent, (ast.Call, ast.FormattedValue, ast.Expr)) else {"optional"}
