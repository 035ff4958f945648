"""What a Python script says of adapters and bases: `PeftModel.from_pretrained(from_pretrained(BASE), ADAPTER)`.

The source is parsed, never run. Followed are names that are assigned one string (or one load) in the script,
`os.path.join`, `Path(…) / "…"`, `str(…)` and `resolve("…")`; whatever else is computed is not guessed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sage_doctor.system.path_info import UnreadableFile, read_start

_MOST_BYTES = 1 << 20
_DEEPEST = 8
_PEFT = ("PeftModel", "PeftMixedModel")


@dataclass(frozen=True, kw_only=True)
class AdapterLoad:
    """One load of an adapter onto a base, as the script names both: a path, a repository, or a manifest's name."""

    base: str
    adapter: str
    line: int


def loads_in(script: Path) -> list[AdapterLoad]:
    """Return the loads in a script; none where it cannot be read or is not Python."""
    try:
        raw = read_start(script, _MOST_BYTES)
        tree = ast.parse(raw)
    except (UnreadableFile, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return list(_loads(tree)) if b"from_pretrained" in raw else []


def _loads(tree: ast.Module) -> Iterator[AdapterLoad]:
    known = _assigned(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not _is_peft_load(node):
            continue
        words = [*node.args, *(k.value for k in node.keywords if k.arg in ("model", "model_id"))]
        if len(words) < 2:
            continue
        base, adapter = _loaded(words[0], known), _text(words[1], known)
        if base and adapter:
            yield AdapterLoad(base=base, adapter=adapter, line=node.lineno)


def _assigned(tree: ast.Module) -> Mapping[str, ast.expr]:
    """Return what each name is assigned, where it is assigned once in the whole script."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
            targets = [node.target]
        elif isinstance(node, (ast.AugAssign, ast.For)):
            targets = [node.target, node.target]  # computed: two values are none
        for target in targets:
            if isinstance(target, ast.Name) and (value := getattr(node, "value", None) or getattr(node, "iter", None)):
                found.setdefault(target.id, []).append(value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _is_peft_load(node: ast.Call) -> bool:
    if not isinstance(node.func, ast.Attribute) or node.func.attr != "from_pretrained":
        return False
    owner = node.func.value
    name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
    return name in _PEFT


def _loaded(node: ast.expr, known: Mapping[str, ast.expr], depth: int = 0) -> str | None:
    """Return the text that the model in an expression was loaded from: also behind `.to(…)`, `.eval()` and the like."""
    if depth > _DEEPEST:
        return None
    if isinstance(node, ast.Name):
        return _loaded(known[node.id], known, depth + 1) if node.id in known else None
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or _is_peft_load(node):
        return None
    if node.func.attr != "from_pretrained":
        return _loaded(node.func.value, known, depth + 1)
    named = [k.value for k in node.keywords if k.arg == "pretrained_model_name_or_path"]
    return _text((node.args or named)[0], known) if node.args or named else None


def _text(node: ast.expr, known: Mapping[str, ast.expr], depth: int = 0) -> str | None:
    """Return the string that an expression stands for, None where it is not written in the script."""
    if depth > _DEEPEST:
        return None
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return _text(known[node.id], known, depth + 1) if node.id in known else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return _joined([node.left, node.right], known, depth)
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("str", "Path", "resolve", "expanduser", "fspath") and len(node.args) == 1:
            return _text(node.args[0], known, depth + 1)
        if name == "join" and len(node.args) > 1:
            return _joined(node.args, known, depth)
    return None


def _joined(parts: list[ast.expr], known: Mapping[str, ast.expr], depth: int) -> str | None:
    """Return the parts as one path; a start that is computed becomes `…`, so that the end still tells."""
    texts = [_text(part, known, depth + 1) for part in parts]
    if any(text is None for text in texts[1:]):
        return None
    return "/".join(text.rstrip("/") for text in (texts[0] or "…", *texts[1:]) if text)
