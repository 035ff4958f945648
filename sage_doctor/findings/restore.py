"""Where missing or broken files of a model can be had again: the fixes that many checks share."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.findings.fetching import copy_from_elsewhere, how_much
from sage_doctor.findings.making import finding
from sage_doctor.findings.misnamed import renamed_weights
from sage_doctor.readers.repo_id import is_snapshot
from sage_doctor.report import Finding, Fix
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable, shell_operand, shell_quote

if TYPE_CHECKING:
    from sage_doctor.facts.hub_cache import HubFacts
    from sage_doctor.readers.safetensors_header import Header
    from sage_doctor.subjects.model import Model


def with_repair(fix: Fix, model: Model, repair: str, *words: str) -> Fix:
    """Return the fix with the repair that does it, and the command that calls for it in front of all others."""
    subject = model.name if model.spec is not None or model.reference.hub is not None else str(model.path)
    command = " ".join(["sage-doctor fix", shell_quote(subject), *words])
    return dataclasses.replace(fix, repair=repair, commands=(command, *fix.commands))


def lfs_pull(model: Model, names: Sequence[str]) -> Fix:
    """Return the fix for files that Git LFS has not fetched."""
    if not _in_repository(model):
        return bring_back(model, names)
    # A plain `git lfs pull` would run what the repository's configuration names; the repair does not.
    what = f"Let Git LFS fetch the files{how_much(model, names)}."
    fix = with_repair(Fix(summary=what), model, "lfs-pull")
    if shutil.which("git-lfs") is not None:
        return fix
    return dataclasses.replace(
        fix,
        summary=f"Install git-lfs, then let it fetch the files{how_much(model, names)}.",
        commands=(*_installing("git-lfs"), *fix.commands),
    )


def _installing(package: str) -> list[str]:
    """Return the command that installs a package of this system; none where its package manager is not known."""
    manager = next((c for c in ("apt-get", "dnf", "brew", "pacman") if shutil.which(c)), None)
    if manager is None:
        return []
    root = "" if manager == "brew" or os.geteuid() == 0 else "sudo "
    return [f"{root}{manager} {'-S' if manager == 'pacman' else 'install'} {package}"]


def _in_repository(model: Model) -> bool:
    return any(inspect_path(p / ".git").kind != "missing" for p in (model.path, *model.path.parents))


def bring_back(model: Model, names: Sequence[str]) -> Fix:
    """Return the fix for files that are missing or broken: from where this model can be had again."""
    hub = model.hub or _cached_at(model.path)
    if hub is not None:
        some = sorted(names[:20], key=lambda n: not n.startswith("-"))
        files = " ".join([shell_operand(n) for n in some[:1]] + [shell_quote(n) for n in some[1:]])
        revision = shell_quote(hub.revision)
        return Fix(
            summary=f"Download it again from the hub{how_much(model, names)}.",
            commands=(f"hf download {shell_quote(hub.repo_id)} --revision {revision} --force-download {files}",),
        )
    merge = merge_commands(model)
    if merge:
        fix = Fix(
            summary="Merge it again from its base and adapter, or copy it from a machine that has it.", commands=merge
        )
        return with_repair(fix, model, "merge")
    waits = _after_base(model)
    if waits is not None:
        return waits
    copy = copy_model(model, names)
    if copy is not None:
        return copy
    if inspect_path(model.path / ".git").kind != "missing":
        return Fix(
            summary="Restore it from its repository, or copy it from a machine that has the model.",
            # `git status` would run the filters and the file system monitor of the repository's configuration.
            commands=(f"git -C {shell_quote(model.path)} -c core.fsmonitor=false ls-files --deleted",),
        )
    return Fix(
        summary=f"Copy it{how_much(model, names)} from a machine that has the model; rsync -a keeps dates and modes."
    )


def copy_model(model: Model, names: Sequence[str]) -> Fix | None:
    """Return the fix that copies a model from another machine of the manifest, None where none is said to have it."""
    copy = copy_from_elsewhere(model, names)
    return with_repair(copy, model, "copy-model") if copy is not None else None


def _cached_at(path: Path) -> HubFacts | None:
    """Return what the cache knows of a directory that is a snapshot of it, None for any other."""
    from sage_doctor.facts.hub_cache import snapshot_facts  # noqa: PLC0415 - only where something is missing

    return snapshot_facts(path) if is_snapshot(path) else None


def _after_base(model: Model) -> Fix | None:
    """Return the fix of a merged model whose base is not here, so that it comes first; None where that is no reason."""
    from sage_doctor.subjects.recipe import base_to_download, recipe_base  # noqa: PLC0415 - only where something is wrong

    waits = base_to_download(model)
    if waits is not None:
        hub, _ = waits
        fix = Fix(
            summary=f"Download its base, {printable(hub.repo_id)}, which is not here, and merge it again.",
            commands=(download_command(hub),),
        )
        return with_repair(fix, model, "merge")
    base = recipe_base(model) if model.spec is not None and model.spec.merge is not None else None
    if base is None or base.found:
        return None
    sibling = model.siblings.get(base.name)
    whole = copy_model(model, ())
    if whole is not None:
        return dataclasses.replace(
            whole,
            summary=f"{whole.summary} Or bring its base, {printable(base.name)} of the merge recipe, to "
            f"{printable(str(base.path))}; `sage-doctor fix` then merges it again.",
        )
    copy = copy_from_elsewhere(sibling, ()) if sibling is not None else None
    return Fix(
        summary=f"Bring its base, {printable(base.name)} of the merge recipe, to {printable(str(base.path))} first; "
        "`sage-doctor fix` then merges it again. Or copy the model from a machine that has it.",
        commands=copy.commands if copy is not None else (),
    )


def download_command(hub: HubFacts) -> str:
    """Return the command that downloads a repository of the hub."""
    revision = f" --revision {shell_quote(hub.revision)}" if hub.revision != "main" else ""
    return f"hf download {shell_quote(hub.repo_id)}{revision}"


def merge_commands(model: Model) -> tuple[str, ...]:
    """Return the command that merges a model by its recipe, or none if it has no recipe that works here."""
    from sage_doctor.subjects.recipe import recipe_places  # noqa: PLC0415 - only where something is wrong

    places = recipe_places(model)
    if places is None:
        return ()
    base, adapter = places
    return (f"sage-doctor merge {shell_quote(adapter)} --base {shell_quote(base)} --out {shell_quote(model.path)}",)


def companions_back(model: Model, names: Sequence[str]) -> Fix:
    """Return the fix for small files beside the weights: from what the model was merged from, else as for weights."""
    from sage_doctor.subjects.recipe import recipe_places  # noqa: PLC0415 - only where something is wrong

    if recipe_places(model) is None:
        return bring_back(model, names)
    fix = Fix(summary="Copy it from the base and adapter it was merged from, or merge it again.")
    return with_repair(Fix(summary=fix.summary, commands=merge_commands(model)), model, "copy-tokenizer")


def without(model: Model, file: str, key: str) -> str:
    """Return the command that takes a key out of a JSON file of the model's."""
    code = (
        f'import json, sys; p = sys.argv[1]; v = json.load(open(p)); v.pop("{key}", 0); '
        'json.dump(v, open(p, "w"), indent=2)'
    )
    return f"{shell_quote(model.host.session.executable)} -c {shell_quote(code)} {shell_quote(model.path / file)}"


def broken_header(model: Model, broken: Sequence[tuple[str, Header]]) -> Finding:
    """Return the finding for files that are not complete safetensors files: the first one's, naming the others."""
    name, header = broken[0]
    problem = header.problem
    assert problem is not None  # the caller chose files with a problem
    more = f", and {len(others)} more file(s) are broken" if (others := [n for n, _ in broken[1:]]) else ""
    fix = bring_back(model, [n for n, _ in broken])
    if problem.code == "weights-lfs-pointer":
        fix = lfs_pull(model, [n for n, h in broken if h.problem and h.problem.code == "weights-lfs-pointer"])
    elif problem.code == "weights-not-safetensors" and problem.evidence.get("content") == "a GGUF model":
        fix = Fix(summary="Rename it to .gguf and load it with gguf_file=…, or fetch the safetensors version.")
    elif problem.code == "weights-not-safetensors":
        fix = renamed_weights(model.tree, name, problem.evidence["content"]) or fix
    return finding(
        problem.code,
        f"{printable(name)}: {printable(problem.message)}{more}",
        evidence={"file": name, **problem.evidence, **({"also_broken": others[:50]} if others else {})},
        fix=fix,
    )
