"""Whether a Python program needs a path to exist: the path is followed through names to the calls that use it.

A function's own variables count within it, all others in the whole module; other modules by their parameters' names.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile

from sage_doctor.paths.find import calls
from sage_doctor.paths.find.bindings import replaced_at
from sage_doctor.paths.find.folding import called_name, defaults_of
from sage_doctor.paths.find.reference import Need
from sage_doctor.paths.find.shell_programs import makes_what_follows
from sage_doctor.paths.find.usages import UsageAnalysis
from sage_doctor.paths.find.words import need_of_name, strongest

_DEEPEST = 60
_MOST_STEPS = 500
_MOST_USES = 200
_MOST_WORDS = 40
_OPTIONS = frozenset({"add_argument", "set_defaults", "add_option"})
_ASKING = frozenset({"get", "getenv", "setdefault", "pop"})


@dataclass
class _Trail:
    """What was met on the way of one path: what its uses say, its names, and what was seen already."""

    found: set[Need] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    seen: set[object] = field(default_factory=set)
    conditions: set[str] = field(default_factory=set)
    used: bool = False  # by a name
    several: bool = False  # one of several candidates: no name says that this one is needed


class NeedAnalysis:
    """The needs of one module's paths."""

    def __init__(self, analysis: UsageAnalysis, *, main: bool = True) -> None:
        self._analysis, self._parents, self._nodes, self._main = analysis, analysis.parents, analysis.nodes, main
        self.taken: dict[str, tuple[NeedAnalysis, str]] = {}  # names from other modules
        self.importers: list[tuple[NeedAnalysis, str, str]] = []  # a module, a name of this one, and its name there
        self._replaced = replaced_at(analysis.module)

    def need_of(self, node: ast.AST, *, by_name: bool = True) -> tuple[Need, str]:
        """Return whether the program needs the path in `node`, and where only; `by_name` if only names say so."""
        trail = _Trail()
        self._follow(node, trail)
        if trail.found or trail.several or not by_name or not (self._main or trail.used):
            return strongest(trail.found), min(trail.conditions, default="")
        return strongest({need_of_name(n) for n in trail.names}), ""

    def need_of_step(self, node: ast.AST) -> Need:
        """Return whether a run needs what a call or an import does, if it comes to it."""
        return self._or_optional(node, _Trail())

    def demanding_test(self, node: ast.AST) -> ast.Call | None:
        """Return the test for existence that asks for the path in `node` itself and ends the program without it."""
        for _ in range(_DEEPEST):
            parent = self._parents.get(node)
            if not isinstance(parent, (ast.Call, ast.Attribute)):
                return None
            if isinstance(parent, ast.Call) and called_name(parent.func) in calls.TESTING:
                return parent if calls.what_a_test_says(parent, self._parents) == {"needed"} else None
            node = parent
        return None

    @cached_property
    def _loads(self) -> dict[str, list[ast.expr]]:
        """The places where a variable or attribute is read, by its last name."""
        found: dict[str, list[ast.expr]] = defaultdict(list)
        for node in self._nodes:
            if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
                found[called_name(node)].append(node)
        return found

    @cached_property
    def functions(self) -> dict[str, ast.arguments]:
        """The parameters of the functions and classes of this module, by name."""
        found: dict[str, ast.arguments] = {}
        for node in self._nodes:
            if isinstance(node, calls.FUNCTIONS):
                above = self._parents.get(node) if node.name == "__init__" else None
                found[above.name if isinstance(above, ast.ClassDef) else node.name] = node.args
        return found

    @cached_property
    def _named_by(self) -> dict[ast.AST, ast.expr | None]:
        """The key of each value in a dict, and of each element of a list the one before."""
        found: dict[ast.AST, ast.expr | None] = {}
        for node in self._nodes:
            if isinstance(node, ast.Dict):
                found.update(zip(node.values, node.keys, strict=True))
            elif isinstance(node, ast.List):
                found.update(zip(node.elts[1:], node.elts, strict=False))
        return found

    def _follow(self, start: ast.AST, trail: _Trail) -> None:
        """Go up from a value for as long as what is around it is the same path."""
        node: ast.AST | None = start
        for _ in range(_DEEPEST):
            if node is None or node in trail.seen or len(trail.seen) > _MOST_STEPS:
                return
            trail.seen.add(node)
            parent = self._parents.get(node)
            if isinstance(parent, (ast.keyword, ast.Call, ast.Attribute)):
                node = self._in_call(node, parent, trail)
            elif isinstance(parent, (ast.Dict, ast.List)):
                node = self._in_display(node, parent, trail)
            elif isinstance(parent, ast.IfExp) and node is not parent.test and calls.tests_for_a_file(parent.test):
                trail.found.add("optional")
                node = parent
            elif parent is not None:
                node = self._in_statement(node, parent, trail)
            else:
                return

    def _in_call(self, node: ast.AST, parent: ast.AST, trail: _Trail) -> ast.AST | None:
        """Return where the path goes on from an argument, or from what a method is called on."""
        if isinstance(parent, ast.Attribute):
            above = self._parents.get(parent)
            if not isinstance(above, ast.Call) or above.func is not parent:
                return parent
            return above if self._goes_through(above, parent.attr, trail) else None
        call = self._parents[parent] if isinstance(parent, ast.keyword) else parent
        keyword = (parent.arg or "") if isinstance(parent, ast.keyword) else ""
        trail.names |= {keyword} - {""}
        if not isinstance(call, ast.Call) or node is call.func:
            return None
        return call if self._is_passed_on(call, parent if keyword else node, keyword, trail) else None

    def _is_passed_on(self, call: ast.Call, node: ast.AST, keyword: str, trail: _Trail) -> bool:
        """Take what a call says about an argument. Return whether its result is the same path."""
        name = called_name(call.func)
        if name in _OPTIONS:
            words = [str(a.value) for a in call.args if isinstance(a, ast.Constant)]
            trail.names.discard("default")
            for option in words if name != "set_defaults" else [keyword]:
                trail.names.add(option)
                self._uses(option.lstrip("-").replace("-", "_"), trail)
            return False
        if name in _ASKING and call.args and isinstance(call.args[0], ast.Constant):
            trail.names.add(str(call.args[0].value))
            return True
        if name in calls.COPYING and call.args:
            trail.found.add("created" if node is not call.args[0] else self._or_optional(call, trail))
            return False
        other, defined = self.taken.get(name, (self, name))
        if defined in other.functions and name not in calls.SAME_PATH and calls.is_own(call.func):
            other.follow_parameter(other.functions[defined], call, node, keyword, trail)
            return False
        said = need_of_name(keyword) if keyword and name not in calls.OPENING else "unknown"
        if said != "unknown":
            trail.found.add(self._or_optional(call, trail) if said == "needed" else said)
            return False
        on_list = isinstance(call.func, ast.Attribute) and name in ("insert", "append", "extend")
        return not on_list and self._goes_through(call, name, trail)

    def _goes_through(self, call: ast.Call, name: str, trail: _Trail) -> bool:
        """Take what the name of a called function says. Return whether its result is the same path."""
        if name in calls.OPENING:
            trail.found.add("created" if calls.opens_to_write(call) else self._or_optional(call, trail))
        elif name in calls.TESTING:
            trail.found |= calls.what_a_test_says(call, self._parents)
        elif calls.creates(name):
            trail.found.add("created")
        elif name in calls.READING and (name not in calls.STARTING or calls.starts_program(call.func)):
            trail.found.add(self._or_optional(call, trail))
        return name in calls.SAME_PATH

    def _in_statement(self, node: ast.AST, parent: ast.AST, trail: _Trail) -> ast.AST | None:
        """Return where the path goes on, if not by a name that it gets."""
        if isinstance(parent, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr)):
            targets: Sequence[ast.expr] = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
            if calls.is_alternative(parent, self._parents.get(parent)):
                trail.found.add("optional")
            self._bound(targets, trail, self._replaced.get(parent, ()))
            return parent if isinstance(parent, ast.NamedExpr) else None
        if isinstance(parent, (ast.For, ast.AsyncFor, ast.comprehension)):
            self._bound([parent.target], trail)
        elif isinstance(parent, ast.arguments):
            self._default(parent, node, trail)
        elif isinstance(parent, ast.Return):
            self._returned(parent, trail)
        elif not isinstance(parent, (ast.stmt, ast.ExceptHandler)):
            return parent
        return None

    def _or_optional(self, node: ast.AST, trail: _Trail) -> Need:
        """Return `needed`, or `optional` for what happens below a `try` that has another way.

        What this machine does not get to says nothing.
        """
        branch = self._analysis.branch_of(node)
        if not branch.taken:
            return "unknown"
        if calls.is_tried(node, self._parents):
            return "optional"
        trail.conditions.add(branch.condition)
        return "needed"

    def _bound(self, targets: Sequence[ast.expr], trail: _Trail, until: tuple[int, ...] = ()) -> None:
        for target in targets:
            for inner in [target, *(target.elts if isinstance(target, (ast.Tuple, ast.List)) else [])]:
                name = called_name(inner)
                scope = self._analysis.scope_of(inner) if isinstance(inner, ast.Name) else None
                if isinstance(inner, ast.Subscript) and isinstance(inner.slice, ast.Constant):
                    trail.names.add(str(inner.slice.value))
                elif name:
                    trail.names.add(name)
                    self._uses(name, trail, scope, until)

    def _uses(self, name: str, trail: _Trail, scope: ast.AST | None = None, until: tuple[int, ...] = ()) -> None:
        """Follow the uses of a name before a place; those in the function that it is local to, if it is."""
        if (self, name, scope) not in trail.seen:
            trail.seen.add((self, name, scope))
            uses = [u for u in self._loads.get(name, [])[:_MOST_USES] if not until or (u.lineno, u.col_offset) < until]
            trail.found |= {"optional"} if until and not uses else set()
            for use in uses:
                if scope is None or isinstance(use, ast.Attribute) or scope in self._analysis.functions_around(use):
                    trail.used = True
                    self._follow(use, trail)
            for other, known, bound in self.importers if scope is None else ():
                other.uses_of_module(name, known, bound, trail)

    def uses_of_module(self, name: str, known: str, bound: str, trail: _Trail) -> None:
        """Follow the uses of another module's name: by the name that it has here, or by the module's."""
        if known in (name, "*"):
            self._uses(bound or name, trail)
        elif not known:
            for use in self._loads.get(name, [])[:_MOST_USES]:
                if isinstance(use, ast.Attribute) and called_name(use.value) == bound:
                    trail.used = True
                    self._follow(use, trail)

    def follow_parameter(
        self, parameters: ast.arguments, call: ast.Call, node: ast.AST, keyword: str, trail: _Trail
    ) -> None:
        """Go on with the parameter of a function of this module."""
        known = [a.arg for a in (*parameters.posonlyargs, *parameters.args)]
        known = known[1:] if known[:1] in (["self"], ["cls"]) else known
        position = next((i for i, a in enumerate(call.args) if a is node), None)
        name = keyword or (known[position] if position is not None and position < len(known) else "")
        if name:
            trail.names.add(name)
            self._uses(name, trail)

    def _default(self, parameters: ast.arguments, node: ast.AST, trail: _Trail) -> None:
        for name in (name for name, default in defaults_of(parameters) if default is node):
            trail.names.add(name)
            self._uses(name, trail, self._parents.get(parameters))

    def _by_key(self, display: ast.Dict, key: object, trail: _Trail) -> None:
        """Follow the uses of a value by its key, where all of its dict are by keys: `D["model"]`."""
        above = self._parents.get(display)
        name = called_name(above.targets[0]) if isinstance(above, ast.Assign) else ""
        uses = [self._parents[u] for u in self._loads.get(name, [])[:_MOST_USES]]
        keyed = [u for u in uses if isinstance(u, ast.Subscript) and isinstance(u.slice, ast.Constant)]
        if keyed and len(keyed) == len(uses):
            here = [u for u in keyed if isinstance(u.slice, ast.Constant) and u.slice.value == key]
            trail.found |= {"optional"} if not here else set()
            for use in here:
                self._follow(use, trail)

    def _returned(self, statement: ast.AST, trail: _Trail) -> None:
        above = next(self._analysis.functions_around(statement), None)
        if isinstance(above, calls.FUNCTIONS):
            trail.names.add(above.name)
            for use in self._loads.get(above.name, [])[:_MOST_USES]:
                call = self._parents.get(use)
                if isinstance(call, ast.Call) and call.func is use:
                    self._follow(call, trail)

    def _in_display(self, node: ast.AST, parent: ast.Dict | ast.List, trail: _Trail) -> ast.AST | None:
        """Take the key or the option that names a value. What is done with the others says nothing."""
        before = self._named_by.get(node)
        option = before.value if isinstance(before, ast.Constant) else None
        if isinstance(parent, ast.Dict):
            trail.names |= {str(option)} if isinstance(before, ast.Constant) else set()
            self._by_key(parent, option, trail)
            return None
        words = takewhile(lambda e: e is not node, parent.elts[:_MOST_WORDS])
        if makes_what_follows(" ".join(str(getattr(w, "value", "")) for w in words)):
            trail.found.add("created")
            return None
        if isinstance(option, str) and option.startswith("-") and "=" not in option:
            trail.names.add(option)
            return parent if need_of_name(option) == "needed" else None
        trail.several = len(parent.elts) > 1 and not isinstance(self._parents.get(parent), ast.Call)
        return parent
