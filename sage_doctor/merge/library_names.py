"""The library's own map of stored names and runtime names, from a model without weights.

transformers renames tensors while it loads (`conversion_mapping`), and for some architectures puts several stored
tensors into one. Only what is renamed one to one can be mapped here. Needs transformers; works on the `meta`
device, so that no weight is read and no memory is taken.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sage_doctor.merge.expert_blocks import BlockShare, ExpertBlock
from sage_doctor.merge.names import NameMap
from sage_doctor.merge.refusal import refused
from sage_doctor.readers.safetensors_header import Tensor
from sage_doctor.system.frozen import frozen
from sage_doctor.text import printable

_BLOCK = 3  # dimensions of a block of experts


@frozen
class LibraryView:
    """What the library makes of a checkpoint. `running` are all names, `stored_of` maps them to stored ones one to one.

    `output` is the running name of the output layer's weight, where it is tied to the embedding. `blocks` are the
    running parameters of two or three dimensions, in the order in which their modules have them.
    """

    running: frozenset[str]
    stored_of: Mapping[str, str]
    output: str | None
    blocks: Mapping[str, ExpertBlock]

    def names(self, stored: Mapping[str, Tensor]) -> NameMap:
        """Return the name map."""
        return NameMap(stored, rule="the library's conversion mapping", rename=self.stored_of.get)


def library_view(base: Path, stored: Mapping[str, Tensor], *, custom_code: bool, causal: bool = False) -> LibraryView:
    """Return the library's view of the checkpoint in `base`. Raises `MergeRefused` where it has none.

    `causal` asks for the class that a session of a CAUSAL_LM adapter builds, which of a model for images and text is
    the text part. Code that a model brings along is never run.
    """
    if custom_code:
        raise refused(
            "the names cannot be mapped one to one, and the base has its own code, which sage-doctor never runs"
        )
    try:
        return _view(base, stored, causal=causal)
    except ImportError as error:
        raise refused(
            f"mapping the names needs transformers, which is not installed ({printable(str(error), limit=200)})",
            "Install sage-doctor with its extra `deep`, and merge again.",
        ) from error
    except (ValueError, KeyError, AttributeError, TypeError, OSError, RuntimeError, NotImplementedError) as error:
        what = printable(f"{type(error).__name__}: {error}", limit=200)
        raise refused(f"the names cannot be mapped one to one, and transformers failed to tell ({what})") from error


def _view(base: Path, stored: Mapping[str, Tensor], *, causal: bool) -> LibraryView:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    import transformers
    from transformers import conversion_mapping, core_model_loading

    config = transformers.AutoConfig.from_pretrained(str(base), local_files_only=True)
    model = _empty_model(torch, transformers, config, causal=causal)
    mapping = conversion_mapping.get_model_conversion_mapping(model)
    renamings = [m for m in mapping if isinstance(m, core_model_loading.WeightRenaming)]
    converters = [m for m in mapping if isinstance(m, core_model_loading.WeightConverter)]
    state = model.state_dict()
    stored_of: dict[str, str] = {}
    doubled = set()
    collected: dict[str, list[tuple[str, str]]] = {}
    for name in stored:
        running, converted = core_model_loading.rename_source_key(
            name, renamings, converters, model.base_model_prefix, state
        )
        if converted is None and running in state:
            if running in stored_of:
                doubled.add(running)
            stored_of[running] = name
        elif converted is not None and running in state:
            collected.setdefault(running, []).append((converted, name))
    blocks = {}
    for running, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        if len(shape) not in (2, 3):
            continue
        owner = model.get_submodule(running.rpartition(".")[0])
        shares: tuple[BlockShare, ...] = ()
        if running in stored_of and stored[stored_of[running]].shape == shape:
            shares = (BlockShare(stored=stored_of[running]),)
        elif running in collected:
            sorted_names = sorted(collected[running], key=lambda found: core_model_loading.dot_natural_key(found[1]))
            shares = _shares(sorted_names, _converter_of(converters, collected[running][0][0]), stored, shape)
        transposed = len(shape) == _BLOCK and bool(getattr(owner, "is_transposed", False))
        blocks[running] = ExpertBlock(shape=shape, transposed=transposed, shares=shares)
    tied = getattr(model, "_tied_weights_keys", None)
    output = next(iter(tied), None) if isinstance(tied, Mapping) else None
    return LibraryView(
        running=frozenset(state),
        stored_of={r: s for r, s in stored_of.items() if r not in doubled},
        output=output,
        blocks=blocks,
    )


def _converter_of(converters: list[Any], pattern: str) -> tuple[list[str], list[tuple[str, Any]]]:
    """Return the patterns of the converter that one of them belongs to, and its operations with their dimensions."""
    for converter in converters:
        if pattern in converter.source_patterns:
            operations = [(type(o).__name__, getattr(o, "dim", None)) for o in converter.operations]
            return list(converter.source_patterns), operations
    return [], []


def _shares(
    names: list[tuple[str, str]],
    converter: tuple[list[str], list[tuple[str, Any]]],
    stored: Mapping[str, Tensor],
    shape: tuple[int, ...],
) -> tuple[BlockShare, ...]:
    """Return what each stored tensor is of a block into which the library stacks and joins them; empty if unsure.

    Understood are experts stacked, and experts stacked whose outputs are joined (gate and up).
    """
    patterns, operations = converter
    stacked, joined = ("MergeModulelist", 0), ("Concatenate", 1)
    if operations not in ([stacked], [stacked, joined]) or len(shape) != _BLOCK:
        return ()
    found, first = [], 0
    for pattern in patterns:
        members = [name for p, name in names if p == pattern]
        sizes = {stored[name].shape for name in members}
        if len(members) != shape[0] or len(sizes) != 1 or len(size := sizes.pop()) != _BLOCK - 1 or size[1] != shape[2]:
            return ()
        found += [BlockShare(stored=name, expert=number, first=first) for number, name in enumerate(members)]
        first += size[0]
    return tuple(found) if first == shape[1] and len(found) == len(names) else ()


def _empty_model(torch: Any, transformers: Any, config: Any, *, causal: bool) -> Any:
    """Return the model on the `meta` device: the class its own config names, else the one for language models."""
    named = None if causal else getattr(transformers, (config.architectures or [""])[0] or "none", None)
    with torch.device("meta"):
        return named(config) if named is not None else transformers.AutoModelForCausalLM.from_config(config)
