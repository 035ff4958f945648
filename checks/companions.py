"""Small files beside the weights that a load reads: what a session needs besides weights, config and tokenizer."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.generation import generation_faults, load_faults
from sage_doctor.facts.library_tokenizers import tasks_of
from sage_doctor.facts.model_source import auto_class, has_image_processor, knows_image_processor
from sage_doctor.facts.weights import escapes
from sage_doctor.findings.json_slips import corrected
from sage_doctor.findings.restore import companions_back, lfs_pull
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.subjects.model import Model
from sage_doctor.system.path_info import inspect_path
from sage_doctor.system.small_text import read_text
from sage_doctor.text import join_limited, printable

ORDER = 95  # of the check files: causes before consequences

FULL = ("full", "merged")
LOCATED = ("check_path", "check_hub", "check_hub_blobs", "check_weights_present", "check_config")
_PROCESSORS = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
# What the classes of an Auto mapping take beside text, or instead of it.
_TAKES = (
    ("images or the like beside text", "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES"),
    ("sound", "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES"),
    ("sound", "MODEL_FOR_CTC_MAPPING_NAMES"),
)
# What the tasks are called whose models take images alone.
_SEEN = frozenset({"IMAGE", "SEGMENTATION", "DETECTION", "DEPTH", "VIDEO"})
_PARTS = "modules.json"
_MOST_BYTES = 1 << 20


@check("static", after=LOCATED, kinds=FULL)
def check_generation_config(model: Model) -> Iterator[Finding]:
    """generation_config.json is a JSON object that `generate` takes, where there is one."""
    file = read_json_object(model.path / "generation_config.json", most=_MOST_BYTES)
    if file.missing:
        raise NotApplicable("there is none")
    if file.problem:
        # What is not JSON is passed over in silence; what is, and is no object, ends the load.
        fatal = file.problem.startswith("holds a JSON")
        yield finding(
            "config-invalid",
            f"{file.where}: {printable(file.problem)}"
            + ("" if fatal else "; transformers passes over it silently, and generates with its defaults"),
            severity=None if fatal else "warning",
            evidence={"file": "generation_config.json", "line": file.line},
            fix=lfs_pull(model, ["generation_config.json"])
            if file.lfs_pointer
            else corrected(
                model, "generation_config.json", file.line, companions_back(model, ["generation_config.json"])
            ),
        )
        return
    refused = list(load_faults(model.host.session.site_packages, file.value or {}))
    faults = refused or list(generation_faults(file.value or {}))
    if faults:
        does = "transformers refuses to load the model with it" if refused else "generate() raises with it"
        yield finding(
            "config-invalid",
            f"generation_config.json: {printable(faults[0], limit=200)}; {does}",
            severity=None if refused else "warning",
            evidence={"file": "generation_config.json", "problems": faults},
            fix=Fix(summary="Write the value as it is expected, or take the line out of generation_config.json."),
        )


@check("static", after=LOCATED, kinds=FULL)
def check_processor(model: Model) -> Iterator[Finding]:
    """A model that takes images or sound has the configuration of its processor."""
    sites, kind = model.host.session.site_packages, model.config.model_type or ""
    takes = next((what for what, table in _TAKES if auto_class(sites, table, kind) in model.config.architectures), None)
    named = auto_class(sites, "PROCESSOR_MAPPING_NAMES", kind)
    if takes is None and named is None and _sees(model):
        takes, named = "images", "image processor"
    if named is None or takes is None:
        raise NotApplicable("its class takes no images or sound")
    present = [n for n in _PROCESSORS if model.tree.has(n)]
    if not present:
        yield finding(
            "processor-missing",
            f"{printable(model.config.architectures[0], limit=80)} takes {takes}, but there is neither "
            f"preprocessor_config.json nor processor_config.json: AutoProcessor cannot make its {named}",
            evidence={"class": model.config.architectures[0], "processor": named},
            fix=companions_back(model, list(_PROCESSORS[:2])),
        )
        return
    files = [(n, read_json_object(model.path / n, most=_MOST_BYTES)) for n in present]
    broken = [(n, f) for n, f in files if f.problem]
    if broken:
        name, file = broken[0]
        yield finding(
            "processor-missing",
            f"{file.where}: {printable(file.problem)}: AutoProcessor cannot make its {named}",
            severity="error",
            evidence={"file": name, "line": file.line},
            fix=lfs_pull(model, [name])
            if file.lfs_pointer
            else corrected(model, name, file.line, companions_back(model, [n for n, _ in broken])),
        )
        return
    yield from _unknown_processor(model, {n: f.value or {} for n, f in files})


def _sees(model: Model) -> bool:
    """Return whether a model takes images and nothing else, and transformers has what prepares them."""
    sites = model.host.session.site_packages
    words = {w for task in tasks_of(sites, next(iter(model.config.architectures), "")) for w in task.split("_")}
    return bool(words & _SEEN) and "TEXT" not in words and has_image_processor(sites, model.config.model_type or "")


def _unknown_processor(model: Model, files: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield the finding of an image processor that the session's transformers does not have."""
    for name, values in files.items():
        inner = values.get("image_processor")
        part = inner if isinstance(inner, Mapping) else values
        wanted = part.get("image_processor_type")
        if not isinstance(wanted, str) or part.get("auto_map") or values.get("auto_map"):
            continue
        if knows_image_processor(model.host.session.site_packages, wanted) is False:
            version = printable(model.host.session.packages.get("transformers") or "installed", limit=40)
            yield finding(
                "processor-missing",
                f"{name} names the image processor {printable(wanted, limit=80)}, which the session's transformers "
                f"({version}) does not have: AutoProcessor fails",
                evidence={"file": name, "image_processor_type": wanted, "transformers": version},
                fix=companions_back(model, [name]),
            )
            return


@check("static", after=LOCATED, kinds=FULL)
def check_modules(model: Model) -> Iterator[Finding]:
    """Every part that a sentence-transformers model names is there."""
    if not model.tree.has(_PARTS):
        raise NotApplicable("not a sentence-transformers model")
    try:
        parts: Any = json.loads(read_text(model.path / _PARTS, most=_MOST_BYTES) or "")
    except (ValueError, RecursionError):
        parts = None
    if not isinstance(parts, list) or not all(isinstance(p, dict) for p in parts):
        yield finding(
            "config-invalid",
            f"{_PARTS} is not a JSON array of modules, so nothing says what the model is made of",
            evidence={"file": _PARTS},
            fix=companions_back(model, [_PARTS]),
        )
        return
    odd = [k for p in parts if isinstance(k := p.get("type"), str) and "." not in k]
    if odd:
        yield finding(
            "config-invalid",
            f"{_PARTS}: the type of a module is {printable(json.dumps(odd[0]), limit=60)}, which is no class that "
            "sentence-transformers can import",
            evidence={"file": _PARTS, "types": odd[:20]},
            fix=dataclasses.replace(
                (back := companions_back(model, [_PARTS])),
                summary="Name the class with its package, as in sentence_transformers.models.Transformer. "
                + back.summary,
            ),
        )
        return
    missing = [name for part in parts if (name := _lacking(model, part))]
    if missing:
        yield finding(
            "module-missing",
            f"{_PARTS} names {join_limited([printable(n) for n in missing])}, which "
            f"{'is' if len(missing) == 1 else 'are'} not there: sentence-transformers cannot build the model",
            evidence={"file": _PARTS, "missing": missing[:50]},
            fix=Fix(
                summary="The directories were not copied with the files (`cp` without -r). "
                + companions_back(model, missing).summary,
                commands=companions_back(model, missing).commands,
            ),
        )


def _lacking(model: Model, part: dict[str, Any]) -> str:
    """Return the file that a module of sentence-transformers reads and that is not there, or an empty string."""
    folder, kind = part.get("path"), part.get("type")
    if not isinstance(folder, str) or not isinstance(kind, str) or folder in ("", ".") or escapes(folder):
        return ""
    # Normalize keeps nothing: git and the hub have no empty directories. Other people's modules keep what they like.
    if not kind.startswith("sentence_transformers.") or kind.endswith(".Normalize"):
        return ""
    if inspect_path(model.path / folder).kind != "directory":
        return folder
    place = folder.rstrip("/")
    if kind.endswith((".Pooling", ".Dense")) and inspect_path(model.path / place / "config.json").kind != "file":
        return f"{place}/config.json"
    weights = ("model.safetensors", "pytorch_model.bin")
    lost = kind.endswith(".Dense") and all(inspect_path(model.path / place / n).kind != "file" for n in weights)
    return f"{place}/{weights[0]}" if lost else ""
