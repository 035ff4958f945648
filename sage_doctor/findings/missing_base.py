"""The base of an adapter is not here: what is said of it, and where it can be had."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage_doctor.facts.base_names import ForeignName, foreign_name
from sage_doctor.facts.bases import names_a_repository
from sage_doctor.findings.base_options import base_candidates, known_bases
from sage_doctor.findings.candidates import as_candidates, copy_commands, table, where_it_may_be
from sage_doctor.findings.fetching import copy_from_elsewhere
from sage_doctor.findings.making import finding
from sage_doctor.findings.restore import download_command, with_repair
from sage_doctor.readers.repo_id import repository_in
from sage_doctor.report import Finding, Fix
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.recipe import RecipeBase, recipe_base
from sage_doctor.system.location import foreign_home
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.facts.hub_cache import HubFacts


def base_unset(model: Model) -> Finding:
    """Return the finding of an adapter that names no base."""
    candidates = as_candidates(base_candidates(model)[:8])
    said = (model.adapter_config.values or {}).get("base_model_name_or_path")
    why = "" if isinstance(said, str | None) else ", which is not a text"
    return finding(
        "adapter-base-unset",
        f"adapter_config.json names no base model (base_model_name_or_path{why})",
        evidence={"file": "adapter_config.json", "candidates": candidates},
        fix=name_it(model, candidates),
    )


def base_missing(model: Model, sharing: Sequence[Model]) -> Finding:
    """Return the finding of a base that is not on this machine; `sharing` are all adapters that need it."""
    base = model.base
    text = base.text or ""
    candidates = as_candidates(base_candidates(model)[:8])
    tried = [str(p) for p in base.place.tried] if base.place is not None else []
    foreign = foreign_name(text)
    if foreign is not None:
        how = foreign.what
    elif base.place is not None and base.place.form == "repository":
        how = "is neither a directory here nor in the Hugging Face cache"
    elif base.place is not None and base.place.form == "absolute":
        theirs = foreign_home(base.place.tried[0], model.host.home, model.host.other_homes)
        how = (
            f"is in {printable(theirs)}, another machine's or user's home, and does not exist here"
            if theirs
            else ("does not exist")
        )
    else:
        how = "was not found in any location that transformers searches"
    many = {"subjects": [m.name for m in sharing][:500], "count": len(sharing)} if len(sharing) > 1 else {}
    names = join_limited([m.name for m in sharing], most=5)
    needed = f"; {len(sharing)} adapters need it: {names}" if many else ""
    return finding(
        "adapter-base-missing",
        f"the base model {printable(text)} {how}{needed}",
        evidence={"base": text, "named_by": base.source, "tried": tried, "candidates": candidates, **many},
        fix=name_it(model, candidates) if foreign is None else _by_another_name(model, foreign, candidates),
    )


def _by_another_name(model: Model, foreign: ForeignName, candidates: list[dict[str, Any]]) -> Fix:
    """Return the fix for a name that is none for transformers; what a recipe or a manifest leads to comes first."""
    likely = [c for c in candidates if c.get("likely", True)]
    if likely or model.spec is not None or recipe_base(model) is not None:
        fix = name_it(model, candidates)
        return dataclasses.replace(fix, summary=f"{foreign.advice} {fix.summary}")
    return Fix(summary=f"{foreign.advice} The name stands in adapter_config.json.", commands=foreign.commands)


def name_it(model: Model, candidates: list[dict[str, Any]]) -> Fix:
    """Return how to name the base: in the manifest, so that no file under version control is edited silently."""
    named = recipe_base(model)
    if named is not None and not named.found:
        return _of_recipe(model, named)
    if model.base.hub is not None and model.base.place is not None and names_a_repository(model.base.place):
        return _from_hub(model, model.base.hub, candidates)
    elsewhere = repository_in(model.base.text or "")
    if elsewhere is not None and not any(c.get("likely", True) for c in candidates):
        return _from_another_cache(model, *elsewhere)
    by_path = {str(m.path): m.name for m in model.siblings.values() if m.spec is not None}
    likely = [c for c in candidates if c.get("likely", True)]
    best = candidates[0]["path"] if candidates else None
    choices = known_bases(model)
    where = where_it_may_be(likely) if likely else _fitting(model, [Path(c["path"]) for c in candidates])
    sure = len(choices) == 1
    if model.spec is None:
        fix = Fix(
            summary=(
                "Put the base model where the adapter's config says, or load the adapter with an explicit base. "
                if model.base.text is not None
                else "Write what it was trained on into base_model_name_or_path, or load it with an explicit base. "
            )
            + f"In a manifest, base = … under the adapter's [models.NAME] names it.{where}",
            commands=copy_commands(candidates),
        )
        return with_repair(fix, model, "set-base", "--write-config") if sure else fix
    known = by_path.get(best or "")
    shown = printable(known or best or "NAME-OR-PATH")
    value = f'"{shown}"' if likely or not candidates else "…"
    fix = Fix(
        summary=f"Name the base that this adapter was trained on, in the manifest under {table(model.name)}: "
        f"base = {value}.{where} Matching shapes do not prove that it is the right base.",
        commands=_naming(model, candidates, known),
    )
    # Several are a question that the repair asks.
    return with_repair(fix, model, "set-base") if choices and model.spec.base is None else fix


def _naming(model: Model, candidates: Sequence[dict[str, Any]], known: str | None) -> tuple[str, ...]:
    """Return the commands that go with the candidates: none of several that merely fit comes first."""
    if known is None:
        return copy_commands(candidates)
    if candidates[0].get("likely", True):
        return (f"sage-doctor check {shell_quote(known)}",)
    return (f"sage-doctor fix {shell_quote(model.name)} --base {shell_quote(known)}",) if len(candidates) == 1 else ()


def _fitting(model: Model, fitting: Sequence[Path]) -> str:
    """Return a sentence with the models here that the adapter fits; it starts with a space."""
    if not fitting:
        return where_it_may_be([])
    by_path = {os.path.realpath(m.path): m.name for m in model.siblings.values() if m.spec is not None}
    names = [by_path.get(os.path.realpath(p), str(p)) for p in fitting]
    target = shell_quote(model.name if model.spec is not None else str(model.path))
    option = "" if model.spec is not None else " --write-config"
    if len(names) == 1:
        return (
            f" The only model here that this adapter fits is {printable(names[0])}; confirm, then "
            f"`sage-doctor fix {target}{option} --base {shell_quote(names[0])}`."
        )
    return (
        f" Models here that this adapter fits: {join_limited(names, most=5)}; confirm one, then "
        f"`sage-doctor fix {target}{option} --base BASE`."
    )


def _from_hub(model: Model, hub: HubFacts, candidates: list[dict[str, Any]]) -> Fix:
    """Return how to get a base that is named by its hub id: it is downloaded, whatever else is here."""
    where = table(model.name) if model.spec is not None else "the adapter's [models.NAME]"
    local = where_it_may_be(candidates) if candidates else ""
    fix = Fix(
        summary="Download it while there is a network; sessions then find it by its name. In a manifest, "
        f'base = "hf:{printable(hub.repo_id)}" under {where} names it.{local}',
        commands=(download_command(hub),),
    )
    return with_repair(fix, model, "download")


def _from_another_cache(model: Model, repo_id: str, commit: str) -> Fix:
    """Return how to get a base that is named by its place in a Hugging Face cache that is not here."""
    where = table(model.name) if model.spec is not None else "the adapter's [models.NAME]"
    return Fix(
        summary=f"That path lies in another Hugging Face cache and stands for {printable(repo_id)}. Download that, and "
        f'name it: base = "hf:{printable(repo_id)}" under {where}, or {printable(repo_id)} as base_model_name_or_path.',
        commands=(f"hf download {shell_quote(repo_id)} --revision {shell_quote(commit)}",),
    )


def _of_recipe(model: Model, base: RecipeBase) -> Fix:
    """Return how to get the base that the merge recipe of this adapter names, which is not here."""
    words = f'base = "{printable(base.name)}" under {table(model.name)}'
    if base.hub is not None:
        get, command = f"Download its base, {printable(base.hub.repo_id)}", download_command(base.hub)
    else:
        get, command = f"Bring its base to {printable(str(base.path))}", ""
        sibling = model.siblings.get(base.name)
        copy = copy_from_elsewhere(sibling, ()) if sibling is not None else None
        if copy is not None and copy.commands:
            get, command = f"{get} ({copy.summary.rstrip('.')})", copy.commands[0]
    return Fix(
        summary=f"{get} (the merge recipe of {printable(base.recipe)} names it), and name it for sessions as well: "
        f"{words}. `sage-doctor fix` does the rest.",
        commands=(command,) if command else (),
    )


def other_base(model: Model) -> Fix:
    """Return the fix for an adapter that was trained on another base than it is put on."""
    where = f"base = … under {table(model.name)}" if model.spec is not None else "base_model_name_or_path"
    return Fix(
        summary=f"Name the base that the adapter was trained on ({where}). Matching shapes do not prove that it is the "
        "right one."
    )
