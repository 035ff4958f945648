"""The names of the weights: those that the architecture looks for, and none left out. Nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.embeddings import EMBEDDING_NAMES, embedding_tensor
from sage_doctor.facts.library_source import renames_tensors, renamings
from sage_doctor.facts.model_source import (
    ModelClass,
    auto_class,
    model_source,
    read_model_class,
    text_part_ties,
    ties_by_default,
)
from sage_doctor.facts.tensor_names import Wrapped, find_wrapped, saved_from_peft
from sage_doctor.findings.restore import bring_back
from sage_doctor.readers.pickle_names import PickleNames, read_pickle_names
from sage_doctor.subjects.model import Model
from sage_doctor.text import join_limited, printable, shell_quote

ORDER = 84  # of the check files: causes before consequences

FULL = ("full", "merged")
BEFORE = (
    *("check_path", "check_hub", "check_hub_blobs", "check_weights_present", "check_shard_index"),
    *("check_shards_present", "check_weights_whole", "check_shard_index_matches", "check_config"),
)
NAMES = ("check_tensor_names", "check_tensors_filled")
_FLAT = "flat_param"  # what torch's FlatParameter is called
_NEVER_HOLLOW = (*EMBEDDING_NAMES, "lm_head.weight")


@check("static", after=BEFORE, kinds=FULL)
def check_tensor_names(model: Model) -> Iterator[Finding]:
    """No wrapper of the training run is left in the tensors' names."""
    pickled = _pickled(model)
    if pickled is not None and pickled.holder:
        yield _whole_checkpoint(model, pickled)
        return
    names = pickled.tensors if pickled is not None else tuple(model.tensors)
    if not names:
        raise NotApplicable("the names of the tensors are not known")
    mine, matrices = saved_from_peft(names)
    if mine:
        yield _from_peft(model, mine, matrices)
        return
    wrapped = _wrapped(model, names)
    if wrapped is not None:
        yield _from_wrapper(model, wrapped)


def _pickled(model: Model) -> PickleNames | None:
    if model.weights.form not in ("pickle", "pickle-sharded"):
        return None
    read = [found for f in model.weights.files if (found := read_pickle_names(model.path / f.name)) is not None]
    holder = read[0].holder if len(read) == 1 else ""
    return PickleNames(tensors=tuple(n for r in read for n in r.tensors), holder=holder)


def _class_of(model: Model, name: str | None = None) -> ModelClass | None:
    """Return what the session's transformers says of the class that a session loads this model with."""
    config = model.config
    named = name or next(iter(config.architectures), None)
    if config.model_type is None or named is None:
        return None
    return read_model_class(model.host.session.site_packages, config.model_type, named)


def _whole_checkpoint(model: Model, pickled: PickleNames) -> Finding:
    file, key = model.weights.files[0].name, pickled.holder
    wrapped = _wrapped(model, pickled.tensors)
    code = (
        "import sys, torch; from safetensors.torch import save_file; "
        f'w = torch.load(sys.argv[1], map_location="cpu", weights_only=True)["{key}"]; '
        f"save_file({{{wrapped.expression if wrapped else 'k'}: v.clone() for k, v in w.items()}}, sys.argv[2], "
        '{"format": "pt"})'
    )
    paths = shell_quote(model.path / file), shell_quote(model.path / "model.safetensors")
    prefix = f", without {printable(wrapped.seen, limit=120)!r} before the names," if wrapped else ""
    return finding(
        "weights-keys-missing",
        f"{printable(file)} is a whole training checkpoint: the weights are inside it, under {key!r}, where no loader "
        "looks",
        evidence={"file": file, "key": key, "tensors": list(pickled.tensors[:20])},
        fix=Fix(
            summary=f"Save what is under {key!r}{prefix} as model.safetensors, if you trust the file's origin.",
            commands=(" ".join((_python(model), "-c", shell_quote(code), *paths)),),
        ),
    )


def _wrapped(model: Model, names: tuple[str, ...]) -> Wrapped | None:
    sites, values = model.host.session.site_packages, model.config_file.value or {}

    def renamed() -> str:
        if renames_tensors(sites, values) is False:
            return ""
        # Before transformers 5 the classes themselves list what they rename.
        return renamings(sites, values) or model_source(sites, model.config.model_type or "")

    return find_wrapped(names, _class_of(model), renamed)


def _from_peft(model: Model, mine: list[str], matrices: list[str]) -> Finding:
    inside = f", with {len(matrices)} matrices of its adapter unmerged" if matrices else ""
    text = (
        f"saved from a model that PEFT still wraps{inside}: {join_limited([printable(n) for n in mine], most=2)} "
        f"({len(mine)} such names) instead of the model's own"
    )
    evidence = {"tensors": mine[:50], "adapter_tensors": matrices[:50]}
    if matrices:
        return finding(
            "weights-keys-missing",
            text,
            evidence=evidence,
            fix=Fix(
                summary="Save it again from the training run: `model.merge_and_unload().save_pretrained(DIR)`. If only "
                "the adapter's directory is left, `sage-doctor merge ADAPTER --base BASE --out DIR` does the same. "
                "Renaming these tensors would lose what was trained."
            ),
        )
    expression = 'k.removeprefix("base_model.model.").replace(".base_layer.", ".").replace(".original_module.", ".")'
    return finding("weights-keys-missing", text, evidence=evidence, fix=_renamed(model, "PEFT's names", expression))


def _from_wrapper(model: Model, wrapped: Wrapped) -> Finding:
    seen = printable(wrapped.seen, limit=120)
    by = f" (left by {wrapped.tool})" if wrapped.tool else ""
    example = wrapped.names[0]
    if example.endswith(_FLAT):
        return finding(
            "weights-keys-missing",
            f"{len(wrapped.names)} tensor(s) are FSDP's flat parameters ({printable(example, limit=160)}): the values "
            "of many layers in one row, under a name that no loader looks for; it fills the model with random numbers",
            evidence={"prefix": wrapped.seen, "tensors": list(wrapped.names[:50])},
            fix=Fix(
                summary="Save it again from the training run, with StateDictType.FULL_STATE_DICT (in accelerate "
                "fsdp_state_dict_type: FULL_STATE_DICT). Renaming does not help: where a layer ends is not in there."
            ),
        )
    return finding(
        "weights-keys-missing",
        f"{len(wrapped.names)} tensors have {seen!r} in their names{by}: a loader looks for "
        f"{printable(wrapped.strip(example), limit=120)}, finds {printable(example, limit=160)}, and fills the model "
        "with random numbers",
        evidence={"prefix": wrapped.seen, "tensors": list(wrapped.names[:50])},
        fix=_renamed(model, repr(seen), wrapped.expression),
    )


def _renamed(model: Model, what: str, expression: str) -> Fix:
    """Return the fix that writes the weights again under other names; the old files stay beside them."""
    names = [f.name for f in model.weights.files]
    files = " ".join(shell_quote(model.path / n) for n in names)
    if model.weights.form in ("pickle", "pickle-sharded"):
        reading, rest = 'torch.load(f, map_location="cpu", weights_only=True)', 'torch.save({%s}, f + ".new")'
        need = "import os, sys, torch"
    else:
        reading, rest = "load_file(f)", 'save_file({%s}, f + ".new", {"format": "pt"})'
        need = "import os, sys; from safetensors.torch import load_file, save_file"
    saving = rest % f"{expression}: v for k, v in {reading}.items()"
    code = f'{need}; [({saving}, os.rename(f, f + ".aside"), os.rename(f + ".new", f)) for f in sys.argv[1:]]'
    commands = [f"{_python(model)} -c {shell_quote(code)} {files}"]
    index = model.weights.index
    if index is not None:
        place = shell_quote(model.path / index.name)
        commands += [f"mv -n {place} {place}.aside", f"sage-doctor fix {shell_quote(model.path)}"]
    return Fix(
        summary=f"Take {what} out of the names: with the right names these weights load. The old files are kept as "
        "*.aside.",
        commands=tuple(commands),
    )


def _python(model: Model) -> str:
    return shell_quote(model.host.session.executable)


@check("static", after=BEFORE, kinds=FULL)
def check_tensors_filled(model: Model) -> Iterator[Finding]:
    """No tensor of the model was saved without its values."""
    hollow = [t.name for t in model.tensors.values() if t.shape == (0,) and t.name.endswith((".weight", ".bias"))]
    # A few parts of a size that a configuration sets to none are as they should be; an embedding never is.
    if len(hollow) * 10 >= len(model.tensors) > 0 or any(n.endswith(_NEVER_HOLLOW) for n in hollow):
        yield finding(
            "weights-shape-mismatch",
            f"{len(hollow)} of {len(model.tensors)} tensors have no values (shape [0]): "
            f"{join_limited([printable(n) for n in hollow], most=2)}. They were saved while DeepSpeed ZeRO-3 held the "
            "values in other processes",
            evidence={"tensors": hollow[:50]},
            fix=Fix(
                summary="Save it again with stage3_gather_16bit_weights_on_model_save = true, or build it from the "
                "checkpoint that DeepSpeed wrote: `python zero_to_fp32.py CHECKPOINT OUT`. "
                + bring_back(model, ["model.safetensors"]).summary
            ),
        )


@check("static", after=(*BEFORE, *NAMES, "check_quantization", "check_config_fits_weights"), kinds=FULL)
def check_output_layer(model: Model) -> Iterator[Finding]:
    """The output layer is among the weights, unless it shares its values with the embedding."""
    embedding = embedding_tensor(model.tensors)
    if embedding is None or model.config.model_type is None:
        raise NotApplicable("the weights have no embedding that is known by its name")
    known, headless = _speaking_class(model)
    output = next((t for t in known.tied if _is_output(t)), None) if known is not None else None
    if known is None or output is None:
        raise NotApplicable("the source of its class names no output layer that can share its values")
    part = output.split(".")[-2]
    same_shape = [t for t in model.tensors.values() if t.shape == embedding.shape and t.name != embedding.name]
    if same_shape or any(part in name.split(".") for name in model.tensors) or _tied(model) is not False:
        return
    evidence = {"missing": output, "embedding": embedding.name, "class": known.name}
    if headless:
        yield finding(
            "weights-keys-missing",
            f"the weights are those of a {printable(headless, limit=80)} without an output layer, and a prompt is "
            f"declared: {known.name} would fill {output} with random numbers",
            evidence=evidence,
            fix=Fix(
                summary="Save it again from the class that generates (AutoModelForCausalLM), or take the output layer "
                "from the base that it was trained from."
            ),
        )
        return
    text_part = isinstance((model.config_file.value or {}).get("text_config"), dict)
    inside = "text_config of " if text_part and text_part_ties(model.host.session.site_packages) else ""
    yield finding(
        "weights-keys-missing",
        f"{output} is missing, and config.json says that it does not share the values of {printable(embedding.name)} "
        "(tie_word_embeddings: false): it would be random numbers",
        evidence=evidence,
        fix=Fix(
            summary='If it was trained with tied embeddings, write "tie_word_embeddings": true into '
            f"{inside}config.json: the output layer then is the embedding. If it was not, fetch the weights again.",
            commands=(f"grep -n tie_word_embeddings {shell_quote(model.path / 'config.json')}",),
        ),
    )


def _is_output(target: str) -> bool:
    """Return whether a tied parameter is a layer that gives words out, written out in full."""
    inputs = ("embed_tokens", "wte", "word_embeddings", "embeddings", "shared", "embed_positions")
    plain = target.replace(".", "").replace("_", "").isalnum()
    return plain and target.endswith(".weight") and target.split(".")[-2] not in inputs


def _speaking_class(model: Model) -> tuple[ModelClass | None, str]:
    """Return the class whose output layer counts and, where the model was saved without one, the class it names."""
    named = next(iter(model.config.architectures), "")
    own = _class_of(model)
    asked = model.spec is not None and model.spec.prompt is not None
    if own is None or any(_is_output(t) for t in own.tied) or not asked:
        return own, ""
    sites, kind = model.host.session.site_packages, model.config.model_type or ""
    causal = auto_class(sites, "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", kind)
    # What has an output of another kind (a classifier) is judged by its load.
    if causal is None or not named.endswith("Model"):
        return None, ""
    return _class_of(model, causal), named


def _tied(model: Model) -> bool | None:
    """Return whether output and embedding share their values; None where that is not certain.

    Which part of a nested configuration decides differs between classes and releases. Where the session's does not
    ask the text part alone, one that ties is enough.
    """
    values, sites = model.config_file.value or {}, model.host.session.site_packages
    text = values.get("text_config")
    parts = (values,) if not isinstance(text, dict) else (text,) if text_part_ties(sites) else (values, text)
    told = []
    for part in parts:
        kind, stated = part.get("model_type"), part.get("tie_word_embeddings")
        default = ties_by_default(sites, kind) if isinstance(kind, str) else None
        if default is None and part is values and not isinstance(text, dict):
            return None  # the class decides by itself, whatever is written
        told.append(stated if isinstance(stated, bool) else default)
    if True in told:
        return True
    return False if False in told else None
