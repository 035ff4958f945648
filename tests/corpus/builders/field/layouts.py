"""Healthy trees as people have them: repositories for several programs, zoos, caches after years, training runs."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, edit_json, read_json, write_json
from tests.corpus.builders.pickles import state_dict
from tests.corpus.builders.tensors import INDEX, MODEL

TABLE = Table("field-layouts", in_tree=False, shows="loads")
ZIP = b"PK\x03\x04" + bytes(60)
_ZOO = "no model itself"
_PICKLED = ("weights-pickle-only",)
_ADDED = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def touch(folder: Path, *names: str, raw: bytes = ZIP) -> None:
    """Write files with some bytes of an archive."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)


def one_token_more(folder: Path, token: str) -> None:
    """Add a special token to tokenizer.json whose id is one beyond the embedding's rows."""
    value = read_json(folder / "tokenizer.json")
    rows = read_json(folder / "config.json")["vocab_size"]
    value["added_tokens"].append({"id": rows, "content": token, **_ADDED})
    write_json(folder / "tokenizer.json", value)


def tokenizer_only(bench: Bench, folder: Path) -> None:
    """Copy the small files of a tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bench.stock / "llama" / name, folder / name)


# Encoders and decoders


@TABLE.healthy(source="https://huggingface.co/openai/whisper-large-v3-turbo/blob/main/config.json")
def whisper_turbo(bench: Bench) -> None:
    """32 encoder layers, 4 decoder layers, and `num_hidden_layers` is the encoder's."""
    bench.copy("whisper")


@TABLE.healthy(source="https://huggingface.co/sshleifer/distilbart-cnn-12-6/blob/main/config.json")
def distilbart(bench: Bench) -> None:
    """Twelve layers read, six write."""
    edit_json(bench.copy("bart") / "config.json", num_hidden_layers=3)


@TABLE.healthy(source="https://huggingface.co/sshleifer/distill-pegasus-cnn-16-4/blob/main/config.json")
def distilled_pegasus(bench: Bench) -> None:
    """Sixteen and four."""
    edit_json(bench.copy("pegasus") / "config.json", num_hidden_layers=3)


@TABLE.healthy(source="https://huggingface.co/Helsinki-NLP/opus-mt_tiny_eng-deu/blob/main/config.json")
def tiny_marian(bench: Bench) -> None:
    """A translator with a deep encoder and a shallow decoder."""
    edit_json(bench.copy("marian") / "config.json", num_hidden_layers=3)


@TABLE.healthy(source="https://huggingface.co/alirezamsh/small100/blob/main/config.json")
def small_hundred(bench: Bench) -> None:
    """M2M-100 with 12 encoder and 3 decoder layers."""
    edit_json(bench.copy("m2m_100") / "config.json", num_hidden_layers=3)


@TABLE.healthy(source="https://huggingface.co/docs/transformers/model_doc/mbart")
def uneven_mbart(bench: Bench) -> None:
    """mBART cut to fewer decoder layers."""
    edit_json(bench.copy("mbart") / "config.json", num_hidden_layers=3)


@TABLE.healthy(source="https://huggingface.co/google/t5-efficient-small-el16-dl2/blob/main/config.json")
def uneven_t5(bench: Bench) -> None:
    """`num_layers` of the encoder, `num_decoder_layers` of the decoder."""
    bench.copy("t5-uneven")


@TABLE.healthy(source="https://huggingface.co/facebook/s2t-small-librispeech-asr/blob/main/config.json")
def speech_to_text(bench: Bench) -> None:
    """Twelve and six layers, `num_hidden_layers` 12."""
    edit_json(bench.copy("speech_to_text") / "config.json", num_hidden_layers=3)


@TABLE.healthy(source="https://huggingface.co/microsoft/trocr-base-printed/blob/main/config.json")
def layers_in_nested_configs(bench: Bench) -> None:
    """Encoder and decoder have a configuration each; nothing at the top states a number."""
    bench.copy("vision-encoder-decoder")


# Tokens beyond the rows


@TABLE.healthy(
    also=("tokenizer-vocab-overflow",),
    source="https://huggingface.co/google/gemma-3-1b-it/blob/main/tokenizer_config.json",
)
def image_token_of_a_text_model(bench: Bench) -> None:
    """Gemma 3 1B: the tokenizer of the family knows `<image_soft_token>`, the text model has no row for it."""
    one_token_more(bench.copy("gemma3_text"), "<image_soft_token>")


@TABLE.healthy(also=("tokenizer-vocab-overflow",), source="https://huggingface.co/facebook/bart-large-cnn")
def mask_that_no_summary_needs(bench: Bench) -> None:
    """bart-large-cnn: `<mask>` is 50264, and there are 50264 rows."""
    folder = bench.copy("bart")
    one_token_more(folder, "<mask>")
    edit_json(folder / "tokenizer_config.json", mask_token="<mask>")


@TABLE.healthy(source="https://huggingface.co/HuggingFaceM4/idefics-9b-instruct/blob/main/config.json")
def rows_kept_apart(bench: Bench) -> None:
    """Idefics: `additional_vocab_size` rows lie in an embedding of their own."""
    folder = bench.copy()
    one_token_more(folder, "<image>")
    edit_json(folder / "config.json", additional_vocab_size=2)


# Weights that a loader takes, whatever lies beside them


@TABLE.healthy(also=_PICKLED, source="IBM/text-generation-inference#35")
def index_that_names_bin_shards(bench: Bench) -> None:
    """model.safetensors.index.json was renamed, not rewritten: its weight_map names .bin files, and that loads."""
    folder = bench.copy("llama-sharded")
    index = read_json(folder / INDEX)
    for shard in sorted(folder.glob("model-*.safetensors")):
        name = f"pytorch_{shard.stem}.bin"
        (folder / name).write_bytes(state_dict(tensors.unpack(shard)))
        shard.unlink()
    index["weight_map"] = {k: f"pytorch_{Path(v).stem}.bin" for k, v in index["weight_map"].items()}
    write_json(folder / INDEX, index)


@TABLE.healthy(source="Blaizzy/mlx-vlm#1827")
def whole_file_beside_a_stale_index(bench: Bench) -> None:
    """Saved again as one file; the index of the earlier shards was left behind."""
    folder = bench.copy()
    names = tensors.unpack(folder / MODEL)
    weight_map = {n: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, n in enumerate(names)}
    write_json(folder / INDEX, {"metadata": {"total_size": 1}, "weight_map": weight_map})


@TABLE.healthy(source="Blaizzy/mlx-vlm#1464")
def whole_file_beside_some_old_shards(bench: Bench) -> None:
    """And some of the shards as well."""
    folder = bench.copy()
    for file in (bench.stock / "llama-sharded").iterdir():
        if file.name.startswith("model") and "00004-of" not in file.name:
            shutil.copy(file, folder / file.name)


@TABLE.healthy(also=_PICKLED, source="https://huggingface.co/facebook/opt-6.7b/tree/main")
def whole_bin_beside_a_stale_index(bench: Bench) -> None:
    """pytorch_model.bin comes before its index."""
    folder = bench.copy()
    (folder / "pytorch_model.bin").write_bytes(state_dict(tensors.unpack(folder / MODEL)))
    (folder / MODEL).unlink()
    shard = "pytorch_model-00001-of-00002.bin"
    write_json(folder / "pytorch_model.bin.index.json", {"metadata": {}, "weight_map": {"lm_head.weight": shard}})


@TABLE.healthy(source="unslothai/unsloth-zoo#808")
def second_set_of_shards(bench: Bench) -> None:
    """granite-3.2-8b-instruct: shards of another sharding that no index names."""
    folder = bench.copy("llama-sharded")
    shutil.copy(folder / "model-00001-of-00009.safetensors", folder / "model-00001-of-00003.safetensors")


@TABLE.healthy(source="deepspeedai/DeepSpeed#892")
def gathered_by_deepspeed(bench: Bench) -> None:
    """The weights were gathered; DeepSpeed's own shards and its script lie beside them."""
    folder = bench.copy()
    touch(folder / "global_step500", *(f"bf16_zero_pp_rank_{r}_mp_rank_00_optim_states.pt" for r in (0, 1)))
    touch(folder, "training_args.bin", "scheduler.pt", "rng_state_0.pth", "global_step500/mp_rank_00_model_states.pt")
    (folder / "latest").write_text("global_step500", encoding="ascii")
    (folder / "zero_to_fp32.py").write_text("#!/usr/bin/env python\n", encoding="ascii")
    write_json(folder / "trainer_state.json", {"global_step": 500})


@TABLE.healthy(shows="loads, but with unexpected keys", source="https://huggingface.co/google-bert/bert-base-uncased")
def head_that_the_class_leaves_out(bench: Bench) -> None:
    """bert-base-uncased holds the next-sentence head; the class in config.json is BertForMaskedLM."""
    edit_json(bench.copy("bert") / "config.json", architectures=["BertForMaskedLM"])


@TABLE.healthy(source="https://huggingface.co/google-bert/bert-base-uncased/tree/main")
def every_format_at_once(bench: Bench) -> None:
    """TensorFlow, Flax, Rust, Core ML, ONNX and OpenVINO beside safetensors and a pickle."""
    folder = bench.copy("bert")
    touch(folder, "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "rust_model.ot")
    package = "coreml/fill-mask/float32_model.mlpackage"
    touch(folder, f"{package}/Data/com.apple.CoreML/model.mlmodel", "onnx/model.onnx", "openvino/openvino_model.bin")
    write_json(folder / package / "Manifest.json", {"fileFormatVersion": "1.0.0"})
    shutil.copy(folder / "config.json", folder / "onnx" / "config.json")
