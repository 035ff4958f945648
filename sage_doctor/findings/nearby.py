"""What lies near a model that lacks something, and may be what is missing: weights in another form, a misnamed file."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sage_doctor.facts.wholeness import directory_defects
from sage_doctor.readers.other_programs import CHECKPOINTS, program_below, program_of
from sage_doctor.readers.safetensors_header import read_header
from sage_doctor.readers.trainer_checkpoints import find_checkpoint
from sage_doctor.readers.tree import Tree, find_model_directories, read_tree
from sage_doctor.report import Fix
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start
from sage_doctor.text import format_bytes, join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.subjects.model import Model

_MOST_DIRECTORIES: Final = 300
_VARIANT = re.compile(r"model\.(?P<variant>[\w-]+)\.safetensors(?:\.index\.json)?", re.ASCII)
_ZERO = re.compile(r".*_optim_states\.pt", re.ASCII)
_PARTIAL = re.compile(r".+\.(?:incomplete|part|partial|crdownload|download|aria2|tmp)", re.ASCII)
_PICKLES = re.compile(r"(?:.*model.*|.*weights.*|.*checkpoint.*)\.(?:bin|pt|pth|ckpt)", re.ASCII | re.IGNORECASE)
# Beside the weights, but never the model's.
_NO_WEIGHTS = re.compile(r"training_args\.bin|(?:optimizer|scheduler|scaler|rng_state|random_states).*", re.ASCII)


@frozen
class Nearby:
    """Something that a loader does not take for the weights. `what` is a phrase, `how` the sentence of the fix.

    `reader` is the program whose model this is: nothing is missing then.
    """

    what: str
    how: str
    files: tuple[str, ...]
    commands: tuple[str, ...] = ()
    reader: str = ""


def weights_nearby(model: Model) -> Nearby | None:
    """Return the weights that are here in a form or place where `from_pretrained` does not look, the best of them."""
    return next((found for look in _LOOKS if (found := look(model)) is not None), None)


def with_nearby(fix: Fix, found: Nearby | None) -> Fix:
    """Return the fix that begins with what lies near by."""
    if found is None:
        return fix
    return replace(fix, summary=found.how, commands=(*found.commands, *fix.commands))


def _zero_shards(model: Model) -> Nearby | None:
    """Find what DeepSpeed writes where it does not gather the weights: a folder that the file `latest` names."""
    tree = model.tree
    for name in sorted(n for n in tree.names if n.startswith("global_step") or n == _latest(tree)):
        below = read_tree(tree.path / name).names
        if any(_ZERO.fullmatch(n) for n in below):
            python = shell_quote(model.host.session.executable)
            script = "zero_to_fp32.py" if tree.is_file("zero_to_fp32.py") else "-m deepspeed.utils.zero_to_fp32"
            folder = shell_quote(tree.path)
            # The last word names a directory since 0.15.3, and a file before: the script beside the shards tells.
            target = shell_quote(tree.path / "pytorch_model.bin") if _writes_a_file(tree) else folder
            return Nearby(
                what=f"DeepSpeed's shards in {printable(name)}/",
                how=f"The weights are there as DeepSpeed's shards ({printable(name)}/). Put them together with "
                "DeepSpeed's zero_to_fp32.py, which writes them beside config.json; with "
                "`stage3_gather_16bit_weights_on_model_save` the trainer does so itself.",
                files=(name,),
                commands=(f"cd {folder} && {python} {script} . {target}",),
            )
    return None


def _writes_a_file(tree: Tree) -> bool:
    try:
        text = read_start(tree.path / "zero_to_fp32.py", 1 << 20) if tree.is_file("zero_to_fp32.py") else b""
    except UnreadableFile:
        return False
    return b"output_file" in text and b"output_dir" not in text


def _latest(tree: Tree) -> str:
    try:
        name = read_start(tree.path / "latest", 200).decode("ascii").strip() if tree.is_file("latest") else ""
    except (UnreadableFile, UnicodeDecodeError):
        return ""
    return name if name in tree.names else ""


def _checkpoint(model: Model, *, below: bool = False) -> Nearby | None:
    """Find weights in the form of a trainer; verl keeps the configuration in a folder beside them."""
    path = model.path
    found = find_checkpoint(path, below=below)
    if found is None and path.name == "huggingface":
        found = find_checkpoint(path.parent, below=False)
    if found is None:
        return None
    how, command = found.advice(path, str(model.host.session.executable))
    what = f"{found.form.what} ({join_limited([printable(n) for n in found.files], most=2)})"
    return Nearby(
        what=what,
        how=f"The weights are there as {what}. {how}",
        files=found.files[:50],
        commands=(command,) if command else (),
    )


def _unfinished(model: Model) -> Nearby | None:
    """Find the part file of a download that was interrupted: of `hf download --local-dir`, or of another program."""
    tree = model.tree
    downloads = tree.path / ".cache" / "huggingface" / "download"
    parts = [downloads / n for n in sorted(read_tree(downloads).names) if n.endswith(".incomplete")]
    by_hub = bool(parts)
    parts += [
        tree.path / n for n in sorted(tree.names) if _PARTIAL.fullmatch(n) and (".safetensors" in n or ".bin" in n)
    ]
    if not parts:
        return None
    size = sum(inspect_path(p).size for p in parts)
    # The hub's own part files are named by hashes; a lock without a record beside it says which file was on its way.
    locks = [n.removesuffix(".lock") for n in sorted(read_tree(downloads).names) if n.endswith(".lock")]
    going = [n for n in locks if inspect_path(downloads / f"{n}.metadata").kind == "missing"]
    shown = join_limited(going, most=2) if by_hub and going else printable(parts[0].name, limit=120)
    how = "Run the same download again; what is whole is kept."
    if by_hub:
        how = f"Run `hf download … --local-dir {shell_quote(tree.path)}` again; what is whole is kept."
    return Nearby(
        what=f"an interrupted download ({format_bytes(size)} of {shown})",
        how=f"The download of {shown} was interrupted ({format_bytes(size)} arrived). {how}",
        files=tuple(str(p.relative_to(tree.path)) for p in parts),
    )


def _index_under_another_name(model: Model) -> Nearby | None:
    index = "model.safetensors.index.json"
    names = [n for n in sorted(model.tree.names) if n.endswith(".safetensors.index.json") and not _VARIANT.fullmatch(n)]
    names = [n for n in names if n != index and not n.startswith(("consolidated", "adapter_model"))]
    return _renamed(model, names[0], index) if len(names) == 1 else None


def _other_name(model: Model) -> Nearby | None:
    """Find one whole safetensors file under a name that no load looks for."""
    names = [
        n
        for n in sorted(model.tree.names)
        if n.endswith(".safetensors") and program_of([n]) is None and not _VARIANT.fullmatch(n)
        if not re.search(r"-\d{5}-of-\d{5}\.", n) and not _NO_WEIGHTS.fullmatch(n) and _holds_a_model(model.path / n)
    ]
    if len(names) == 1:
        return _renamed(model, names[0], "model.safetensors")
    if not names:
        return None
    return Nearby(
        what=join_limited(names),
        how=f"Several whole safetensors files are here under other names ({join_limited(names)}). Rename the right one "
        "to model.safetensors.",
        files=tuple(names),
    )


def _holds_a_model(path: Path) -> bool:
    header = read_header(path) if inspect_path(path).kind == "file" else None
    return header is not None and header.problem is None and not any(".lora_" in n for n in header.tensors)


def _variant(model: Model) -> Nearby | None:
    names = [n for n in sorted(model.tree.names) if _VARIANT.fullmatch(n)]
    if not names:
        return None
    variant = max(_VARIANT.fullmatch(n)["variant"] for n in names)  # type: ignore[index]
    return Nearby(
        what=join_limited(names),
        how=f'The weights are there as a variant ({join_limited(names)}). Load it with variant="{variant}", or rename '
        "the file.",
        files=tuple(names),
    )


def _gguf(model: Model) -> Nearby | None:
    names = [n for n in sorted(model.tree.names) if n.lower().endswith(".gguf") and "mmproj" not in n.lower()]
    if not names:
        return None
    split = re.search(r"-\d{5}-of-\d{5}\.gguf$", names[0], re.IGNORECASE)
    first = "llama-gguf-split --merge puts its parts together. " if split else ""
    name = printable(names[0])
    return Nearby(
        what=join_limited(names),
        how=f'The weights are there as GGUF. {first}Load them with gguf_file="{name}" (from_pretrained then needs the '
        "package gguf), use llama.cpp, or download the repository's safetensors.",
        files=tuple(names),
        reader="llama.cpp",
    )


def _shards_without_index(model: Model) -> Nearby | None:
    for pattern, index in (
        (r"pytorch_model-\d{5}-of-\d{5}\.bin", "pytorch_model.bin.index.json"),
        (r"(?!shard-)[\w.-]+-\d{5}-of-\d{5}\.safetensors", "model.safetensors.index.json"),  # torchtune's ft-model-…
    ):
        names = [n for n in sorted(model.tree.names) if re.fullmatch(pattern, n, re.ASCII) and not program_of([n])]
        if names:
            how = f"{len(names)} shard(s) are here, but not their index: copy {index} from their source."
            return Nearby(what=join_limited(names), how=how, files=tuple(names))
    return None


def _pickles(model: Model) -> Nearby | None:
    names = [
        n
        for n in sorted(model.tree.names)
        if _PICKLES.fullmatch(n) and not _NO_WEIGHTS.fullmatch(n) and model.tree.is_file(n) and program_of([n]) is None
    ]
    if not names or program_of(model.tree.names) is not None:
        return None
    move = f"mv -n {shell_quote(model.path / names[0])} {shell_quote(model.path / 'pytorch_model.bin')}"
    return Nearby(
        what=join_limited(names),
        how=f"{join_limited(names)} may hold the weights: if it is a state dict, rename it to pytorch_model.bin.",
        files=tuple(names),
        commands=(move,) if len(names) == 1 else (),
    )


def _another_program(model: Model) -> Nearby | None:
    program = program_of(model.tree.names) or program_below(model.path)
    if program is None:
        return None
    files = tuple(n for n in sorted(model.tree.names) if program_of([n]) is not None)[:50]
    return Nearby(
        what=f"weights for {program.name}",
        how=f"Load it with {program.name}. A session that runs transformers needs the model's safetensors: download "
        "those into a directory of their own.",
        files=files,
        reader=program.title if program not in CHECKPOINTS else "",
    )


def _below(model: Model) -> Nearby | None:
    """Find whole models in directories below: an archive was unpacked too deep, or a training run is meant."""
    found = [
        path
        for path in find_model_directories(model.path, most_directories=_MOST_DIRECTORIES)
        if path != model.path and not directory_defects(read_tree(path))
    ]
    if not found:
        return None
    shown = [str(p.relative_to(model.path)) for p in found]
    adapter = read_tree(found[0]).has("adapter_config.json")
    if len(found) == 1:
        what = "adapter" if adapter else "model"
        how = f"The {what} is further below: name {printable(str(found[0]))} instead, or move its files up."
    else:
        how = f"{len(found)} models are further below ({join_limited(shown, most=3)}): name the one that is meant."
    return Nearby(what=f"{join_limited(shown, most=3)} further below", how=how, files=tuple(shown[:50]))


_LOOKS: tuple[Callable[[Model], Nearby | None], ...] = (
    _index_under_another_name,
    _shards_without_index,
    _other_name,
    _zero_shards,
    _unfinished,
    _variant,
    _checkpoint,
    _gguf,
    _below,
    partial(_checkpoint, below=True),
    _pickles,
    _another_program,
)


def _renamed(model: Model, name: str, right: str) -> Nearby:
    return Nearby(
        what=printable(name),
        how=f"{printable(name)} is whole, but no load looks for that name: rename it to {right}.",
        files=(name,),
        commands=(f"mv -n {shell_quote(model.path / name)} {shell_quote(model.path / right)}",),
    )
