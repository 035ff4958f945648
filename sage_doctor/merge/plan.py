"""The plan of a merge: everything that is decided, before anything is touched.

Two calls make a merge: `plan_merge` reads headers and configurations and returns a frozen `MergePlan`, or raises
`MergeRefused`; `apply` carries it out (`sage_doctor.merge.run`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sage_doctor.facts.adapters import AdapterConfig, read_adapter_config
from sage_doctor.merge import adapter as adapter_parts
from sage_doctor.merge.base import BaseModel, BaseSearch, find_base, read_base
from sage_doctor.merge.build import Built, build_on
from sage_doctor.merge.companions import Companion, companions, config_text
from sage_doctor.merge.edits import TensorPlan
from sage_doctor.merge.layout import WeightsOut, index_text, lay_out
from sage_doctor.merge.needs import Needs, estimate, judge_target, require
from sage_doctor.merge.quantised import Quantised
from sage_doctor.merge.recipe import read_recipe
from sage_doctor.merge.refusal import refused
from sage_doctor.readers.tree import read_tree
from sage_doctor.system.path_info import PathInfo, inspect_path
from sage_doctor.text import format_bytes, join_limited, printable

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class MergePlan:
    """What a merge will do. Printing it tells a person; `apply` needs nothing else.

    `inputs` are the files that are read, with what they were when the plan was made. `texts` are small files that
    are written anew, by name. `dequantized` says of which quantisation the base is rid, None where it keeps its form.
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
    inputs: Mapping[Path, PathInfo]
    needs: Needs
    recipe: Mapping[str, object]
    dequantized: Quantised | None = None

    @property
    def pieces(self) -> list[TensorPlan]:
        """Every tensor that is written, in order."""
        return [s.piece for f in self.weights for s in f.slots]

    @property
    def nbytes(self) -> int:
        """The bytes of weights that are written."""
        return sum(f.nbytes for f in self.weights)

    def __str__(self) -> str:
        """Return the plan as a person reads it."""
        return "\n".join(f"{word:8} {line}" for word, line in self._lines())

    def _lines(self) -> Iterator[tuple[str, str]]:
        computed = sum(p.computed for p in self.pieces)
        swapped = sum(not p.computed and p.source.path.parent == self.adapter for p in self.pieces)
        names = sorted([*self.texts, *(c.name for c in self.companions)])
        reads = sum(n.size for n in self.inputs.values())
        step = " (replaced in one step; what is there now stays until the new one is verified)"
        yield "merge", printable(str(self.adapter))
        yield "into", f"{printable(str(self.base))} ({printable(self.base_why)})"
        yield "as", printable(str(self.target)) + (step if self.replaces else "")
        yield "reads", f"{len(self.inputs)} files, {format_bytes(reads)}"
        files = f"{len(self.weights)} weight files" if len(self.weights) > 1 else "1 weight file"
        yield "writes", f"{files}, {format_bytes(self.nbytes)}; {join_limited(names, most=12)}"
        taken = f", {swapped} taken from the adapter" if swapped else ""
        plain = sum(p.source.coded is not None and not p.computed for p in self.pieces)
        taken += f", {plain} dequantised" if plain else ""
        yield "tensors", f"{len(self.pieces)}: {computed} computed{taken}, the rest copied (names: {self.names_why})"
        tie = "; embedding and output layer become two tensors" if self.untied else ""
        yield "numbers", (self.dtype or "as the base stores them") + tie
        for loss in self.dequantized.losses() if self.dequantized else ():
            yield "loses", loss
        room = f"{format_bytes(self.needs.disk_bytes)} on disk, {format_bytes(self.needs.memory_bytes)} of memory"
        yield "needs", f"{room}, about {max(1, round(self.needs.seconds))} s"
        if self.kept:
            yield "keeps", f"{join_limited([p.name for p in self.kept])} of what is there now"
        yield "leaves", "base and adapter as they are"


def plan_merge(
    adapter: Path,
    target: Path,
    *,
    base: Path | None = None,
    dtype: str | None = None,
    dequantize: bool = False,
    around: BaseSearch | None = None,
) -> MergePlan:
    """Return the plan of merging `adapter` into its base as the model directory `target`. Touches nothing.

    `base` answers which base it is; without it, provenance must. `dtype` converts the floating tensors; None keeps
    what the base stores. `dequantize` lets a quantised base become plain. Raises `MergeRefused` where the merge would
    not be faithful or cannot be done here.
    """
    adapter = Path(adapter).absolute()
    target = _real(Path(target).absolute())
    if dtype is not None and dtype not in DTYPES:
        raise refused(f"{printable(dtype)} is none of {', '.join(DTYPES)}", "Leave --dtype out to keep the base's own.")
    if inspect_path(adapter).kind != "directory":
        raise refused(f"{printable(str(adapter))} is not a directory", "Name the adapter's directory.")
    tree = read_tree(adapter)
    config = read_adapter_config(tree)
    recipe = read_recipe(config)
    weights, modules = adapter_parts.read_parts(tree)
    path, why = (
        (base.absolute(), "named by you")
        if base is not None
        else find_base(adapter, config, around or BaseSearch.here())
    )
    model = read_base(path, why)
    replaces, kept = judge_target(target, [adapter, model.path])
    model, built = build_on(model, modules, recipe, dtype, dequantize=dequantize)
    copies, whose = companions(model, tree, keep=kept)
    files = lay_out(model, built.pieces)
    texts = _texts(model, built, files, dtype)
    inputs: list[str | Path] = [
        weights,
        config.file.path,
        *(p.source for p in copies),
        *(model.path / f.name for f in model.weights.files),
    ]
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
        inputs={Path(p): inspect_path(p) for p in dict.fromkeys(Path(p) for p in inputs)},
        needs=estimate([s.piece for f in files for s in f.slots], sum(c.nbytes for c in copies)),
        recipe=_summary(config),
        dequantized=model.quantised,
    )
    require(plan.needs, target)
    return plan


def _real(target: Path) -> Path:
    """Return where the target really lies: a link to a directory stays, what it leads to is replaced."""
    return Path(target).resolve() if target.is_symlink() else target.parent.resolve() / target.name


def _texts(base: BaseModel, built: Built, files: tuple[WeightsOut, ...], dtype: str | None) -> dict[str, str]:
    texts = {}
    config = config_text(
        base.config, vocabulary=built.vocabulary, untied=built.untied, dtype=dtype, anew=base.quantised is not None
    )
    if config is not None:
        texts["config.json"] = config
    index = index_text(base, files)
    if index is not None and base.weights.entry is not None:
        texts[base.weights.entry] = index
    return texts


def _summary(config: AdapterConfig) -> dict[str, object]:
    return dict(config.values or {})
