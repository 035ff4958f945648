"""A LoRA on every architecture, merged by the doctor and by PEFT: `python -m tests.architectures.merges`.

Prints each merge that is refused or not equal, each alarm about the sound adapter, and how many there are of each.
Models are compared as a session has them, after a load: bit for bit, dtypes as well. Names restrict it to those model
types. Imports torch.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from sage_doctor.errors import DoctorError
from sage_doctor.merge import apply, plan_merge
from sage_doctor.merge.refusal import MergeRefused
from tests.architectures.sweep import alarms

# What is no merge to compare: the library builds, saves or adapts no such model.
OUTSIDE = ("unbuilt", "unloadable", "unadapted")


def targets(model_type: str) -> list[Any]:
    """Return what is adapted: every linear layer, and what PEFT takes for this model type by itself."""
    from peft.utils import constants

    known = constants.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    return ["all-linear", *([known[model_type]] if model_type in known else [])]


def stored_base(model_type: str, name: str, folder: Path) -> Any:
    """Build a model in bfloat16 with numbers that are not all alike, save it, and return its class, or why not."""
    import torch

    from tests.architectures import tiny

    try:
        model = tiny.build(model_type, name)
    except Exception:  # noqa: BLE001 - a class whose packages are not installed
        model = None
    if model is None:
        return "unbuilt"
    model = model.to(torch.bfloat16)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "norm" not in parameter_name:
                parameter.normal_(0, 0.05)
    try:
        model.save_pretrained(folder)
        return type(model) if tiny.loads(model, folder) else "unloadable"
    except Exception:  # noqa: BLE001 - hundreds of classes, each with its own way to refuse
        return "unloadable"


def stored_adapter(model_class: Any, base: Path, folder: Path, modules: Any) -> bool:
    """Save a LoRA with numbers in both matrices, as PEFT does; returns False where PEFT cannot adapt the model."""
    import peft
    import torch
    from safetensors.torch import load_file, save_file

    name = model_class.__name__
    task = "CAUSAL_LM" if name.endswith(("CausalLM", "LMHeadModel")) else None
    try:
        model = model_class.from_pretrained(base, dtype="auto")
        peft.get_peft_model(model, peft.LoraConfig(target_modules=modules, r=4, task_type=task)).save_pretrained(folder)
    except Exception:  # noqa: BLE001
        return False
    torch.manual_seed(7)
    file, said = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    grown = {n: torch.randn_like(t.float()) * 0.05 for n, t in load_file(file).items()}
    save_file(grown, file, metadata={"format": "pt"})
    said.write_text(json.dumps({**json.loads(said.read_text()), "base_model_name_or_path": str(base)}))
    return all(t.numel() for t in grown.values())  # some tiny models have layers without outputs


def compare(model_class: Any, base: Path, adapter: Path, out: Path) -> str:
    """Merge and compare; returns the outcome and, behind it, what there is to say."""
    import peft
    import torch

    try:
        apply(plan_merge(adapter, out))
    except MergeRefused as refusal:
        return f"refused: {refusal.message[:300]}"
    except DoctorError as error:
        return f"refused: {error}"
    ours = model_class.from_pretrained(out, dtype="auto").state_dict()
    try:
        with warnings.catch_warnings():
            # Where renamings of the library hit running names, PEFT loses tensors that it saved itself.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            wrapped = peft.PeftModel.from_pretrained(model_class.from_pretrained(base, dtype="auto"), str(adapter))
        theirs = wrapped.merge_and_unload().state_dict()
    except Exception as error:  # noqa: BLE001
        return f"unadapted: {type(error).__name__}"
    unlike = sorted(ours.keys() ^ theirs.keys())
    both = sorted(ours.keys() & theirs.keys())
    unlike += [n for n in both if ours[n].dtype != theirs[n].dtype or not torch.equal(ours[n], theirs[n])]
    if unlike and _only_by_sharing(unlike, ours, model_class.from_pretrained(base, dtype="auto").state_dict()):
        return f"untied: {', '.join(unlike)}"
    return f"differs: {len(unlike)} of {len(theirs)} tensors: {', '.join(unlike[:3])}" if unlike else "equal"


def _only_by_sharing(unlike: list[str], ours: dict[str, Any], base: dict[str, Any]) -> bool:
    """Return whether PEFT changed these only because they share memory with what the adapter names.

    While the adapter runs, the other end of such a tie stays as it was: so it has to in the merged model.
    """
    import torch

    places = collections.Counter(t.data_ptr() for t in base.values())
    return all(n in base and places[base[n].data_ptr()] > 1 and torch.equal(ours[n], base[n]) for n in unlike)


def speaks_of_a_tie(said: str, model_class: Any, base: Path) -> bool:
    """Return whether something was said of a layer whose weight the model as it runs does share with another."""
    named = re.search(r"base_model\.model\.(\S+)\.lora_", said)
    if "adapter-tied-embeddings" not in said or named is None:
        return False
    model = model_class.from_pretrained(base, dtype="auto")
    weight = model.get_submodule(named[1]).weight
    return sum(p is weight for _, p in model.named_parameters(remove_duplicate=False)) > 1


def outcomes(model_type: str, name: str, place: Path) -> list[tuple[str, str, list[str]]]:
    """Return what was adapted, what came of the merge and what was said of the sound adapter, for each adapter."""
    base, adapter, out = (place / part for part in ("base", "adapter", "out"))
    shutil.rmtree(base, ignore_errors=True)
    model_class = stored_base(model_type, name, base)
    if isinstance(model_class, str):
        return [("", model_class, [])]
    found = []
    for modules in targets(model_type):
        shutil.rmtree(adapter, ignore_errors=True)
        shutil.rmtree(out, ignore_errors=True)
        if stored_adapter(model_class, base, adapter, modules):
            said = [s for s in alarms(adapter, "static") if not speaks_of_a_tie(s, model_class, base)]
            found.append((str(modules), compare(model_class, base, adapter, out), said))
        else:
            found.append((str(modules), "unadapted", []))
    return found


def main() -> int:
    """Return 1 where a merge differs from PEFT's, or something was said of a sound adapter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="model types (default: all)")
    parser.add_argument("--json", help="write what came of each here, and leave out what is there already")
    given = parser.parse_args()
    os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    import torch
    import transformers

    from tests.architectures import tiny

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    kept = Path(given.json) if given.json else None
    done = json.loads(kept.read_text()) if kept and kept.exists() else {}
    with tempfile.TemporaryDirectory() as made:
        os.environ.update(HOME=made, XDG_STATE_HOME=f"{made}/state", HF_HOME=f"{made}/hf")
        for model_type, name in tiny.classes():
            if f"{model_type} {name}" in done or (given.names and model_type not in given.names):
                continue
            with contextlib.redirect_stderr(open(os.devnull, "w")):
                found = done[f"{model_type} {name}"] = outcomes(model_type, name, Path(made))
            for modules, outcome, said in found:
                for line in ([outcome] if outcome.startswith(("refused", "untied", "differs")) else []) + said:
                    print(f"{model_type} {name} {modules}: {line}"[:500], flush=True)
            if kept:
                kept.write_text(json.dumps(done, indent=1))
    count = collections.Counter(outcome.partition(":")[0] for found in done.values() for _, outcome, _ in found)
    alarmed = sum(bool(said) for found in done.values() for _, _, said in found)
    compared = sum(n for what, n in count.items() if what not in OUTSIDE)
    outside = ", ".join(f"{count[what]} {what}" for what in OUTSIDE)
    print(f"{compared} merges: {count['equal']} equal to PEFT's, {count['refused']} refused, {count['differs']} differ")
    print(f"{count['untied']} untied as the adapter runs, where PEFT changes both ends of a tie")
    print(f"{alarmed} alarms about sound adapters; not compared: {outside}")
    return int(bool(count["differs"] or alarmed))


if __name__ == "__main__":
    sys.exit(main())
