"""A Python program with the modules of its project that it imports: what of them a run comes to, and in which case.

A run comes to a function where what it comes to names it, and to a module where it imports it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from sage_doctor.paths.find.bindings import nodes_and_parents, once_per_module
from sage_doctor.paths.find.calls import FUNCTIONS, starts_program
from sage_doctor.paths.find.checkout import Checkout
from sage_doctor.paths.find.folding import called_name
from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.python_script import PythonModule
from sage_doctor.paths.find.reference import PathReference, are_opposite
from sage_doctor.system.path_info import inspect_path

_CALLING_BY_NAME = frozenset({"globals", "locals", "Fire"})
_IMPORTING = frozenset({"import_module", "__import__"})
_REPLACING = frozenset({"execv", "execve", "execvp", "execvpe", "execl", "execlp", "run_path", "spawn"})
_SCRIPTS = (".py", ".sh")

_LEADING = (ast.Import, ast.ImportFrom, ast.Call, ast.Name, ast.Attribute, *FUNCTIONS)  # to functions and modules
_ACTING = (ast.Expr, ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)

Scope = ast.AST | None  # a function; None is the module's own


class _Module:
    """One module. `scopes` are the nodes of each function's own, `defined` the functions by name or by their class."""

    def __init__(self, path: Path, parsed: PythonModule) -> None:
        self.path, self.parsed = path, parsed
        self.imports: dict[ast.AST, list[Path]] = {}
        self.known: dict[str, Path] = {}  # modules, by the last name that they have here
        self.names: dict[str, tuple[Path, str]] = {}  # names from modules
        self.stars: list[Path] = []
        self.scopes, self.defined = _scopes_and_functions(parsed.folding.module)
        self.calls_and_imports = _calls_and_imports(parsed.folding.module)


@once_per_module
def _scopes_and_functions(module: ast.Module) -> tuple[dict[Scope, list[ast.AST]], dict[str, list[ast.AST]]]:
    """Return what of each function's own may lead somewhere, and the functions by name or by their class."""
    scopes: dict[Scope, list[ast.AST]] = {}
    defined: dict[str, list[ast.AST]] = {}
    within: dict[ast.AST, Scope] = {}
    nodes, parents = nodes_and_parents(module)
    for node in nodes:
        above = parents.get(node)
        body = isinstance(above, FUNCTIONS) and isinstance(node, ast.stmt)
        within[node] = above if body else within.get(above) if above is not None else None
        if isinstance(node, _LEADING):
            scopes.setdefault(within[node], []).append(node)
        if isinstance(node, FUNCTIONS):
            scopes.setdefault(node, [])
            defined.setdefault(above.name if isinstance(above, ast.ClassDef) else node.name, []).append(node)
    return scopes, defined


@once_per_module
def _calls_and_imports(module: ast.Module) -> list[ast.AST]:
    return [n for n in nodes_and_parents(module)[0] if isinstance(n, (ast.Import, ast.ImportFrom, ast.Call))]


class PythonProgram:
    """The program that starts with `file`. Raises `ValueError` if that cannot be parsed."""

    def __init__(self, raw: bytes, file: Path, path_map: PathMap, checkout: Checkout) -> None:
        self._path_map, self._checkout = path_map, checkout
        self._roots = [file.parent, checkout.directory, checkout.directory / "src"]
        started = file in checkout.started
        main = _Module(file, PythonModule(raw, path_map, file, program=True, started=started))
        self._modules: dict[Path, _Module | None] = {file: main}
        self._found: dict[tuple[Path, str], list[Path]] = {}
        waiting = [main]
        for module in waiting:  # grows: the nearest first
            self._roots[1:1] = [p for p in _import_places(module) if p not in self._roots]
            for target in self._imports(module):
                if target not in self._modules:
                    self._modules[target] = found = self._parsed(target)
                    waiting += [found] if found is not None else []
        for module in self._all():
            self._link(module)
        self._reach(main)

    def references(self) -> Iterator[tuple[Path, list[PathReference]]]:
        """Yield the references of each module that a run comes to. What it starts is left to the checkout."""
        for module in self._all():
            if None in module.parsed.usages.reached:
                yield module.path, module.parsed.references()
                self._start(module)

    def _all(self) -> list[_Module]:
        return [m for m in self._modules.values() if m is not None]

    def _parsed(self, path: Path) -> _Module | None:
        raw = self._checkout.read(path)
        try:
            return _Module(path, PythonModule(raw, self._path_map, path, program=True, main=False)) if raw else None
        except (ValueError, RecursionError):
            return None

    def _imports(self, module: _Module) -> Iterator[Path]:
        """Note what a module imports of the project, and yield it."""
        for node in module.calls_and_imports:
            found: list[Path] = []
            if isinstance(node, ast.Import):
                for alias in node.names:
                    files = self._resolve(alias.name)
                    found += files
                    if files:
                        module.known[alias.asname or alias.name.rpartition(".")[2]] = files[-1]
            elif isinstance(node, ast.ImportFrom):
                found = self._imports_from(node, module)
            elif isinstance(node, ast.Call) and called_name(node.func) in _IMPORTING and node.args:
                text = module.parsed.folding.fold(node.args[0])
                found = self._resolve(text.text) if text is not None else []
            if found:
                module.imports[node] = found
                yield from found

    def _imports_from(self, node: ast.ImportFrom, module: _Module) -> list[Path]:
        base = self._resolve(node.module or "", node.level, module.path)
        found = [*base]
        for alias in node.names:
            bound, name = alias.asname or alias.name, f"{node.module or ''}.{alias.name}".strip(".")
            inner = self._resolve(name, node.level, module.path)
            if inner and inner[:-1] == base:
                module.known[bound] = inner[-1]
                found.append(inner[-1])
            elif base and alias.name == "*":
                module.stars.append(base[-1])
            elif base:
                module.names[bound] = (base[-1], alias.name)
        return found

    def _resolve(self, dotted: str, level: int = 0, importer: Path | None = None) -> list[Path]:
        """Return the files that the import of a module runs: those of its packages, and its own; none if not found."""
        parts = dotted.split(".") if dotted else []
        if level and importer is not None:
            return self._below(importer.parents[min(level, len(importer.parents)) - 1], parts)
        return next((found for root in self._roots if (found := self._below(root, parts))), []) if parts else []

    def _below(self, root: Path, parts: Sequence[str]) -> list[Path]:
        known = root, ".".join(parts)
        if known not in self._found:
            self._found[known] = self._looked_up(root, parts)
        return self._found[known]

    def _looked_up(self, root: Path, parts: Sequence[str]) -> list[Path]:
        files, place = [], root
        if not parts:
            init = self._checkout.find([root / "__init__.py"])
            return [init] if init is not None else []
        for part in parts[:-1]:
            place /= part
            if inspect_path(place).kind != "directory":
                # Another result follows if it comes, also as a package without __init__.py.
                self._checkout.find([place / "__init__.py", root.joinpath(*parts[:-1], f"{parts[-1]}.py")])
                return []
            init = self._checkout.find([place / "__init__.py"])
            files += [init] if init is not None else []
        last = self._checkout.find([place / parts[-1] / "__init__.py", place / f"{parts[-1]}.py"])
        return [*files, last] if last is not None else []

    def _link(self, module: _Module) -> None:
        """Tell modules who uses their names, and a module what the names are that it takes from others."""
        parsed = module.parsed
        for bound, (path, name) in module.names.items():
            other = self._modules.get(path)
            if other is not None:
                other.parsed.needs.importers.append((parsed.needs, name, bound))
                parsed.folding.taken[bound] = (other.parsed.folding, name)
                parsed.needs.taken[bound] = (other.parsed.needs, name)
        for bound, path in module.known.items():
            other = self._modules.get(path)
            if other is not None:
                other.parsed.needs.importers.append((parsed.needs, "", bound))
                parsed.folding.modules[bound] = other.parsed.folding
        for path in module.stars:
            other = self._modules.get(path)
            if other is not None:
                other.parsed.needs.importers.append((parsed.needs, "*", ""))

    def _reach(self, main: _Module) -> None:
        """Go through all that a run comes to from the program's own statements."""
        waiting: list[tuple[_Module, Scope, str]] = [(main, None, "")]
        if not any(isinstance(s, _ACTING) for s in main.parsed.body if not _is_text(s)):
            waiting += [(main, f, "") for f in main.scopes if f is not None]  # whoever imports it calls them
        while waiting:
            module, scope, condition = waiting.pop()
            reached = module.parsed.usages.reached
            known = reached.get(scope)
            if known is not None and (not known or (condition and not are_opposite(known, condition))):
                continue
            reached[scope] = condition if known is None else ""
            for node in module.scopes.get(scope, ()):
                targets = self._targets(module, node)
                branch = module.parsed.usages.branch_of(node) if targets else None
                if branch is not None and branch.taken:
                    waiting += [(m, s, branch.condition) for m, s in targets]

    def _targets(self, module: _Module, node: ast.AST) -> list[tuple[_Module, Scope]]:
        """Return the modules and functions that a run comes to by a node."""
        if node in module.imports:
            tried = module.parsed.needs.need_of_step(node) == "optional"
            return [(m, None) for p in module.imports[node] if (m := self._modules.get(p)) is not None and not tried]
        if isinstance(node, FUNCTIONS) and node.decorator_list:
            return [(module, node)]
        if isinstance(node, (ast.Name, ast.Attribute)) and called_name(node) in _CALLING_BY_NAME:
            return [(module, f) for functions in module.defined.values() for f in functions]
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            return self._functions(module, node.id)
        if isinstance(node, ast.Attribute):
            path = module.known.get(called_name(node.value))
            other = self._modules.get(path) if path is not None else None
            return self._functions(other, node.attr) if other is not None else []
        return []

    def _functions(self, module: _Module, name: str, depth: int = 0) -> list[tuple[_Module, Scope]]:
        """Return the functions that a module knows by a name, its own or another's; all of a class, by the class."""
        if name in module.defined:
            return [(module, f) for f in module.defined[name]]
        places = [module.names[name]] if name in module.names else [(p, name) for p in module.stars]
        others = [(m, n) for p, n in places if (m := self._modules.get(p)) is not None and depth < len(self._modules)]
        return [found for m, n in others for found in self._functions(m, n, depth + 1)]

    def _start(self, module: _Module) -> None:
        """Leave the scripts of the project that a module starts to the checkout."""
        usages = module.parsed.usages
        for node in module.calls_and_imports:
            if not isinstance(node, ast.Call):
                continue
            if not starts_program(node.func) and called_name(node.func) not in _REPLACING:
                continue
            branch, path = usages.branch_of(node), self._script(module, node)
            if path is not None and branch.taken and module.parsed.needs.need_of_step(node) == "needed":
                self._checkout.start(path, branch.condition)

    def _script(self, module: _Module, call: ast.Call) -> Path | None:
        words: list[str] = []
        for argument in call.args:
            for element in argument.elts if isinstance(argument, (ast.List, ast.Tuple)) else [argument]:
                folded = module.parsed.folding.fold(element)
                words += folded.text.split() if folded is not None else []
        starts = [self._checkout.directory, module.path.parent]
        for before, word in zip(["", *words], words, strict=False):
            if before == "-m":
                return next(iter(self._resolve(word)[-1:]), None)
            if word.endswith(_SCRIPTS):
                return self._checkout.find([start / word for start in starts])
        return None


def _import_places(module: _Module) -> list[Path]:
    """Return the directories that a module adds to `sys.path`."""
    found = []
    for node in module.calls_and_imports:
        if isinstance(node, ast.Call) and called_name(node.func) in ("insert", "append", "addsitedir") and node.args:
            on = called_name(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            folded = module.parsed.folding.fold(node.args[-1]) if on in ("path", "site") else None
            found += [Path(folded.text)] if folded is not None and folded.text.startswith("/") else []
    return found


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
