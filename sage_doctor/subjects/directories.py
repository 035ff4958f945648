"""Directories as targets: the model directories at and below them, named by where they lie."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from sage_doctor.errors import UnknownTarget, UsageError
from sage_doctor.facts.library_source import takes_own_weights
from sage_doctor.facts.weights import LOOKUP
from sage_doctor.manifest.load import find_manifest
from sage_doctor.manifest.locations import InvalidLocation, model_path
from sage_doctor.manifest.specs import ModelPath
from sage_doctor.readers.merge_record import RECORD
from sage_doctor.readers.other_programs import is_for_another_program, is_of_another_library, program_below, program_of
from sage_doctor.readers.repo_id import is_repo_id, is_snapshot
from sage_doctor.readers.safetensors_header import read_header
from sage_doctor.readers.trainer_checkpoints import find_checkpoint
from sage_doctor.readers.tree import (
    TOKENIZER_FILES,
    WEIGHTS,
    find_model_directories,
    is_model_directory,
    names_modules,
    read_tree,
)
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model, ModelKind
from sage_doctor.system.location import locate
from sage_doctor.system.mounts import why_not_written
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable, shell_quote

_MERGED = re.compile(r"(?:^|[^a-z])merged?(?:[^a-z]|$)", re.IGNORECASE)
# What may lie beside a tokenizer that is kept alone.
_BESIDE = re.compile(
    r"added_tokens\.json|chat_template\.\w+|generation_config\.json|\.gitattributes|(?:README|LICENSE|NOTICE)[\w.]*",
    re.ASCII,
)
_OF_PICTURES = re.compile(
    r"(?:lora_)?(?:unet|te\d?|text_encoder(?:_\d)?|transformer|lycoris)[._].*(?:lora|hada|lokr)", re.ASCII
)
_MOST_HEADERS = 20
MOST_TO_REPAIR = 200
MOST_TO_EXAMINE = 500
HUB = "hf:"


def refuse_crowds(targets: Sequence[str], *, manifest: object, cwd: Path, environ: Mapping[str, str]) -> None:
    """Raise `UsageError` for a directory with more models than one repairs at once, such as `/`, at the first too many.

    Each repair examines all of them again. A manifest names what it is about.
    """
    if not targets and (manifest is not None or find_manifest(cwd, environ) is not None):
        return
    for root in [cwd / t for t in targets if (cwd / t).is_dir()] if targets else [cwd]:
        if sum(1 for _ in islice(find_model_directories(root), MOST_TO_REPAIR + 1)) > MOST_TO_REPAIR:
            raise UsageError(
                f"there are more than {MOST_TO_REPAIR} model directories at and below {shell_quote(str(root))}: name "
                "those to repair"
            )


def path_like(target: str) -> bool:
    """Return whether a target can only be a path or an `hf:` reference, not a name."""
    return "/" in target or target in (".", "..") or target.startswith(("~", HUB))


def target_path(target: str, host_home: Path, cwd: Path) -> Path:
    """Return the absolute path of a target, the same for `x`, `./x`, `../here/x` and the whole path.

    `..` goes up from where a link leads, as the kernel has it.
    """
    text = str(host_home) + target[1:] if target == "~" or target.startswith("~/") else target
    path = cwd / text
    return Path(os.path.realpath(path) if ".." in path.parts else os.path.abspath(path))


def from_directories(targets: Iterable[str], host: Host) -> tuple[list[Model], str]:
    """Return the model directories at or below the targets, named by their path below the target, and what was cut.

    With more than one target the names start with it, so that no two are alike. The text is empty where all that is
    there was found. A target `hf:org/name` is that repository in the Hugging Face cache.
    """
    targets = list(targets)
    models: dict[str, Model] = {}
    cut = ""
    for target in targets:
        if target.startswith(HUB):
            models[target] = hub_model(target, host, models)
            continue
        root = target_path(target, host.home, host.cwd)
        require_there(target, root, host)
        named = _named(root, found_directory=inspect_path(root).kind == "directory")
        if len(models) + len(named) > MOST_TO_EXAMINE:
            cut = (
                f"there are more than {MOST_TO_EXAMINE:,} model directories at and below {printable(target)}, and the "
                "others were not examined: name the directories that matter"
            )
            named = named[: max(0, MOST_TO_EXAMINE - len(models))]
        for relative, path in named:
            name = relative if len(targets) == 1 else os.path.normpath(os.path.join(target, relative))
            required = relative == "." or not _merely_lies_there(path)
            models[name] = model_at(path, name, host, models, required=required)
            if len(targets) == len(named) == 1 and relative != ".":  # `model` below what was asked for says little
                models[name].called = os.path.join(root.name, relative)
    return list(models.values()), cut


def require_there(target: str, path: Path, host: Host) -> None:
    """Raise `UsageError` where nothing is at the path of a target, with what it may have been meant for."""
    if inspect_path(path).kind != "missing":
        return
    if path_like(target):
        if is_repo_id(target) and any(c.repo_id == target for c in host.cached_models):
            raise UsageError(f"there is nothing at {shell_quote(target)}; did you mean {shell_quote(HUB + target)}?")
        apart = why_not_written(path)
        if apart:
            raise UsageError(f"there is nothing at {shell_quote(target)}: {printable(apart)}")
    near = locate(path, home=host.home).near
    if path_like(target):
        hint = f"; did you mean {shell_quote(str(near[0]))}?" if near else ""
        raise UsageError(f"there is nothing at {shell_quote(target)}{hint}")
    hint = f"; did you mean {shell_quote(near[0].name)}?" if near else ""
    raise UnknownTarget(f"no model, role or directory named {shell_quote(target)}{hint}")


def hub_model(target: str, host: Host, models: Mapping[str, Model]) -> Model:
    """Return the model that an `hf:` reference stands for, cached or not. Raises `UsageError` for another text."""
    try:
        reference = model_path(host.cwd, target)
    except InvalidLocation as bad:
        raise UsageError(f"{shell_quote(target)} {bad}") from bad
    model = Model(name=target, kind="full", host=host, reference=reference, siblings=models)
    if model.found:
        model.kind = kind_of(model.path)
    return model


def model_at(path: Path, name: str, host: Host, models: Mapping[str, Model], *, required: bool) -> Model:
    """Return the model in a directory.

    One that holds a whole model and an adapter is an adapter where that leads to a base elsewhere. Otherwise
    transformers takes the weights there and puts the adapter on them.
    """
    reference = ModelPath(text=str(path), path=path)
    kind = kind_of(path)
    model = Model(name=name, kind=kind, host=host, reference=reference, required=required, siblings=models)
    if model.kind == "adapter" and model.holds_both and takes_own_weights(host.session.site_packages) is not False:
        base = model.base.model
        if base is None or not base.found or base.location.node.inode == model.location.node.inode:
            return Model(name=name, kind="full", host=host, reference=reference, required=required, siblings=models)
    return model


def _named(root: Path, *, found_directory: bool) -> list[tuple[str, Path]]:
    """Return names and paths for one target: `.` for the directory itself, else those below it, relative to it."""
    tree = read_tree(root)
    foreign = is_of_another_library(root, tree.names)
    if not found_directory or tree.problem or (is_model_directory(tree) and not names_modules(tree) and not foreign):
        return [(".", root)]
    found = islice(find_model_directories(root), MOST_TO_EXAMINE + 1)
    return [(os.path.relpath(path, root), path) for path in found if path != root or not foreign]


def _merely_lies_there(path: Path) -> bool:
    """Return whether a directory that was come across is no model that transformers is meant to load from there.

    That is one of another program, a tokenizer that somebody keeps alone, or what the Hugging Face cache keeps of a
    repository besides its current model: an earlier snapshot, or configuration and tokenizer, asked for alone.
    """
    names = read_tree(path).names
    if is_for_another_program(path, names) or all(n in TOKENIZER_FILES or _BESIDE.fullmatch(n) for n in names):
        return True
    if not is_snapshot(path):
        return False
    from sage_doctor.facts.hub_snapshots import is_leftover  # noqa: PLC0415 - most runs never ask the cache

    return is_leftover(path)


def why_no_model(path: Path) -> str:
    """Return what a directory without a model holds instead, or why it is out of reach; empty if unknown."""
    names = read_tree(path).names
    checkpoint = find_checkpoint(path)
    if checkpoint is not None:
        how, command = checkpoint.advice(path, "python")
        return f"what is there is {checkpoint.form.what}. {how}" + (f" ({command})" if command else "")
    program = program_of(names) or program_below(path)
    if program is not None:
        served = '; a model that it serves is kind = "service" in a manifest' if program.serves else ""
        return f"what is there is for {program.title}, and not loaded by transformers{served}"
    if is_of_another_library(path, names):
        return "its config.json names neither a model type nor a class, so that it is for another library"
    files = sorted(n for n in names if n.endswith(".safetensors"))[:_MOST_HEADERS]
    if any(_OF_PICTURES.match(t) for n in files for t in read_header(path / n).tensors):
        return "what is there is a LoRA for pictures (diffusers, ComfyUI, kohya), and not loaded by transformers"
    return why_not_written(path)


def kind_of(path: Path) -> ModelKind:
    """Return what kind of model a directory holds, as far as the names in it tell."""
    names = read_tree(path).names
    if "adapter_config.json" in names:
        return "adapter"
    # Without it a load takes the model, where there is one, and passes over an adapter's weights.
    model = "config.json" in names and any(n in names for n, _ in LOOKUP)
    return "adapter" if {"adapter_model.safetensors", "adapter_model.bin"} & names and not model else "full"


def only_tokenizer(path: Path) -> bool:
    """Return whether a directory has neither weights nor a configuration, nor a merged model's name."""
    names = read_tree(path).names
    if {"config.json", "adapter_config.json"} & names or any(WEIGHTS.match(n) for n in names):
        return False
    return not is_merged(path)


def is_merged(path: Path) -> bool:
    """Return whether a directory says that it holds a merged model: by the record of the merge, or by its name."""
    return inspect_path(path / RECORD).kind == "file" or _MERGED.search(path.name) is not None
