"""What was found, as the tables of a manifest: each line one that a person would write, every guess marked."""

from __future__ import annotations

import glob
from collections.abc import Iterable

from sage_doctor.init.inventory import Inventory
from sage_doctor.init.pairs import BaseLink
from sage_doctor.init.portable_paths import braced
from sage_doctor.init.roles import RoleFound
from sage_doctor.manifest.keys import SCHEMA
from sage_doctor.manifest.quoting import key, string, strings
from sage_doctor.text import printable

CHECK = "check this"
_HEAD = f"""\
# What these machines are meant to run. `sage-doctor` holds it against what is really there.
# Written by `sage-doctor init`, which marks what it could not know for certain: search for "{CHECK}".
schema = {SCHEMA}
"""


def drafted(survey: Inventory) -> list[str]:
    """Return the new tables, one text each, in the order in which they are to stand."""
    blocks = [_HEAD] if survey.first else []
    if survey.host is not None:
        blocks.append(_this_host(survey))
    blocks += [_other(survey, number) for number in range(len(survey.others))]
    blocks += [_role(survey, role) for role in survey.roles]
    blocks += [_model(survey, name) for name in survey.new]
    return blocks


def _lines(*lines: str | None) -> str:
    return "".join(f"{line}\n" for line in lines if line is not None)


def _remarked(line: str, remark: str) -> str:
    return f"{line:<44}# {printable(remark, limit=300)}"


def _this_host(survey: Inventory) -> str:
    host = survey.host
    assert host is not None  # the caller has looked
    match = f"match.hostname = {string(glob.escape(host.hostname))}"
    roles = f"roles = {strings(r.name for r in survey.roles)}" if survey.roles and survey.first else None
    python = _remarked(f"python = {string(host.python)}", f"{CHECK}: what sessions run in") if host.python else None
    variable = survey.variable
    return _lines(
        f"[machines.{key(host.name)}]",
        match if host.lasting else _remarked(match, f"{CHECK}: it looks made up, and may be another one tomorrow"),
        roles,
        f"home = {string(host.home)}" if host.home else None,
        python or _remarked('# python = "/path/to/bin/python"', "what sessions run in, where that is not the doctor's"),
        _remarked('# accelerator = "cuda"', "what sessions must really run on: cuda, mps or cpu"),
        f"vars.{variable[0]} = {string(str(variable[1]))}" if variable else None,
    )


def _other(survey: Inventory, number: int) -> str:
    other = survey.others[number]
    where = survey.portable.text(other.mention.file)
    return _lines(
        f"# {CHECK}: its home is named in {printable(where, limit=200)}, line {other.mention.line}",
        f"[machines.{key(other.name)}]",
        f"home = {string(other.mention.home)}",
        _remarked(f"# match.hostname = {string(glob.escape(other.name))}", "what `hostname` says there"),
    )


def _role(survey: Inventory, role: RoleFound) -> str:
    runners = []
    for directory, pattern in role.runners:
        place = survey.portable.text(directory)
        escaped = glob.escape(place) + "/" if place != "." else ""
        runners.append(escaped + (pattern if pattern.endswith("*.py") else glob.escape(braced(pattern))))
    models = f"models = {strings(role.models)}"
    return _lines(
        f"[roles.{key(role.name)}]",
        models if role.sure else _remarked(models, f"{CHECK}: the scripts do not say which"),
        _list("runners", runners),
    )


def _list(name: str, texts: Iterable[str]) -> str:
    texts = list(texts)
    line = f"{name} = {strings(texts)}"
    if len(line) <= 110:
        return line
    return "\n".join([f"{name} = [", *(f"    {string(t)}," for t in texts), "]"])


def _model(survey: Inventory, name: str) -> str:
    model = survey.models[name]
    lines: list[str | None] = [f"[models.{key(name)}]", f"kind = {string(model.kind)}"]
    if model.reference.hub is not None:
        at = f"@{model.reference.revision}" if model.reference.revision else ""
        line = f"path = {string(f'hf:{model.reference.hub}{at}')}"
        lines.append(line if model.found else _remarked(line, f"{CHECK}: it is not in this machine's cache"))
    else:
        assert model.reference.path is not None  # a reference is one or the other
        lines.append(f"path = {string(survey.portable.text(model.reference.path))}")
    if model.kind == "adapter":
        lines.append(_base(survey, name))
    if model.kind == "merged":
        lines.append(_recipe(survey, name))
    return _lines(*lines)


def _base(survey: Inventory, name: str) -> str | None:
    tie = survey.bases.get(name)
    if tie is None:
        return _remarked("# base = …", "what it was trained on: nothing here tells")
    return _tied(f"base = {string(tie.name)}", [tie])


def _recipe(survey: Inventory, name: str) -> str | None:
    pair = survey.merges.get(name)
    if pair is None:
        return None
    base, adapter = pair
    return _tied(f"merge = {{ base = {string(base.name)}, adapter = {string(adapter.name)} }}", pair)


def _tied(line: str, ties: Iterable[BaseLink]) -> str:
    """Return the line, in a comment where it is a guess: a repair takes what the manifest says for somebody's word."""
    guessed = [t for t in ties if not t.sure]
    if not guessed:
        return line
    others = [n for t in guessed for n in t.others]
    rest = f", or {', '.join(others)}" if others else ""
    return f"# {line}\n#     {CHECK}, then take the # away: {printable(guessed[0].why + rest, limit=300)}"
