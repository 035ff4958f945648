"""The plan of a merge: everything that is decided, before anything is touched.

Two calls make a merge: `plan_merge` reads headers and configurations and returns a frozen `MergePlan`, or raises
`MergeRefused`; `apply` carries it out (`sage_doctor.merge.run`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sage_doctor.facts.adapters import AdapterConfig, read_adapter_config
from sage_doctor.facts.config import read_config_facts
from sage_doctor.merge import adapter as adapter_parts
from sage_doctor.merge.assembly import Assembly, apply_module, lookup, needed_names, untouched
from sage_doctor.merge.base import BaseModel, Surroundings, find_base, read_base
from sage_doctor.merge.companions import Companion, companions, config_text
from sage_doctor.merge.edits import Piece
from sage_doctor.merge.layout import WeightsOut, index_text, lay_out
from sage_doctor.merge.library_names import library_view
from sage_doctor.merge.names import Names, join
from sage_doctor.merge.needs import Needs, estimate, judge_target, require
from sage_doctor.merge.recipe import Recipe, read_recipe
from sage_doctor.merge.refusal import refused, unmatched
from sage_doctor.merge.ties import INPUTS, OUTPUTS, find_tie, settle
from sage_doctor.readers.regular import Node, look
from sage_doctor.readers.tree import read_tree
from sage_doctor.text import human_bytes, listed, printable

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class MergePlan:
    """What a merge will do. Printing it tells a person; `apply` needs nothing else.

    `inputs` are the files that are read, with what they were when the plan was made. `texts` are small files that
    are written anew, by name.
    """

    adapter: Path
    base: Path
    base_why: str
    target: Path
    dtype: str | None
    names_why: str
    replaces: bool
    kept: tuple[Path, ...]
    weights: tuple[WeightsOut, ...]
    companions: tuple[Companion, ...]
    texts: Mapping[str, str]
    tokenizer: str
    untied: bool
    inputs: Mapping[Path, Node]
    needs: Needs
    recipe: Mapping[str, object]

    @property
    def pieces(self) -> list[Piece]:
        """Every tensor that is written, in order."""
        return [s.piece for f in self.weights for s in f.slots]

    @property
    def nbytes(self) -> int:
        """The bytes of weights that are written."""
        return sum(f.nbytes for f in self.weights)

    def __str__(self) -> str:
        """Return the plan as a person reads it."""
        computed = [p for p in self.pieces if p.computed]
        swapped = [p for p in self.pieces if not p.computed and p.source.path.parent == self.adapter]
        reads = sum(n.size for n in self.inputs.values())
        lines = [
            f"merge    {printable(str(self.adapter))}",
            f"into     {printable(str(self.base))} ({printable(self.base_why)})",
            f"as       {printable(str(self.target))}"
            + (" (replaced in one step; what is there now stays until the new one is verified)" if self.replaces else ""),
            f"reads    {len(self.inputs)} files, {human_bytes(reads)}",
            f"writes   {len(self.weights)} weight files, {human_bytes(self.nbytes)}; "
            f"{listed(sorted([*self.texts, *(c.name for c in self.companions)]), most=12)}",
            f"tensors  {len(self.pieces)}: {len(computed)} computed, {len(swapped)} taken from the adapter, the rest copied"
            f" (names: {self.names_why})",
            f"numbers  {self.dtype or 'as the base stores them'}"
            + ("; embedding and output layer become two tensors" if self.untied else ""),
            f"needs    {human_bytes(self.needs.disk_bytes)} on disk, {human_bytes(self.needs.memory_bytes)} of memory, "
            f"about {max(1, round(self.needs.seconds))} s",
        ]
        if self.kept:
            lines.append(f"keeps    {listed([p.name for p in self.kept])} of what is there now")
        lines.append("leaves   base and adapter as they are")
        return "\n".join(lines)


def plan_merge(
    adapter: Path,
    target: Path,
    *,
    base: Path | None = None,
    dtype: str | None = None,
    around: Surroundings | None = None,
) -> MergePlan:
    """Return the plan of merging `adapter` into its base as the model directory `target`. Touches nothing.

    `base` answers which base it is; without it, provenance must. `dtype` converts the floating tensors; None keeps
    what the base stores. Raises `MergeRefused` where the merge would not be faithful or cannot be done here.
    """
    adapter = Path(adapter).absolute()
    target = _real(Path(target).absolute())
    if dtype is not None and dtype not in DTYPES:
        raise refused(f"{printable(dtype)} is none of {', '.join(DTYPES)}", "Leave --dtype out to keep the base's own.")
    if look(adapter).kind != "directory":
        raise refused(f"{printable(str(adapter))} is not a directory", "Name the adapter's directory.")
    tree = read_tree(adapter)
    config = read_adapter_config(tree)
    recipe = read_recipe(config)
    weights, modules = adapter_parts.read_parts(tree)
    path, why = (base.absolute(), "named by you") if base is not None else find_base(
        adapter, config, around or Surroundings.here()
    )
    model = read_base(path, why)
    replaces, kept = judge_target(target, [adapter, model.path])
    built = _build(model, modules, recipe, dtype)
    copies, whose = companions(model, tree, keep=kept)
    files = lay_out(model, built.pieces)
    texts = _texts(model, built, files, dtype)
    inputs = [weights, config.file.path, *(p.source for p in copies), *(model.path / f.name for f in model.weights.files)]
    inputs += [model.path / "config.json", *([model.path / model.weights.entry] if model.weights.index else [])]  # type: ignore[operator]
    plan = MergePlan(
        adapter=adapter,
        base=model.path,
        base_why=model.why,
        target=target,
        dtype=dtype,
        names_why=built.names_why,
        replaces=replaces,
        kept=kept,
        weights=files,
        companions=tuple(c for c in copies if c.name not in texts),
        texts=texts,
        tokenizer=whose,
        untied=built.untied,
        inputs={Path(p): look(p) for p in dict.fromkeys(Path(p) for p in inputs)},
        needs=estimate([s.piece for f in files for s in f.slots], sum(c.nbytes for c in copies)),
        recipe=_summary(config),
    )
    require(plan.needs, target)
    return plan


def _real(target: Path) -> Path:
    """Return where the target really lies: a link to a directory stays, what it leads to is replaced."""
    return Path(target).resolve() if target.is_symlink() else target.parent.resolve() / target.name


@dataclass(kw_only=True)
class _Built:
    pieces: dict[str, Piece]
    names_why: str
    untied: bool
    vocabulary: int | None


def _build(
    base: BaseModel, modules: Mapping[str, adapter_parts.ModuleParts], recipe: Recipe, dtype: str | None
) -> _Built:
    stored = {n: p.tensor for n, p in base.tensors.items()}
    custom = bool(base.config.get("auto_map"))
    total = {p.tensor.name for m in modules.values() for p in m.parts.values()}
    assembly = Assembly(pieces=untouched(base, dtype), left=set(total))
    tie = find_tie(base, modules)
    aliases: dict[str, str] = {}
    plain = dict(modules)
    if tie is not None and tie.touched:
        aliases = settle(tie, assembly, recipe, lambda: _output_name(base, custom=custom))
        plain = {n: m for n, m in modules.items() if n not in aliases}
    names = join(stored, needed_names(plain))
    if names is None:
        names = _by_library(base, plain, custom=custom)
    kind = read_config_facts(base.config).model_type or ""
    for module in modules.values():
        if not module.parts:
            continue  # the second copy of a shared tensor, dealt with already
        weight, bias = (aliases[module.name], None) if module.name in aliases else lookup(names, module)
        apply_module(assembly, module, weight, bias, recipe, kind)
    if assembly.left:
        raise unmatched(f"{len(assembly.left)} of {len(total)} tensors found no place: {listed(sorted(assembly.left))}")
    return _Built(
        pieces=assembly.pieces,
        names_why=names.how,
        untied=tie is not None and tie.touched and len(assembly.pieces) > len(base.tensors),
        vocabulary=_vocabulary(base, assembly.pieces),
    )


def _by_library(base: BaseModel, modules: Mapping[str, adapter_parts.ModuleParts], *, custom: bool) -> Names:
    """Return the library's join. Raises `MergeRefused` where it does not find every name either."""
    stored = {n: p.tensor for n, p in base.tensors.items()}
    names = library_view(base.path, stored, custom_code=custom).names(stored)
    wanted = needed_names(modules)
    lost = [n for n in wanted if names.find(n) is None]
    if lost:
        raise unmatched(
            f"{len(lost)} of {len(wanted)} tensors that the adapter changes have no counterpart in the base, one to one: "
            f"{listed(lost, most=3)}"
        )
    return names


def _output_name(base: BaseModel, *, custom: bool) -> str:
    stored = {n: p.tensor for n, p in base.tensors.items()}
    output = library_view(base.path, stored, custom_code=custom).output
    if output is None:
        raise refused("the embedding is shared with an output layer whose name nothing tells")
    return output


def _vocabulary(base: BaseModel, pieces: Mapping[str, Piece]) -> int | None:
    """Return the new number of rows where the adapter brings embeddings of another size.

    Raises `MergeRefused` where two of them disagree, or it is not an embedding that changes its size.
    """
    changed = {n: p.shape[0] for n, p in pieces.items() if n in base.tensors and p.shape != base.tensors[n].shape}
    sizes = set(changed.values())
    if not sizes:
        return None
    rest = [n for n in pieces if n not in changed and n.removesuffix(".weight").rpartition(".")[2] in INPUTS | OUTPUTS]
    if len(sizes) > 1 or any(pieces[n].shape[0] not in sizes for n in rest):
        raise unmatched(f"the adapter resizes {listed(sorted(changed))}, and not what belongs to it: {listed(rest)}")
    return sizes.pop()


def _texts(base: BaseModel, built: _Built, files: tuple[WeightsOut, ...], dtype: str | None) -> dict[str, str]:
    texts = {}
    config = config_text(base.config, vocabulary=built.vocabulary, untied=built.untied, dtype=dtype)
    if config is not None:
        texts["config.json"] = config
    index = index_text(base, files)
    if index is not None and base.weights.entry is not None:
        texts[base.weights.entry] = index
    return texts


def _summary(config: AdapterConfig) -> dict[str, object]:
    return dict(config.values or {})
