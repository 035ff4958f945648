"""The base that an adapter was trained on: found by provenance, never by shape; if it is uncertain, you are asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sage_doctor.facts.adapters import AdapterConfig, lora_tensors
from sage_doctor.facts.base_fit import could_be_base
from sage_doctor.facts.base_names import foreign_name
from sage_doctor.facts.bases import (
    SAME_NAME,
    SAME_TAIL,
    Candidate,
    ResolvedBase,
    candidates_for,
    names_a_repository,
    resolve_base,
)
from sage_doctor.facts.config import read_config_facts
from sage_doctor.facts.hub_cache import cache_root, list_cached_models, resolve_hub
from sage_doctor.facts.quantization import is_left_over, method_of
from sage_doctor.facts.weights import Weights, read_weights
from sage_doctor.facts.wholeness import summary, weight_defects
from sage_doctor.merge.edits import TensorLocation
from sage_doctor.merge.quantization import BaseQuantization, read_quantization
from sage_doctor.merge.refusal import MergeRefused, refused
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.safetensors_header import Tensor
from sage_doctor.readers.tree import Tree, read_tree
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import join_limited, printable, shell_quote


@frozen
class BaseSearch:
    """Where a base is looked for. `named` are paths that somebody recorded for it, each with its source."""

    cwd: Path
    home: Path
    environ: Mapping[str, str]
    roots: tuple[Path, ...] = ()
    named: tuple[tuple[Path, str], ...] = ()

    @classmethod
    def here(cls) -> BaseSearch:
        """Return those of this process."""
        cwd = Path.cwd()
        home = Path(os.path.expanduser("~"))
        return cls(cwd=cwd, home=home, environ=os.environ, roots=(cwd, home))


@frozen
class BaseModel:
    """A base that can be merged into. `why` says how it was found.

    `tensors` are as they are stored; `quantization` says what the quantised ones among them stand for.
    """

    path: Path
    why: str
    tree: Tree
    config: Mapping[str, Any]
    weights: Weights
    tensors: Mapping[str, TensorLocation]
    quantization: BaseQuantization | None = None


def find_base(
    adapter: Path, config: AdapterConfig, tensors: Mapping[str, Tensor], search: BaseSearch
) -> tuple[Path, str]:
    """Return the directory of the base and how it was found. Raises `MergeRefused` if that is uncertain."""
    text = config.base
    if len(search.named) == 1:
        return search.named[0]
    if text is None and not search.named:
        raise _question("adapter_config.json does not name a base", [])
    candidates: list[Candidate] = []
    if text is not None and not search.named:
        resolved = resolve_base(text, adapter=adapter, cwd=search.cwd, home=search.home)
        spots = {os.path.realpath(p): p for p in (resolved.found, resolved.beside) if p is not None}
        if len(spots) > 1:
            raise _question(f"the base {printable(text)!r} leads to more than one directory", list(spots.values()))
        if spots:
            return next(iter(spots.values())), "the path that adapter_config.json names"
        root = cache_root(search.environ, search.home)
        if resolved.repo_id is not None:
            revision = (config.values or {}).get("revision")
            hub = resolve_hub(root, resolved.repo_id, revision if isinstance(revision, str) else None)
            if hub.snapshot is not None and _has_weights(hub.snapshot):
                return hub.snapshot, "the repository that adapter_config.json names, in the Hugging Face cache"
        cached = [(c.repo_id, c.snapshot) for c in list_cached_models(root)]
        loras = lora_tensors(tensors.values())
        found = candidates_for(text, known=(), found=(), cached=cached, roots=search.roots, exclude=[adapter])
        candidates = [c for c in found if c.rank <= SAME_NAME and could_be_base(c.path, loras)]
        certain = [c for c in candidates if c.rank <= SAME_TAIL]
        if len({os.path.realpath(c.path) for c in certain}) == 1:
            return certain[0].path, certain[0].why
        candidates = certain or candidates
        if not certain:
            _require_reachable(text, resolved, candidates)
    what = f"the base {printable(text)!r} was not found" if text else "the base is uncertain"
    raise _question(what, [p for p, _ in search.named] or [c.path for c in candidates])


def _require_reachable(text: str, resolved: ResolvedBase, candidates: list[Candidate]) -> None:
    """Raise `MergeRefused` where the base's name itself says where it is to be had, or what it is instead."""
    foreign = foreign_name(text)
    if foreign is not None:
        advice = f"{foreign.advice} Or name the base with --base DIR."
        raise refused(f"the base {printable(text)} {foreign.what}", "\n".join([advice, *foreign.commands]))
    if names_a_repository(resolved):
        raise _not_downloaded(text, candidates)


def _not_downloaded(repo_id: str, candidates: list[Candidate]) -> MergeRefused:
    others = [f"--base {shell_quote(c.path)}" for c in candidates]
    known = f", or name it if you have it elsewhere: {join_limited(others, most=5)}" if others else ""
    return refused(
        f"the base {printable(repo_id)} is not on this machine: neither a directory nor in the Hugging Face cache",
        f"Download it: `hf download {shell_quote(repo_id)}`{known or '. A copy elsewhere is named with --base DIR.'}",
    )


def _question(what: str, paths: list[Path]) -> MergeRefused:
    if not paths:
        return refused(what, "Name the base with --base DIR.")
    options = join_limited([f"--base {shell_quote(p)}" for p in paths], most=5)
    return refused(
        f"{what}; matching shapes do not prove that a model is the right base: fine-tuned models share them",
        f"Name the right one: {options}",
    )


def _has_weights(path: Path) -> bool:
    tree = read_tree(path)
    return "adapter_config.json" not in tree.names and read_weights(tree).form in ("single", "sharded")


def read_base(path: Path, why: str) -> BaseModel:
    """Return the base at `path`, its headers read. Raises `MergeRefused` where it cannot be merged into."""
    shown = printable(str(path))
    if path.suffix == ".gguf" or _only_gguf(path):
        raise refused(
            f"the base {shown} is a GGUF model, which a merge does not read",
            "Load it with transformers (from_pretrained with gguf_file=…), save the result, and name that with --base.",
        )
    if inspect_path(path).kind != "directory":
        raise refused(f"the base {shown} is not a directory", "Name the base with --base DIR.")
    tree = read_tree(path)
    if "adapter_config.json" in tree.names:
        raise refused(
            f"the base {shown} is itself an adapter",
            "Merge that adapter into its own base first, and name the result with --base:\n"
            f"sage-doctor merge {shell_quote(path)} --out {shell_quote(f'{path}-merged')}",
        )
    config = read_json_object(path / "config.json", most=1 << 24)
    if config.value is None:
        reason = "is missing" if config.missing else f"cannot be used: {printable(config.problem)}"
        raise refused(
            f"the base's config.json {reason} ({shown})", f"Examine it: `sage-doctor check {shell_quote(path)}`"
        )
    weights = read_weights(tree, config.value)
    tensors = _tensors(tree, weights)
    stated = config.value.get("quantization_config")
    method = method_of(stated) if isinstance(stated, Mapping) else None
    if is_left_over(method, (p.tensor for p in tensors.values())):
        raise refused(
            f"the base's {printable(str(path / 'config.json'))} says that its weights are quantised "
            f"({printable(method or '')}), and they are not: transformers refuses to load them",
            "Remove quantization_config from that config.json: it was left by the model it came from.",
        )
    quantization = read_quantization(config.value, tensors, read_config_facts(config.value).model_type or "")
    return BaseModel(
        path=path, why=why, tree=tree, config=config.value, weights=weights, tensors=tensors, quantization=quantization
    )


def _only_gguf(path: Path) -> bool:
    names = read_tree(path).names
    return any(n.endswith(".gguf") for n in names) and "config.json" not in names


def _tensors(tree: Tree, weights: Weights) -> dict[str, TensorLocation]:
    """Return every tensor of the base. Raises `MergeRefused` if the files are incomplete."""
    advice = f"Examine it: `sage-doctor check {shell_quote(tree.path)}`"
    where = printable(str(tree.path))
    defects = weight_defects(tree, weights)
    if defects:
        raise refused(f"the base is not whole: {summary(defects)} ({where})", advice)
    if weights.form not in ("single", "sharded"):
        raise refused(f"the base's weights are pickles, which sage-doctor never opens ({where})", advice)
    found: dict[str, TensorLocation] = {}
    for file in weights.files:
        tensors = file.header.tensors if file.header is not None else {}
        doubled = sorted(found.keys() & tensors.keys())
        if doubled:
            raise refused(f"the base stores {join_limited(doubled, most=2)} in two files", advice)
        found.update({n: TensorLocation(tree.path / file.name, t) for n, t in tensors.items()})
    return found
