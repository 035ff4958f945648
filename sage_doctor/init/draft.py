"""What was found, as tables of a manifest: lines as a person would write them, every guess marked."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from sage_doctor.init.inventory import Inventory
from sage_doctor.init.pairs import BaseLink
from sage_doctor.init.portable_paths import escape_braces
from sage_doctor.init.roles import MOST_CANDIDATES, RoleFound
from sage_doctor.manifest.keys import SCHEMA
from sage_doctor.manifest.quoting import key, string, strings
from sage_doctor.text import printable

CHECK = "check this"
_IS_GLOB = re.compile(r"(?:\A|_)\*\.\w+\Z")  # as `roles` and `inventory` make them; a file's own name may have a *
_HEAD = f"""\
# The models that these machines are meant to run. `sage-doctor` compares this with what is there.
# Written by `sage-doctor init`. Guesses are marked "{CHECK}".
schema = {SCHEMA}
"""


def new_tables(inventory: Inventory) -> list[str]:
    """Return the new tables, one text each, in the order to write them."""
    blocks = [_HEAD] if inventory.is_new else []
    if inventory.host is not None:
        blocks.append(_this_host(inventory))
    blocks += [_other(inventory, number) for number in range(len(inventory.others))]
    blocks += [_role(inventory, role) for role in inventory.roles]
    blocks += [_model(inventory, name) for name in inventory.new]
    if inventory.lint:
        blocks.append(f"[lint]  # what starts the sessions\n{_list('paths', _globs(inventory, inventory.lint))}\n")
    return blocks


def _lines(*lines: str | None) -> str:
    return "".join(f"{line}\n" for line in lines if line is not None)


def _with_comment(line: str, remark: str) -> str:
    return f"{line:<43} # {printable(remark, limit=300)}"


def _this_host(inventory: Inventory) -> str:
    host = inventory.host
    assert host is not None  # the caller has looked
    match = hostname_line(host.hostname)
    mine = [r.name for r in inventory.roles if inventory.is_run_here(r)]
    python = (
        _with_comment(f"python = {string(host.python)}", f"{CHECK}: the Python that runs the sessions")
        if host.python
        else None
    )
    variable = inventory.variable
    return _lines(
        f"[machines.{key(host.name)}]",
        match if host.has_stable_name else _with_comment(match, f"{CHECK}: it looks generated and may change"),
        f"roles = {strings(mine)}" if inventory.roles and inventory.is_new else None,
        f"home = {string(host.home)}" if host.home else None,
        python
        or _with_comment('# python = "/path/to/bin/python"', "Python that runs the sessions (default: this one)"),
        _with_comment('# accelerator = "cuda"', "device type that sessions must run on: cuda, mps or cpu"),
        f"vars.{variable[0]} = {string(str(variable[1]))}" if variable else None,
    )


def hostname_line(hostname: str) -> str:
    """Return the line by which a machine is recognised; what a pattern would mean otherwise is escaped."""
    return f"match.hostname = {string(glob.escape(hostname))}"


def _other(inventory: Inventory, number: int) -> str:
    """Return another machine's table. It has the roles that its units, scripts and paths speak of, else none."""
    other = inventory.others[number]
    where = inventory.portable.text(other.file)
    its = [
        r.name
        for r in inventory.roles
        if other.name in r.machines or (not r.machines and inventory.is_home_of(other, r))
    ]
    roles = f"roles = {strings(its)}"
    return _lines(
        f"# Named in {printable(where, limit=200)}, line {other.line}",
        f"[machines.{key(other.name)}]",
        _with_comment(hostname_line(other.name), f"{CHECK}: what `hostname` prints there"),
        (roles if its else _with_comment(roles, f"{CHECK}: nothing in the code says which"))
        if inventory.roles and inventory.is_new
        else None,
        f"home = {string(other.home)}" if other.home else None,
        f"python = {string(other.python)}" if other.python else None,
    )


def _role(inventory: Inventory, role: RoleFound) -> str:
    candidates = role.candidates or tuple(n for n in inventory.new if not inventory.is_base(n))[:MOST_CANDIDATES]
    return _lines(
        f"[roles.{key(role.name)}]",
        _list("models", role.models)
        if role.models
        else _with_comment(f"# models = {strings(candidates)}", f"{CHECK}: the scripts do not say which of these"),
        _list("runners", _globs(inventory, role.runners)),
    )


def _globs(inventory: Inventory, patterns: Iterable[tuple[Path, str]]) -> list[str]:
    """Return globs from the manifest's directory; names of single files, and directories, match only themselves."""
    found = []
    for directory, pattern in patterns:
        place = inventory.portable.text(directory)
        start = glob.escape(place) + "/" if place != "." else ""
        found.append(start + (pattern if _IS_GLOB.search(pattern) else glob.escape(escape_braces(pattern))))
    return found


def _list(name: str, texts: Iterable[str]) -> str:
    texts = list(texts)
    line = f"{name} = {strings(texts)}"
    if len(line) <= 110:
        return line
    return "\n".join([f"{name} = [", *(f"    {string(t)}," for t in texts), "]"])


def _model(inventory: Inventory, name: str) -> str:
    model = inventory.models[name]
    lines: list[str | None] = [f"[models.{key(name)}]", f"kind = {string(model.kind)}"]
    if model.reference.hub is not None:
        at = f"@{model.reference.revision}" if model.reference.revision else ""
        line = f"path = {string(f'hf:{model.reference.hub}{at}')}"
        lines.append(line if model.found else _with_comment(line, f"{CHECK}: not in this machine's cache"))
    else:
        assert model.reference.path is not None  # a reference is one or the other
        line = f"path = {string(inventory.portable.text(model.reference.path))}"
        lines.append(line if model.found else _with_comment(line, "named by a launcher, not on this machine"))
    if model.kind == "adapter" and (model.found or inventory.bases.get(name)):
        lines.append(_base(inventory, name))
    if model.kind == "merged":
        lines.append(_recipe(inventory, name))
    return _lines(*lines)


def _base(inventory: Inventory, name: str) -> str | None:
    link = inventory.bases.get(name)
    if link is None:
        return _with_comment("# base = …", "the model it was trained on: not found here")
    return _link_line(f"base = {string(link.name)}", [link])


def _recipe(inventory: Inventory, name: str) -> str | None:
    pair = inventory.merges.get(name)
    if pair is None:
        return None
    base, adapter = pair
    if base is None:
        line = f'merge = {{ base = "…", adapter = {string(adapter.name)} }}'
        why = replace(adapter, why=f"{adapter.why}; name the base", sure=False)
        return _link_line(line, [why])
    return _link_line(f"merge = {{ base = {string(base.name)}, adapter = {string(adapter.name)} }}", [base, adapter])


def _link_line(line: str, links: Iterable[BaseLink]) -> str:
    """Return the line, commented out if it is a guess: repairs trust what the manifest says."""
    guessed = [t for t in links if not t.sure]
    if not guessed:
        return line
    others = [n for t in guessed for n in t.others]
    rest = f", or {', '.join(others)}" if others else ""
    return f"# {line}\n#     {CHECK}, then uncomment: {printable(guessed[0].why + rest, limit=300)}"
