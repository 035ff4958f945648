"""The plan of a merge: `plan_merge` reads headers and configurations and returns a frozen `MergePlan`.

It changes nothing. `apply` (in `sage_doctor.merge.run`) carries the plan out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from sage_doctor.facts.adapters import AdapterConfig, read_adapter_config
from sage_doctor.merge import adapter as adapter_parts
from sage_doctor.merge.adapter import ModuleParts
from sage_doctor.merge.base import BaseModel, BaseSearch, find_base, read_base
from sage_doctor.merge.build import Built, build_on
from sage_doctor.merge.companions import Companion, companions, config_text, unfit_tokenizer
from sage_doctor.merge.edits import TensorPlan
from sage_doctor.merge.layout import WeightsOut, index_text, lay_out
from sage_doctor.merge.meaning import require_effect, require_not_merged
from sage_doctor.merge.merge_rules import read_rules
from sage_doctor.merge.needs import ResourceEstimate, estimate, require_resources
from sage_doctor.merge.places import Removed, require_apart
from sage_doctor.merge.quantization import BaseQuantization
from sage_doctor.merge.refusal import refused
from sage_doctor.merge.target import Present, read_present
from sage_doctor.readers.merge_record import MergeLosses, merged_adapters
from sage_doctor.readers.safetensors_header import Tensor
from sage_doctor.readers.tree import read_tree
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import PathInfo, inspect_path
from sage_doctor.text import format_bytes, join_limited, printable

DTYPES = ("float32", "bfloat16", "float16")
_ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


@frozen
class MergePlan:
    """What a merge will do, for `apply` and, as `str(plan)`, for a person.

    `inputs` are the files that are read, as they were when the plan was made. `texts` are small files by name, with
    their new contents. `dequantized` is the quantisation that is removed from the base, None if it stays as it is.
    `uncovered` are modules that the adapter targets and has no tensors for, `unfit_tokenizer` says why the adapter's
    tokenizer is not taken, `merged_before` are the adapters that the base holds by its own record.
    """

    adapter: Path
    base: Path
    base_why: str
    target: Path
    dtype: str | None
    names_why: str
    present: Present
    weights: tuple[WeightsOut, ...]
    companions: tuple[Companion, ...]
    texts: Mapping[str, str]
    tokenizer: str
    left_out: Mapping[str, str]
    untied: bool
    inputs: Mapping[Path, PathInfo]
    needs: ResourceEstimate
    adapter_config: Mapping[str, object]
    uncovered: tuple[str, ...] = ()
    unfit_tokenizer: str = ""
    merged_before: tuple[Mapping[str, object], ...] = ()
    dequantized: BaseQuantization | None = None

    @property
    def replaces(self) -> bool:
        """Whether a directory is replaced."""
        return self.present.exists

    @property
    def kept(self) -> tuple[Path, ...]:
        """What is carried over from the replaced directory."""
        return tuple(self.target / n for n in self.present.kept)

    @property
    def written(self) -> frozenset[str]:
        """The names of the files that are written, the record aside."""
        return _names(self.weights, self.companions, self.texts)

    @property
    def tensor_plans(self) -> list[TensorPlan]:
        """Every tensor that is written, in order."""
        return [s.plan for f in self.weights for s in f.slots]

    @property
    def nbytes(self) -> int:
        """The bytes of weights that are written."""
        return sum(f.nbytes for f in self.weights)

    def __str__(self) -> str:
        """Return the plan as a person reads it."""
        return "\n".join(f"{word:9} {line}" for word, line in self._lines())

    def _lines(self) -> Iterator[tuple[str, str]]:
        computed = sum(p.computed for p in self.tensor_plans)
        swapped = sum(not p.computed and p.source.path.parent == self.adapter for p in self.tensor_plans)
        names = sorted([*self.texts, *(c.name for c in self.companions)])
        reads = sum(n.size for n in self.inputs.values())
        step = " (replaced in one step; the present model is kept until the new one is verified)"
        yield "adapter", printable(str(self.adapter))
        yield "base", f"{printable(str(self.base))} ({printable(self.base_why)})"
        yield "output", printable(str(self.target)) + (step if self.replaces else "")
        yield "reads", f"{len(self.inputs)} files, {format_bytes(reads)}"
        files = f"{len(self.weights)} weight files" if len(self.weights) > 1 else "1 weight file"
        yield "writes", f"{files}, {format_bytes(self.nbytes)}; {join_limited(names, most=12)}"
        plain = sum(p.source.quantized is not None and not p.computed for p in self.tensor_plans)
        counts = [(computed, "merged"), (swapped, "replaced by the adapter's"), (plain, "dequantised")]
        counts.append((len(self.tensor_plans) - computed - swapped - plain, "copied"))
        summary = ", ".join(f"{count} {what}" for count, what in counts if count)
        yield "tensors", f"{len(self.tensor_plans)}: {summary} (names: {self.names_why})"
        tie = "; embedding and output layer become two tensors" if self.untied else ""
        wider = sum(p.dtype == "F32" and p.stored != "F32" for p in self.tensor_plans) if self.dtype != "float32" else 0
        kept = f"; {wider} tensors in float32, as a load keeps them" if wider else ""
        yield "dtype", (self.dtype or "as stored in the base") + kept + tie
        for _, sentence in MergeLosses(uncovered=self.uncovered).sentences():
            yield "partial", sentence
        if self.unfit_tokenizer:
            yield "tokenizer", f"that of the base: {self.unfit_tokenizer}"
        for loss in self.dequantized.losses() if self.dequantized else ():
            yield "loses", loss
        required = f"{format_bytes(self.needs.disk_bytes)} on disk, {format_bytes(self.needs.memory_bytes)} of memory"
        yield "needs", f"{required}, about {max(1, round(self.needs.seconds))} s"
        yield from self.fate()
        for name, place in self.left_out.items():
            yield "skips", f"{printable(name)}: a link out of its model directory, to {printable(place)}"
        yield "unchanged", "base and adapter"

    def fate(self) -> Iterator[tuple[str, str]]:
        """Yield what becomes of the files of the replaced directory: a word, and their number and names."""
        present = self.present
        if present.replaced:
            yield "replaces", _counted(list(present.replaced), "of the old model")
        if present.kept:
            yield "keeps", _counted(present.top_kept, "carried over")
        if present.deleted:
            listed = [f"{name} ({why})" for name, why in present.deleted.items()]
            yield "deletes", _counted(listed, "that cannot be carried over, only with --allow-delete")


def _counted(names: list[str], what: str) -> str:
    files = f"{len(names)} files" if len(names) != 1 else "1 file"
    return f"{files} {what}: {join_limited(names, most=20)}"


def plan_merge(
    adapter: Path,
    target: Path,
    *,
    base: Path | None = None,
    dtype: str | None = None,
    dequantize: bool = False,
    search: BaseSearch | None = None,
    python: Path | None = None,
) -> MergePlan:
    """Return the plan of merging `adapter` into its base as the model directory `target`. Changes nothing.

    `base` names the base; without it, it is found by provenance. `dtype` converts the floating tensors; None keeps
    the base's own. `dequantize` allows a quantised base to become plain. `python` is the interpreter that the plan will
    be carried out in (`elsewhere.apply_with`), None for this one. Raises `MergeRefused` if the merge would
    not be faithful or cannot be done here.
    """
    adapter = Path(adapter).absolute()
    target = _real(Path(target).absolute())
    if dtype is not None and dtype not in DTYPES:
        raise refused(f"{printable(dtype)} is not one of {', '.join(DTYPES)}", "Omit --dtype to keep the base's own.")
    if inspect_path(adapter).kind != "directory":
        raise refused(f"{printable(str(adapter))} is not a directory", "Name the adapter's directory.")
    tree = read_tree(adapter)
    if "adapter_config.json" not in tree.names and {"config.json", *_ADAPTER_WEIGHTS} & tree.names == {"config.json"}:
        raise refused(
            f"{printable(str(adapter))} is a full model, not an adapter: there is nothing to merge",
            "Name the adapter's directory, and this as its base with --base.",
        )
    config = read_adapter_config(tree)
    rules = read_rules(config)
    weights, modules = adapter_parts.read_parts(tree)
    path, why = (
        (base.absolute(), "named by you")
        if base is not None
        else find_base(adapter, config, _tensors(modules), search or BaseSearch.here())
    )
    model = read_base(path, why)
    require_apart(Removed.of(target), [adapter, model.path], [])
    before = merged_adapters(model.path)
    require_not_merged(before, weights, model.path)
    model, built = build_on(model, modules, rules, dtype, dequantize=dequantize)
    require_effect(weights, modules, rules.values)
    unfit = unfit_tokenizer(model, tree, built.plans)
    copies, whose, left_out = companions(model, tree, target, own_tokenizer=not unfit)
    files = lay_out(model, built.plans)
    texts = _texts(model, built, files, dtype)
    inputs: list[str | Path] = [
        weights,
        config.file.path,
        *(p.source for p in copies),
        *(model.path / f.name for f in model.weights.files),
    ]
    inputs += [model.path / "config.json", *([model.path / model.weights.entry] if model.weights.index else [])]  # type: ignore[operator]
    copies = tuple(c for c in copies if c.name not in texts)
    present = read_present(target, written=_names(files, copies, texts), tokenizer=bool(whose))
    require_apart(present.removed, [adapter, model.path], [Path(p) for p in inputs])
    plan = MergePlan(
        adapter=adapter,
        base=model.path,
        base_why=model.why,
        target=target,
        dtype=dtype,
        names_why=built.names_why,
        present=present,
        weights=files,
        companions=copies,
        texts=texts,
        tokenizer=whose,
        left_out=left_out,
        untied=built.untied,
        inputs={Path(p): inspect_path(p) for p in dict.fromkeys(Path(p) for p in inputs)},
        needs=estimate([s.plan for f in files for s in f.slots], sum(c.nbytes for c in copies)),
        adapter_config=_summary(config),
        dequantized=model.quantization,
        uncovered=built.uncovered,
        unfit_tokenizer=unfit,
        merged_before=before,
    )
    require_resources(plan.needs, target, torch=python is None)
    return plan


def _tensors(modules: Mapping[str, ModuleParts]) -> dict[str, Tensor]:
    return {p.tensor.name: p.tensor for m in modules.values() for p in m.parts.values()}


def _real(target: Path) -> Path:
    """Return the real path of the target: a link to a directory stays, the directory behind it is replaced."""
    return Path(target).resolve() if target.is_symlink() else target.parent.resolve() / target.name


def _names(files: tuple[WeightsOut, ...], copies: tuple[Companion, ...], texts: Mapping[str, str]) -> frozenset[str]:
    return frozenset({*(f.name for f in files), *(c.name for c in copies), *texts})


def _texts(base: BaseModel, built: Built, files: tuple[WeightsOut, ...], dtype: str | None) -> dict[str, str]:
    texts = {}
    config = config_text(
        base.config, vocabulary=built.vocabulary, untied=built.untied, dtype=dtype, anew=base.quantization is not None
    )
    if config is not None:
        texts["config.json"] = config
    index = index_text(base, files)
    if index is not None and base.weights.entry is not None:
        texts[base.weights.entry] = index
    return texts


def _summary(config: AdapterConfig) -> dict[str, object]:
    return dict(config.values or {})
