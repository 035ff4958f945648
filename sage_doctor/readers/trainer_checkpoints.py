"""Weights in the form of a trainer, a quantiser or an earlier framework: told by names, with what makes them a model.

The commands are those of the tools' own documentation and sources. Nothing is opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sage_doctor.system.frozen import frozen
from sage_doctor.system.walk import Walk
from sage_doctor.text import printable, shell_quote

_MOST_DIRECTORIES: Final = 100
_DEEP: Final = 2
# Of an optimizer: never the weights.
_NO_WEIGHTS = re.compile(r"(?:optim|scheduler|rng_state|random_states|scaler)")


@frozen
class Form:
    """One form of weights.

    `pattern` is what a path within the directory that holds them looks like. `how` is a sentence. In `command` and
    `how`, `{held}` stands for that directory, `{shards}` for the one of the file, `{here}` for the model's own, which
    has config.json, `{new}` for a new one and `{python}` for the sessions' interpreter.
    """

    what: str
    pattern: str
    how: str
    command: str = ""


_MEGATRON = (
    "Export them with examples/conversion/convert_checkpoints.py of Megatron-Bridge's source (export --hf-model THE "
    "ORIGINAL --megatron-path {held} --hf-path A NEW DIRECTORY)."
)
_IN_TRANSFORMERS_4 = (
    "They are read by transformers before 5 only: load them there with {option}=True and save them again with "
    "save_pretrained, or download the safetensors."
)

FORMS: Final = (
    Form(
        what="verl's FSDP shards",
        pattern=r"model_world_size_\d+_rank_\d+\.pt",
        how="Put them together with verl, which reads config and tokenizer from the folder huggingface beside them.",
        command="{python} -m verl.model_merger merge --backend fsdp --local_dir {held} --target_dir {new}",
    ),
    Form(
        what="verl's Megatron shards",
        pattern=r"dist_ckpt/[^/]+\.distcp",
        how="Put them together with verl (and --tie-word-embedding if the model ties them).",
        command="{python} -m verl.model_merger merge --backend megatron --local_dir {held} --target_dir {new}",
    ),
    Form(
        what="a checkpoint of NeMo 2",
        pattern=r"context/(?:io\.json|model\.yaml)",
        how="Export it with NeMo.",
        command="nemo llm export -y path={held} output_path={new} target=hf",
    ),
    Form(
        what="an archive of NeMo",
        pattern=r"[^/]+\.nemo",
        how="Convert it with scripts/checkpoint_converters/convert_…_nemo_to_hf.py of NeMo 1's source, the one of its "
        "architecture.",
    ),
    Form(what="Megatron's shards", pattern=r"iter_\d{7}/[^/]+\.distcp|common\.pt", how=_MEGATRON),
    Form(
        what="Megatron-LM's older form",
        pattern=r"iter_\d{7}/mp_rank_\d+(?:_\d+)*/model_optim_rng\.pt",
        how="Write them as torch_dist with tools/checkpoint/convert.py of Megatron-LM's source first. " + _MEGATRON,
    ),
    Form(
        what="GPT-NeoX's layers",
        pattern=r"global_step\d+/layer_\d+-model_\d+-model_states\.pt",
        how="Convert them with tools/ckpts/convert_neox_to_hf.py of GPT-NeoX's source (--input_dir {shards} "
        "--config_file THE YAML OF THE RUN --output_dir A NEW DIRECTORY).",
    ),
    Form(
        what="FSDP's shards",
        pattern=r"pytorch_model_fsdp_\d+/[^/]+\.distcp",
        how="Merge them with accelerate.",
        command="accelerate merge-weights {shards} {here}",
    ),
    Form(
        what="shards of torch.distributed",
        pattern=r"(?:[^/]+/)?[^/]+\.distcp",
        how="Merge them with accelerate, if they hold the weights alone and under transformers' names (torchtitan has "
        "scripts/checkpoint_conversion/convert_to_hf.py for its own).",
        command="accelerate merge-weights {shards} {here}",
    ),
    Form(
        what="shards of NeMo Automodel",
        pattern=r"\.hf_metadata",
        how="Put them together with tools/offline_hf_consolidation.py of NeMo Automodel's source (--model-name THE "
        "ORIGINAL --input-dir {held} --output-dir A NEW DIRECTORY).",
    ),
    Form(
        what="LitGPT's weights",
        pattern=r"lit_model\.pth",
        how="Convert them with LitGPT; the model.pth that it writes is a state dict: name it pytorch_model.bin.",
        command="litgpt convert_from_litgpt {held} {new}",
    ),
    Form(
        what="parts of one state dict (torchtune)",
        pattern=r"hf_model_\d{4}_\d+\.pt",
        how="Load each part, put all into one dict, and give that to save_pretrained(state_dict=…); newer releases of "
        "torchtune write safetensors with an index.",
    ),
    Form(
        what="Meta's form (torchtune)",
        pattern=r"meta_model_\d+\.pt",
        how="Name it consolidated.00.pth, put the original's params.json beside it, and convert it with "
        "convert_llama_weights_to_hf.py of transformers' source (--input_dir, --model_size, --output_dir).",
    ),
    Form(
        what="a checkpoint of Lightning",
        pattern=r"[^/]*(?:epoch|step)=[^/]*\.ckpt",
        how="Its state_dict holds the weights, under names that begin with the attribute of the LightningModule: take "
        "that off, and give the rest to save_pretrained(state_dict=…).",
    ),
    Form(
        what="HQQ's own form",
        pattern=r"qmodel\.pt",
        how="Load it with HQQ (AutoHQQHFModel.from_quantized), or quantise the original with HqqConfig and "
        "save_pretrained.",
    ),
    Form(
        what="Meta's own form",
        pattern=r"consolidated\.\d+\.pth",
        how="Convert it with convert_llama_weights_to_hf.py of transformers' source (--input_dir, --model_size, "
        "--output_dir, for Llama 3 --llama_version), or download the repository's safetensors.",
    ),
    Form(
        what="Mistral's own form",
        pattern=r"consolidated[^/]*\.safetensors",
        how="Serve it with vLLM (--tokenizer-mode mistral --config-format mistral --load-format mistral), convert it "
        "with convert_mistral_weights_to_hf.py of transformers' source, or download the repository's "
        "model-*.safetensors.",
    ),
    Form(
        what="weights of Flax",
        pattern=r"flax_model(?:-\d{5}-of-\d{5})?\.msgpack",
        how=_IN_TRANSFORMERS_4.replace("{option}", "from_flax"),
    ),
    Form(
        what="weights of TensorFlow",
        pattern=r"tf_model(?:-\d{5}-of-\d{5})?\.h5|model\.ckpt\.index",
        how=_IN_TRANSFORMERS_4.replace("{option}", "from_tf"),
    ),
    Form(
        what="a checkpoint of TensorFlow 1",
        pattern=r"[^/]+\.ckpt(?:-\d+)?\.index",
        how="Convert it with the command of transformers 4 (transformers-cli convert --model_type … --tf_checkpoint … "
        "--config … --pytorch_dump_output …), or download the model's safetensors.",
    ),
    Form(
        what="a checkpoint of Orbax (JAX)",
        pattern=r"(?:[^/]+/){0,2}manifest\.ocdbt",
        how="Its trainer exports it; MaxText does with python3 -m maxtext.checkpoint_conversion.to_huggingface "
        "(model_name=… load_parameters_path={shards} base_output_directory=A NEW DIRECTORY).",
    ),
)
_COMPILED = tuple((f, re.compile(rf"(?P<held>(?:[^/]+/)*?)(?:{f.pattern})", re.ASCII)) for f in FORMS)


@frozen
class Checkpoint:
    """Weights in such a form.

    `held` is the directory that holds them, `shards` that of the first file; `files` are paths below the one asked.
    """

    form: Form
    held: Path
    shards: Path
    files: tuple[str, ...]

    def advice(self, here: Path, python: str) -> tuple[str, str]:
        """Return the sentence and the command, which may be empty, for a model whose config.json is in `here`."""
        places = {"held": self.held, "shards": self.shards, "here": here, "new": self.held / "merged"}
        how = self.form.how.format(**{k: printable(str(v)) for k, v in places.items()})
        quoted = {k: shell_quote(v) for k, v in places.items()}
        return how, self.form.command.format(python=shell_quote(python), **quoted)


def find_checkpoint(path: Path, *, below: bool = True) -> Checkpoint | None:
    """Return the weights in a trainer's form at or below a directory, the nearest; None where there are none.

    Without `below`, only what the directory itself holds.
    """
    paths = sorted(_paths(path), key=lambda p: (p.count("/"), p))
    for form, pattern in _COMPILED:
        found = [(p, m["held"]) for p in paths if (m := pattern.fullmatch(p))]
        found = [(p, held) for p, held in found if held == found[0][1] and (below or not held)]
        if found:
            first = found[0][0]
            return Checkpoint(
                form=form, held=path / found[0][1], shards=(path / first).parent, files=tuple(p for p, _ in found)
            )
    return None


def _paths(root: Path) -> Iterator[str]:
    """Yield the paths of what lies at and below a directory, relative to it, without what is an optimizer's."""
    for listing in Walk(roots=[root], most_directories=_MOST_DIRECTORIES, most_depth=_DEEP).listings():
        where = Path(listing.path).relative_to(root).as_posix()
        listing.below = [e for e in listing.below if not _NO_WEIGHTS.match(e.name)]
        for name in listing.names:
            if not _NO_WEIGHTS.match(name):
                yield name if where == "." else f"{where}/{name}"
