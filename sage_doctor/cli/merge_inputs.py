"""What `merge` was asked for, found: the adapter and its base by name, directory or `hf:org/name`, as a plan."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from sage_doctor.cli.this_host import this_host
from sage_doctor.findings.adapter_directories import other_layout
from sage_doctor.merge import BaseSearch, MergePlan, plan_merge
from sage_doctor.merge.refusal import MergeRefused, refused
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.merge_python import merge_python
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.named import find_named
from sage_doctor.subjects.recipe import recipe_base
from sage_doctor.text import printable, shell_operand, shell_quote


def plan_named(options: argparse.Namespace) -> tuple[MergePlan, Path | None]:
    """Return the plan, and the interpreter to carry it out in, None for this one. Raises `MergeRefused`."""
    named = (options.adapter, *([options.base] if options.base is not None else []))
    host = this_host(options.manifest, *named)
    adapter = find_named(options.adapter, host)
    _require_adapter(adapter, options.adapter)
    _require_layout(adapter)
    found = [_given(options.base, host)] if options.base is not None else _recorded(adapter)
    python = merge_python(host)
    plan = plan_merge(
        adapter.path,
        options.out,
        dtype=options.dtype,
        dequantize=options.dequantize,
        search=dataclasses.replace(BaseSearch.here(), named=tuple(found)),
        python=python,
    )
    return plan, python


def _require_adapter(model: Model, text: str) -> None:
    """Raise `MergeRefused` for a model that the manifest says is none, with the command that was meant."""
    if model.spec is None or model.kind == "adapter":
        if not model.found and model.hub is not None:
            raise _not_cached(model, "the adapter")
        return
    name = shell_operand(model.name)
    if model.spec.merge is not None:
        raise refused(
            f"{printable(text)} is a merged model, not an adapter",
            f"To merge it again from its base and adapter: sage-doctor fix {name}",
        )
    raise refused(
        f"{printable(text)} is a {model.kind} model, not an adapter: there is nothing to merge",
        f"Name the adapter, and this as its base: sage-doctor merge ADAPTER --base {name} --out DIR",
    )


def _require_layout(adapter: Model) -> None:
    """Raise `MergeRefused` for a directory that holds no adapter as PEFT lays it out, with what it is."""
    shown = printable(str(adapter.path))
    if adapter.adapter_layout is not None:
        found = other_layout(adapter, adapter.adapter_layout, "adapter-config-missing")
        commands = [c for c in found.fix.commands if not c.startswith("sage-doctor check")]
        raise refused(f"{shown}: {found.message}", "\n".join([found.fix.summary, *commands]))
    if adapter.adapter_config.file.missing and adapter.adapter_weights.name is None:
        raise refused(
            f"{shown} holds no adapter: it has neither adapter_config.json nor adapter_model.safetensors",
            "Name the directory that the adapter was saved to.",
        )


def _given(text: str, host: Host) -> tuple[Path, str]:
    base = find_named(text, host)
    if not base.found and base.hub is not None:
        raise _not_cached(base, "the base")
    return base.path, "named by you"


def _recorded(adapter: Model) -> list[tuple[Path, str]]:
    """Return the base that the manifest has for this adapter: its own `base`, or that of a merge recipe."""
    if adapter.spec is None:
        return []
    if adapter.spec.base is not None:
        base = adapter.base
        if base.model is not None:
            return [(base.model.path, "named in the manifest")]
        if base.hub is not None:
            raise refused(
                f"the base {printable(adapter.spec.base)} is not in the Hugging Face cache",
                f"Download it: `hf download {shell_quote(base.hub.repo_id)}`",
            )
    recipe = recipe_base(adapter)
    if recipe is not None and recipe.found:
        return [(recipe.path, f"the base in the merge recipe of {recipe.recipe}")]
    return []


def _not_cached(model: Model, what: str) -> MergeRefused:
    assert model.hub is not None  # an `hf:` reference
    return refused(
        f"{what} {printable(model.name)} is not in the Hugging Face cache",
        f"Download it: `hf download {shell_quote(model.hub.repo_id)}`",
    )
