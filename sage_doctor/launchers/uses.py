"""The models that a Python script loads, as its own code and the modules of the project that it imports write them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from sage_doctor.launchers.code import Code
from sage_doctor.launchers.program import Program
from sage_doctor.launchers.source import Function, Source, called_name, keyword
from sage_doctor.launchers.values import Values
from sage_doctor.readers.python_source import parse_file
from sage_doctor.system.frozen import frozen

_MOST_MODULES: Final = 12
# Parts of a model that are loaded beside it.
_PARTS: Final = re.compile(r"Tokenizer|Processor|Config|FeatureExtractor", re.IGNORECASE)
_NAMED: Final = ("pretrained_model_name_or_path", "model", "model_name", "model_id", "model_path")


@frozen
class ModelUse:
    """One call that loads a model, and the texts that it may be given.

    `known` says that there are no others than `texts`. `adapter` is True where PEFT loads it, onto one of `bases`:
    empty where there may be others than the code names.
    """

    texts: tuple[str, ...]
    known: bool
    adapter: bool = False
    bases: tuple[str, ...] = ()


def models_loaded(
    script: Path,
    code: Code,
    *,
    home: Path,
    roots: tuple[Path, ...],
    options: Mapping[str, str] | None = None,
    sources: dict[Path, Source | None] | None = None,
    defaults_hold: bool = True,
) -> list[ModelUse]:
    """Return the loads of a script and of what it imports, one level deep; none where it loads no model.

    `options` are those of the command line that starts it: they count instead of the defaults. `sources` keeps what was
    parsed for the next script. Without `defaults_hold`, what is only a default is not all that a run may load.
    """
    parsed = sources if sources is not None else {}
    main = _source(script, code, parsed)
    if main is None:
        return []
    paths = list(dict.fromkeys(path for path, _ in main.imports.values()))[:_MOST_MODULES]
    modules = {p: s for p in paths if p != script and (s := _source(p, code, parsed)) is not None}
    program = Program(main=main, modules=modules, given=options or {}, defaults_hold=defaults_hold)
    values = Values(program, home, roots)
    program.read_config = values.config
    loads = [(call, main) for call in _loads(main.parents)]
    for name, (path, inner) in main.imports.items():
        module = modules.get(path)
        if module is not None:
            loads += [(c, module) for node in _reached(name, inner, main, module) for c in _loads(ast.walk(node))]
    return _uses(list(dict.fromkeys(loads)), program, values)


def _source(path: Path, code: Code, sources: dict[Path, Source | None]) -> Source | None:
    if path not in sources:
        tree = parse_file(path)
        sources[path] = _with_imports(Source(path=path, tree=tree), code) if tree is not None else None
    return sources[path]


def _with_imports(source: Source, code: Code) -> Source:
    path = source.path
    for node in source.parents:
        if isinstance(node, ast.Import):
            for alias in node.names:
                there = code.module(alias.name, path)
                if there is not None:
                    source.imports[alias.asname or alias.name.partition(".")[0]] = (there, None)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            for alias in node.names:
                inner = code.module(f"{base}.{alias.name}", path) if base or node.level else None
                there = inner or (code.module(base, path) if base else None)
                if there is not None and there != path:
                    source.imports[alias.asname or alias.name] = (there, None if inner else alias.name)
    return source


def _reached(name: str, inner: str | None, main: Source, module: Source) -> list[ast.AST]:
    """Return the functions and classes of a module that the script's use of an imported name can reach."""
    top: dict[str, Function | ast.ClassDef] = {
        n.name: n for n in module.tree.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    }
    waiting = [inner] if inner is not None else []
    if inner is None:
        waiting = [n.attr for n in main.parents if isinstance(n, ast.Attribute) and called_name(n.value) == name]
    found: dict[str, ast.AST] = {}
    while waiting:
        node = top.get(word := waiting.pop())
        if node is not None and word not in found:
            found[word] = node
            waiting += [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
    return list(found.values())


def _loads(nodes: Iterable[ast.AST]) -> Iterator[ast.Call]:
    for inner in nodes:
        if not isinstance(inner, ast.Call):
            continue
        name = called_name(inner.func)
        if name == "from_pretrained" and isinstance(inner.func, ast.Attribute):
            if _PARTS.search(called_name(inner.func.value)) is None:
                yield inner
        elif name in ("pipeline", "LLM") and isinstance(inner.func, ast.Name):
            yield inner


def _uses(loads: list[tuple[ast.Call, Source]], program: Program, values: Values) -> list[ModelUse]:
    bases: dict[ast.AST, set[ast.AST]] = {}
    found: dict[ast.AST, ModelUse] = {}
    for call, source in loads:
        adapter = "peft" in called_name(call.func.value).lower() if isinstance(call.func, ast.Attribute) else False
        argument, below = _arguments(call, adapter=adapter)
        if argument is None:
            continue
        texts, known = values.texts(argument, source)
        under: tuple[str, ...] = ()
        onto, sure = program.origins(below, source) if below is not None else ([], True)
        for origin in onto:
            own = origin.node is call  # `model = PeftModel.from_pretrained(model, …)`
            if isinstance(origin.node, ast.Call) and not own and called_name(origin.node.func) == "from_pretrained":
                base = _arguments(origin.node, adapter=False)[0]
                named, complete = values.texts(base, origin.source) if base is not None else ((), False)
                sure = sure and complete
                if set(named) != set(texts):  # `from_pretrained(BASE or MODEL)` loads the model itself
                    under += named
                    bases.setdefault(call, set()).add(origin.node)
        under = tuple(dict.fromkeys(under)) if sure else ()
        found[call] = ModelUse(texts=texts, known=known, adapter=adapter, bases=under)
    # Two adapters that one variable names are not each other's base.
    under_one = {base for call, onto in bases.items() for base in onto if call not in bases.get(base, ())}
    return list(dict.fromkeys(use for call, use in found.items() if call not in under_one))


def _arguments(call: ast.Call, *, adapter: bool) -> tuple[ast.expr | None, ast.expr | None]:
    """Return what a call loads, and what it loads that onto."""
    name = called_name(call.func)
    if name == "pipeline":
        return keyword(call, "model") or (call.args[1] if len(call.args) > 1 else None), None
    plain = adapter and "Auto" not in called_name(
        call.func.value if isinstance(call.func, ast.Attribute) else call.func
    )
    if plain:
        second = call.args[1] if len(call.args) > 1 else keyword(call, "model_id")
        return second, (call.args[0] if call.args else keyword(call, "model"))
    return (call.args[0] if call.args else keyword(call, *_NAMED)), None
