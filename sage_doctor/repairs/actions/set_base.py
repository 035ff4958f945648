"""Sets an adapter's base in the manifest, or in adapter_config.json with `--write-config`.

It adds one line to the manifest, or replaces the value in it, and keeps its layout; all other values are compared
before and after.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sage_doctor.errors import UsageError
from sage_doctor.facts.adapters import lora_tensors
from sage_doctor.facts.base_fit import why_not_base
from sage_doctor.findings.base_options import base_candidates, fitting_bases, known_bases
from sage_doctor.findings.candidates import table
from sage_doctor.manifest.quoting import string
from sage_doctor.manifest.toml_lines import loads, locate_keys
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.repairs.repair import Plan, RepairContext, RepairRefused, read_input, repair
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.named import find_named
from sage_doctor.system.file_steps import backup_name, undo_write, write_file
from sage_doctor.system.path_info import inspect_path
from sage_doctor.system.seen import see
from sage_doctor.text import join_limited, printable, shell_quote

MOST_BYTES = 1 << 20
CONFIG = "adapter_config.json"
_PATH_KEY = re.compile(r"""^(?P<before>[ \t]*(?:(?:"[^"\n]*"|'[^'\n]*'|[A-Za-z0-9_-]+)[ \t]*\.[ \t]*)*)path[ \t]*=""")
_BASE = re.compile(r"""\bbase["']?[ \t]*=[ \t]*("(?:[^"\\\n]|\\.)*"|'[^'\n]*')""")
_INLINE_PATH = re.compile(r"""\bpath[ \t]*=[ \t]*(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*')""")


@repair(
    name="set-base",
    codes=["adapter-base-missing", "adapter-base-unset", "adapter-base-relative"],
    after=["download"],
    disproved_by=["adapter-shape-mismatch", "adapter-keys-unmatched", "adapter-base-broken"],
)
def plan_set_base(context: RepairContext) -> Plan:
    """Sets an adapter's base in the manifest, or with --write-config in adapter_config.json."""
    model = context.model
    choices = known_bases(model) if context.base is None else [_given(model, context.base)]
    if len(choices) != 1:
        raise RepairRefused(_question(model, choices))
    if context.options.write_config:
        return _in_config(context, choices[0])
    if model.spec is None or model.host.manifest is None:
        raise RepairRefused(
            f"there is no manifest to write {printable(str(choices[0]))} into. Run `sage-doctor init`, or use "
            f"--write-config to write it into {CONFIG} (the old file is kept)."
        )
    return _in_manifest(context, choices[0], model.host.manifest.path)


def _given(model: Model, text: str) -> Path:
    """Return the directory that the user named as the base. Raises `RepairRefused` if it cannot be one."""
    try:
        base = find_named(text, model.host, model.siblings)
    except UsageError as error:
        raise RepairRefused(str(error)) from error
    shown = printable(text)
    if not base.found:
        if base.hub is None:
            raise RepairRefused(f"{shown} ({printable(str(base.path))}) is not on this machine.")
        raise RepairRefused(
            f"{shown} is not in the Hugging Face cache. First: `hf download {shell_quote(base.hub.repo_id)}`."
        )
    if os.path.realpath(base.path) == os.path.realpath(model.path):
        raise RepairRefused(f"{shown} is the adapter itself. Name the model it was trained on.")
    if "adapter_config.json" in base.tree.names:
        raise RepairRefused(f"{shown} is an adapter. Merge it into its own base first, and name the result.")
    if "config.json" not in base.tree.names:
        what = "has no config.json" if inspect_path(base.path).kind == "directory" else "is not a directory"
        raise RepairRefused(f"{shown} {what}.")
    misfit = why_not_base(base.path, lora_tensors(model.tensors.values()))
    if misfit:
        raise RepairRefused(f"{shown} cannot be its base: {misfit}.")
    return base.path


def _question(model: Model, choices: list[Path]) -> str:
    name = shell_quote(model.name)
    if not choices:
        fitting = [_value(model, p) for p in fitting_bases(model)[:5]]
        only = "the only model here that it fits is" if len(fitting) == 1 else "models here that it fits are"
        known = f"; {only} {join_limited(fitting)}: confirm, then" if fitting else ". Then"
        return (
            "no local model is known to be its base (matching shapes do not prove it)"
            f"{known} `sage-doctor fix {name} --base {shell_quote(fitting[0]) if len(fitting) == 1 else 'BASE'}`"
        )
    options = "".join(f"\n  base = {_string(_value(model, path))}" for path in choices)
    return (
        f"several models may be its base. Use --base BASE, or write one of these under "
        f"{table(model.name)} in the manifest:{options}"
    )


def _value(model: Model, path: Path) -> str:
    """Return how the manifest refers to a directory: a model's name, else a relative path, else the path itself."""
    real = os.path.realpath(path)
    for other in model.siblings.values():
        if other.spec is not None and other is not model and other.found and os.path.realpath(other.path) == real:
            return other.name
    cached = next((c for c in model.host.cached_models if os.path.realpath(c.snapshot) == real), None)
    if cached is not None:
        return f"hf:{cached.repo_id}"
    manifest = model.host.manifest
    if manifest is not None and path.is_relative_to(manifest.path.parent):
        return "./" + str(path.relative_to(manifest.path.parent))
    return str(path)


def _string(text: str) -> str:
    """Return a TOML string. Raises `RepairRefused` for a path that no manifest can hold."""
    try:
        return string(text)
    except ValueError as error:
        raise RepairRefused(f"{printable(text)} cannot be named in a manifest: {error}. Rename it.") from error


def _in_manifest(context: RepairContext, base: Path, path: Path) -> Plan:
    model = context.model
    path = Path(os.path.realpath(path))
    there = see(path)
    old = read_input(path, MOST_BYTES + 1).decode("utf-8", "surrogateescape")
    value = _value(model, base)
    new = with_base(old, model.name, value)
    if new == old:
        raise RepairRefused(f"{value} is its base in the manifest already.")
    if new is None:
        raise RepairRefused(
            f"{printable(str(path))}: the base cannot be added without changing something else. "
            f"Write base = {_string(value)} under {table(model.name)} by hand."
        )
    return Plan(
        action=f"set the base of {model.name} in the manifest: {value} ({_origin(context, base)})",
        reads=(str(path),),
        writes=(str(path),),
        write_bytes=len(_encoded(new)),
        unchanged=f"all other lines of the manifest, and the model's files (also {CONFIG})",
        undo=f"take out of {path} what the change below puts in",
        seen=(see(base),),
        diff=_diff(path.name, old, new),
        apply=lambda _on_progress: write_file(path, _encoded(new), seen=there),
    )


def _origin(context: RepairContext, base: Path) -> str:
    if context.base is not None:
        return "given by --base"
    model, real = context.model, os.path.realpath(base)
    found = next((c for c in base_candidates(model) if os.path.realpath(c.path) == real), None)
    return found.why if found is not None else "the path in the adapter's configuration"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _diff(name: str, old: str, new: str) -> tuple[str, ...]:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), f"a/{name}", f"b/{name}", lineterm="", n=1)
    return tuple(lines)


def with_base(text: str, model: str, base: str) -> str | None:
    """Return the manifest with the model's base set and all else unchanged, or None if that is not possible."""
    wanted = _parsed(text)
    models = wanted.get("models") if wanted is not None else None
    own = models.get(model) if isinstance(models, dict) else None
    if wanted is None or not isinstance(own, dict):
        return None
    attempts = _replacements if "base" in own else _attempts
    own["base"] = base
    return next((new for new in attempts(text, model, base) if _parsed(new) == wanted), None)


def _replacements(text: str, model: str, base: str) -> Iterator[str]:
    """Yield the text with the value of `base` in its line replaced; the caller takes the first valid one."""
    lines = text.splitlines(keepends=True)
    at = locate_keys(text).of(("models", model, "base"))
    line = lines[at - 1] if at <= len(lines) else ""
    for found in _BASE.finditer(line):
        yield "".join([*lines[: at - 1], line[: found.start(1)], _string(base), line[found.end(1) :], *lines[at:]])


def _attempts(text: str, model: str, base: str) -> Iterator[str]:
    """Yield the text with the line in possible places; the caller takes the first valid one."""
    lines = text.splitlines(keepends=True)
    known = locate_keys(text)
    setting = f"base = {_string(base)}"
    at = known.of(("models", model, "path"))
    line = lines[at - 1] if at <= len(lines) else ""
    inline = _INLINE_PATH.search(line)
    key = _PATH_KEY.match(line)
    if key is not None:
        yield _with_line(lines, at, key["before"] + setting)
    if inline is not None:
        yield "".join([*lines[: at - 1], line[: inline.end()], f", {setting}", line[inline.end() :], *lines[at:]])
    head = known.of(("models", model))
    indent = re.match(r"[ \t]*", lines[head - 1] if head <= len(lines) else "")
    yield _with_line(lines, head, (indent[0] if indent else "") + setting)


def _with_line(lines: list[str], after: int, new: str) -> str:
    """Return the text with a line added after line `after` (from 1), with the same line ending."""
    before = lines[:after]
    end = "\r\n" if before and before[-1].endswith("\r\n") else "\n"
    if before and not before[-1].endswith("\n"):
        before[-1] += end
    return "".join([*before, new + end, *lines[after:]])


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return None


def _in_config(context: RepairContext, base: Path) -> Plan:
    model = context.model
    path = model.path / CONFIG
    there = see(path)
    file = read_json_object(path)
    if file.value is None or inspect_path(path).is_link:
        raise RepairRefused(
            f"{printable(str(path))} cannot be changed: {printable(file.problem) or 'it is a symbolic link'}."
        )
    new = json.dumps({**file.value, "base_model_name_or_path": str(base)}, indent=2, ensure_ascii=False) + "\n"
    data = new.encode("utf-8", "surrogatepass")
    backup = backup_name(path)
    return Plan(
        action=f"set the base of the adapter in {CONFIG}: {base} ({_origin(context, base)})",
        reads=(str(path),),
        writes=(str(path), f"{backup} (the old file)"),
        write_bytes=len(data),
        unchanged="all other values of the configuration, and the weights",
        undo_commands=(undo_write(path, backup),),
        seen=(see(base),),
        diff=_diff(CONFIG, json.dumps(file.value, indent=2, ensure_ascii=False), new),
        apply=lambda _on_progress: write_file(path, data, backup=backup, seen=there),
    )
