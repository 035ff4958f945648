"""Directories that are not what PEFT means by an adapter: another program's layout, or an adapter as a base."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sage_doctor.findings.candidates import table
from sage_doctor.findings.making import finding
from sage_doctor.findings.restore import bring_back
from sage_doctor.report import Finding, Fix
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.facts.adapter_layouts import AdapterLayout
    from sage_doctor.subjects.model import Model


_JOIN = (
    "from safetensors.torch import load_file, save_file; "
    'save_file({{k: v for f in {shards} for k, v in load_file(f).items()}}, "adapter_model.safetensors", '
    'metadata={{"format": "pt"}})'
)


def other_layout(model: Model, layout: AdapterLayout, code: str) -> Finding:
    """Return the one finding for a directory that is laid out in another way than PEFT lays out an adapter."""
    path, values = shell_quote(model.path), model.adapter_config.file.value or {}
    names = join_limited(list(layout.names), most=3)
    commands: tuple[str, ...] = ()
    if layout.kind == "mlx":
        base = values.get("model")
        on = shell_quote(base) if isinstance(base, str) and base else "BASE"
        text = "this is an adapter of mlx-lm" + (f" ({names})" if names else "") + ", which PEFT cannot load"
        summary = "Fuse it into its base where mlx-lm runs, and run sessions on the result."
        fused = shell_quote(str(model.path) + "-fused")
        commands = (f"mlx_lm.fuse --model {on} --adapter-path {path} --save-path {fused}",)
    elif layout.kind == "adapter-hub":
        text = "adapter_config.json is one of the `adapters` library (AdapterHub), which PEFT cannot load"
        summary = "Load it with that library (model.load_adapter), or train the adapter with PEFT."
    elif layout.kind == "model-config":
        which = f" (model_type {names})" if names else ""
        text = f"adapter_config.json is the config.json of a model{which}, not an adapter's: it has no peft_type"
        restored = bring_back(model, ["adapter_config.json"])
        summary = f"Take adapter_config.json from a checkpoint of the same training run. {restored.summary}"
        commands = restored.commands
    elif layout.kind == "renamed":
        text = f"the adapter's tensors are in {names}, and PEFT reads only adapter_model.safetensors"
        one = len(layout.names) == 1
        summary = "Rename the file." if one else "Find out which file is right, and rename it."
        source, target = model.path / layout.names[-1], model.path / "adapter_model.safetensors"
        commands = (f"mv -n {shell_quote(source)} {shell_quote(target)}",) if one else ()
    elif layout.kind == "sharded":
        text = f"the adapter's tensors are in {len(layout.names)} shards ({names}), and PEFT reads one file alone"
        summary = "Join them into adapter_model.safetensors."
        commands = (f"cd {path} && python -c {shell_quote(_JOIN.format(shards=json.dumps(layout.names)))}",)
    elif layout.kind == "gguf":
        text = f"the adapter is there for llama.cpp ({names}), whose format PEFT cannot load"
        restored = bring_back(model, ["adapter_model.safetensors"])
        summary = f"Fetch adapter_model.safetensors, of which it was converted. {restored.summary}"
        commands = restored.commands
    else:
        last = shell_quote(model.path / layout.names[-1])
        text = f"this is the directory of a training run; its adapters are in directories below it: {names}"
        summary = f"Name the adapter's own directory; the last one is {printable(layout.names[-1])}."
        out = shell_quote(f"{model.path / layout.names[-1]}-merged")
        commands = (f"sage-doctor check {last}", f"sage-doctor merge {last} --out {out}")
    return finding(
        code,
        text,
        evidence={"path": str(model.path), "layout": layout.kind, "names": list(layout.names[:50])},
        fix=Fix(summary=summary, commands=commands),
    )


def inner_adapter(model: Model, base: Model) -> Finding:
    """Return the finding for a base that is an adapter itself."""
    below = base.adapter_config.base
    path = shell_quote(base.path)
    merged = shell_quote(str(base.path) + "-merged")
    on = f" of {printable(below)}" if below else ""
    return finding(
        "adapter-base-broken",
        f"the base {printable(str(base.path))} is itself an adapter{on}: PEFT would silently drop that one",
        evidence={"base": str(base.path), "inner_base": below},
        fix=Fix(
            summary=f"Merge the inner adapter first, and name the result as the base{_in_manifest(model)}.",
            commands=(f"sage-doctor merge {path} --out {merged}",),
        ),
    )


def _in_manifest(model: Model) -> str:
    return f" (base = … under {table(model.name)})" if model.spec is not None else " (base_model_name_or_path)"
