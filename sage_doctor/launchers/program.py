"""Where a value in a Python script comes from: followed through the script and the project's modules that it imports.

The forms are those that people's launchers have: constants, variables, parameters and what calls pass for them,
defaults of `add_argument`, of `os.environ.get` and of dataclasses, attributes of `self`, dictionaries, configuration
files, and functions that return one of these. The order of statements is not looked at: what is assigned twice has two
values.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sage_doctor.launchers.source import SCOPES, Function, Source, called_name, in_main_guard, keyword

MOST_VALUES: Final = 16
_DEEPEST: Final = 40
_MOST_STEPS: Final = 4000
# Methods that return the object they are called on, or the same path in another form.
SAME: Final = frozenset(
    {"to", "eval", "half", "cuda", "cpu", "float", "bfloat16", "train", "expanduser", "resolve", "absolute", "as_posix"}
)
NOTHING: Final = ast.Constant(value=None)


@dataclass(frozen=True, eq=False)
class Origin:
    """An expression that a value comes from, and the file it is in."""

    node: ast.expr
    source: Source


@dataclass(eq=False)
class Program:
    """A script with the project's modules that it imports, started with the options `given`.

    `read_config` gives the content of a file as an expression. `defaults_hold`: what a default says (of an option, the
    environment, a parameter or field that nobody passes) is what a run has; else it may have something else as well.
    """

    main: Source
    modules: dict[Path, Source]
    given: Mapping[str, str]
    read_config: Callable[[Origin], ast.expr | None] = lambda _: None
    defaults_hold: bool = True
    _busy: set[ast.AST] = field(default_factory=set)
    _steps: int = 0

    def origins(self, node: ast.expr, source: Source) -> tuple[list[Origin], bool]:
        """Return the expressions that a value comes from, and whether these are all."""
        self._steps += 1
        if node in self._busy:
            return [], True  # `path = Path(path)`: the other assignments say what it is
        if len(self._busy) > _DEEPEST or self._steps > _MOST_STEPS:
            return [], False
        self._busy.add(node)
        try:
            return self._origins(node, source)
        finally:
            self._busy.discard(node)

    def _all(self, found: Sequence[tuple[ast.expr, Source]], *, known: bool = True) -> tuple[list[Origin], bool]:
        origins: list[Origin] = []
        for node, source in found:
            more, complete = self.origins(node, source)
            origins += more
            known = known and complete
        return origins[:MOST_VALUES], known and len(origins) <= MOST_VALUES

    def _origins(self, node: ast.expr, source: Source) -> tuple[list[Origin], bool]:
        if isinstance(node, ast.Name):
            return self._of_name(node, source)
        if isinstance(node, ast.Attribute):
            return self._of_attribute(node, source)
        if isinstance(node, ast.Subscript) and not (
            isinstance(node.value, ast.Attribute) and node.value.attr == "parents"
        ):
            return self._entries(node.value, node.slice, None, source)
        if isinstance(node, ast.IfExp):
            return self._all([(node.body, source), (node.orelse, source)])
        if isinstance(node, ast.BoolOp):
            # `os.environ.get("MODEL") or DEFAULT`: what only the user's environment knows is not the code's word.
            found = [self.origins(v, source) for v in node.values]
            origins = [o for origins, _ in found for o in origins]
            said = [o for o in origins if not _is_empty(o.node)]  # `config or {}`
            return (said or origins)[:MOST_VALUES], any(known for _, known in found)
        if isinstance(node, ast.NamedExpr):
            return self.origins(node.value, source)
        if isinstance(node, ast.Call):
            return self._of_call(node, source)
        return [Origin(node, source)], True

    def _of_name(self, node: ast.Name, source: Source) -> tuple[list[Origin], bool]:
        scope = source.above(node, SCOPES)
        while scope is not None:
            values = [(v, source) for v in source.assigned.get((scope, node.id), ())]
            if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef)):
                given = self._given(scope, node.id, source)
                if given is not None:
                    passed, known = given
                    return self._all([*passed, *values], known=known)
            if values:
                return self._all(values)
            scope = source.above(scope, SCOPES)
        inside = source.above(node, ast.ClassDef)
        for place in (inside, None):
            values = [(v, source) for v in source.assigned.get((place, node.id), ())]
            if values:
                return self._all(values)
        there = self._imported(node.id, source)
        if there is not None and there[1] is not None:
            return self._all([(v, there[0]) for v in there[0].assigned.get((None, there[1]), ())])
        return ([Origin(node, source)], True) if node.id == "__file__" else ([], False)

    def _imported(self, name: str, source: Source) -> tuple[Source, str | None] | None:
        path, inner = source.imports.get(name, (None, None))
        module = self.modules.get(path) if path is not None else None
        return (module, inner) if module is not None else None

    def definition(self, name: str, source: Source) -> tuple[Function | ast.ClassDef, Source] | None:
        """Return the project's function or class that a name means in a file."""
        there = self._imported(name, source)
        module, inner = there if there is not None and there[1] is not None else (source, name)
        found = module.defined(inner or name)
        return (found, module) if found is not None else None

    def _given(
        self, function: Function, name: str, source: Source
    ) -> tuple[list[tuple[ast.expr, Source]], bool] | None:
        """Return what calls pass for a parameter, or its default where none passes it; None if it is not one."""
        arguments = function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        names = [a.arg for a in positional]
        keywords = [a.arg for a in arguments.kwonlyargs]
        if name not in (*names, *keywords):
            return None
        padded = [None] * (len(names) - len(arguments.defaults)) + list(arguments.defaults)
        default = dict(zip([*names, *keywords], [*padded, *arguments.kw_defaults], strict=True))[name]
        owner = source.parents.get(function)
        method = isinstance(owner, ast.ClassDef)
        called = owner.name if isinstance(owner, ast.ClassDef) and function.name == "__init__" else function.name
        index = names.index(name) - method if name in names else None
        found: list[tuple[ast.expr, Source]] = []
        known = True
        calls = [(c, s) for s in (self.main, *self.modules.values()) for c in s.calls.get(called, ())]
        calls = [(c, s) for c, s in calls if s is self.main or not in_main_guard(c, s)]
        for call, where in calls:
            value = keyword(call, name)
            if value is None and index is not None and len(call.args) > index >= 0:
                value = call.args[index]
            value = value if value is not None else default
            if value is not None:
                found.append((value, where if value is not default else source))
            else:
                known = False
        if not calls:
            return ([(default, source)], self.defaults_hold) if default is not None else ([], False)
        return found, known

    def _of_attribute(self, node: ast.Attribute, source: Source) -> tuple[list[Origin], bool]:
        if node.attr == "parent":
            return [Origin(node, source)], True
        owner = called_name(node.value) if isinstance(node.value, ast.Name) else ""
        if owner in ("self", "cls"):
            inside = source.above(node, ast.ClassDef)
            return self._field(inside, node.attr, source) if isinstance(inside, ast.ClassDef) else ([], False)
        there = self._imported(owner, source)
        if there is not None and there[1] is None:
            return self._all([(v, there[0]) for v in there[0].assigned.get((None, node.attr), ())], known=True)
        definition = self.definition(owner, source) if owner else None
        if definition is not None and isinstance(definition[0], ast.ClassDef):
            return self._field(definition[0], node.attr, definition[1])
        for origin in self.origins(node.value, source)[0]:
            made = called_name(origin.node.func) if isinstance(origin.node, ast.Call) else ""
            definition = self.definition(made, origin.source) if made else None
            if definition is not None and isinstance(definition[0], ast.ClassDef):
                return self._field(definition[0], node.attr, definition[1])
        options = source.options.get(node.attr) or self.main.options.get(node.attr, [])
        where = source if node.attr in source.options else self.main
        if options and node.attr in self.given:
            return [Origin(ast.Constant(value=self.given[node.attr]), self.main)], True
        defaults = [keyword(call, "default") or NOTHING for call in options]
        # An option that must be given has no value that the code knows; one without a default is often filled later.
        return self._all([(d, where) for d in defaults], known=bool(options) and self.defaults_hold)

    def _field(self, owner: ast.ClassDef, name: str, source: Source) -> tuple[list[Origin], bool]:
        """Return an attribute's value: what methods assign, what calls pass for a field, or the class's own."""
        own = [(v, source) for v in source.assigned.get((owner, f".{name}"), ())]
        if own:
            return self._all(own)
        calls = [(c, s) for s in (self.main, *self.modules.values()) for c in s.calls.get(owner.name, ())]
        passed = [(v, s) for c, s in calls if (v := keyword(c, name)) is not None]
        values = [(v, source) for v in source.assigned.get((owner, name), ())]
        return self._all(passed or values, known=bool(passed) or (bool(values) and self.defaults_hold))

    def _of_call(self, node: ast.Call, source: Source) -> tuple[list[Origin], bool]:
        name = called_name(node.func)
        if isinstance(node.func, ast.Attribute) and name in SAME and not isinstance(node.func.value, ast.Constant):
            return self.origins(node.func.value, source)
        if name in ("getenv", "get", "pop", "setdefault"):
            names = (called_name(n) for n in ast.walk(node.func) if isinstance(n, ast.expr))
            environment = name == "getenv" or any("environ" in n for n in names)
            default = node.args[1] if len(node.args) > 1 else keyword(node, "default")
            if environment:
                known = default is not None and self.defaults_hold
                return self._all([(default, source)] if default is not None else [], known=known)
            if isinstance(node.func, ast.Attribute) and node.args:
                return self._entries(node.func.value, node.args[0], default or NOTHING, source)
        definition = self.definition(name, source) if isinstance(node.func, ast.Name) else self._method(node, source)
        if definition is not None and not isinstance(definition[0], ast.ClassDef):
            inside, where = definition
            values = [n.value for n in ast.walk(inside) if isinstance(n, ast.Return) and n.value is not None]
            return self._all([(v, where) for v in values], known=bool(values))
        return [Origin(node, source)], True

    def _method(self, node: ast.Call, source: Source) -> tuple[Function | ast.ClassDef, Source] | None:
        """Return the method of the same class, or the function of an imported module, that a call names."""
        if not isinstance(node.func, ast.Attribute) or not isinstance(node.func.value, ast.Name):
            return None
        if node.func.value.id in ("self", "cls"):
            owner = source.above(node, ast.ClassDef)
            body = owner.body if isinstance(owner, ast.ClassDef) else []
            own = [
                n for n in body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) and n.name == node.func.attr
            ]
            return (own[0], source) if own else None
        there = self._imported(node.func.value.id, source)
        found = there[0].defined(node.func.attr) if there is not None and there[1] is None else None
        return (found, there[0]) if found is not None and there is not None else None

    def _entries(
        self, holder: ast.expr, key: ast.expr, default: ast.expr | None, source: Source
    ) -> tuple[list[Origin], bool]:
        """Return what a dictionary has under a key, every value if the key is not known."""
        held, known = self.origins(holder, source)
        keys = [o.node.value for o in self.origins(key, source)[0] if isinstance(o.node, ast.Constant)]
        keys = [k for k in keys if k is not None]
        found: list[tuple[ast.expr, Source]] = []
        for origin in held:
            if isinstance(origin.node, ast.Constant) and origin.node.value is None:
                continue  # the default of a parameter
            node = origin.node if isinstance(origin.node, ast.Dict) else self.read_config(origin)
            if not isinstance(node, ast.Dict):
                known = False
                continue
            pairs = [(k.value, v) for k, v in zip(node.keys, node.values, strict=True) if isinstance(k, ast.Constant)]
            there = [(v, origin.source) for k, v in pairs if not keys or k in keys]
            found += there or ([(default, source)] if default is not None else [])
        if not held and default is not None:  # `config.get("model_path", DEFAULT)` of a configuration nobody passes
            return self._all([(default, source)], known=known)
        return self._all(found, known=known and bool(found))


def _is_empty(node: ast.expr) -> bool:
    nothing = isinstance(node, ast.Constant) and node.value in (None, "")
    return nothing or (isinstance(node, ast.Dict) and not node.keys)
