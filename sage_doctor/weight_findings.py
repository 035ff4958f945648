"""What findings about weight files have in common: how to say what is broken, and how to get it back."""

from __future__ import annotations

from collections.abc import Sequence

from sage_doctor.check import finding
from sage_doctor.model import Model
from sage_doctor.readers.regular import look
from sage_doctor.readers.safetensors_header import Header
from sage_doctor.report import Finding, Fix
from sage_doctor.text import printable, quoted


def broken_header(model: Model, broken: Sequence[tuple[str, Header]]) -> Finding:
    """Return the finding for files that are no whole safetensors files: the first one's, naming the others."""
    name, header = broken[0]
    problem = header.problem
    assert problem is not None  # the caller chose files with a problem
    others = [n for n, _ in broken[1:]]
    more = f", and {len(others)} more file(s) are broken" if others else ""
    summary = "Fetch it again." if not others else "Fetch them again."
    fix = bring_back(model, [n for n, _ in broken])
    if problem.code == "weights-lfs-pointer":
        fix = lfs_pull(model, [n for n, h in broken if h.problem and h.problem.code == "weights-lfs-pointer"])
    elif problem.code == "weights-not-safetensors" and problem.evidence.get("content") == "a GGUF model":
        fix = Fix(summary="Rename it to .gguf and load it with gguf_file=…, or fetch the safetensors version.")
    else:
        fix = Fix(summary=f"{summary} {fix.summary}", commands=fix.commands)
    return finding(
        problem.code,
        f"{printable(name)}: {printable(problem.message)}{more}",
        evidence={"file": name, **problem.evidence, **({"also_broken": others[:50]} if others else {})},
        fix=fix,
    )


def lfs_pull(model: Model, names: Sequence[str]) -> Fix:
    """Return the fix for files that Git LFS has not fetched."""
    where = quoted(model.path)
    include = quoted(",".join(names[:20]))
    return Fix(
        summary="The repository was cloned without its large files. Let Git LFS fetch them (git-lfs must be "
        "installed).",
        commands=(f"git -C {where} lfs install --local", f"git -C {where} lfs pull --include {include}"),
    )


def bring_back(model: Model, names: Sequence[str]) -> Fix:
    """Return the fix for files that are missing or broken: from where this model can be had again."""
    if model.hub is not None:
        files = " ".join(quoted(n) for n in names[:20])
        revision = quoted(model.hub.revision)
        return Fix(
            summary="Download from the hub, where the network allows.",
            commands=(f"hf download {quoted(model.hub.repo_id)} {files} --revision {revision} --force-download",),
        )
    merge = merge_commands(model)
    if merge:
        return Fix(
            summary="Merge it again from its base and adapter, or copy it from a machine that has it.", commands=merge
        )
    if look(model.path / ".git").kind != "missing":
        return Fix(
            summary="Restore from its repository, or copy from a machine that has it.",
            commands=(f"git -C {quoted(model.path)} status --short",),
        )
    return Fix(
        summary="Copy from a machine that has the model (rsync -a keeps dates and modes).",
        commands=(f"ls -l {quoted(model.path)}",),
    )


def merge_commands(model: Model) -> tuple[str, ...]:
    """Return the commands that rebuild a merged model by its recipe, or none where it has no recipe that can work."""
    recipe = model.spec.merge if model.spec is not None else None
    if recipe is None:
        return ()
    parts = []
    for name, place in ((recipe.base, recipe.base_path), (recipe.adapter, recipe.adapter_path)):
        sibling = model.siblings.get(name)
        if sibling is not None and place is None:
            parts.append(str(sibling.path))
        elif place is not None:
            parts.append(str(place.path) if place.path is not None else place.text.removeprefix("hf:"))
    if len(parts) != 2:
        return ()
    python = quoted(model.host.python or "python3")
    script = (
        "import sys; from peft import PeftModel; from transformers import AutoModelForCausalLM as M, AutoTokenizer "
        "as T; "
        "base, adapter, out = sys.argv[1:]; "
        "PeftModel.from_pretrained(M.from_pretrained(base, dtype='auto'), "
        "adapter).merge_and_unload().save_pretrained(out); "
        "T.from_pretrained(base).save_pretrained(out)"
    )
    return (f'{python} -c "{script}" {quoted(parts[0])} {quoted(parts[1])} {quoted(model.path)}',)
