"""Reports of every kind, as their owners had the directories: names, small files, old forms and their healthy likes."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, edit_json, write_json
from tests.corpus.builders.field.layouts import touch
from tests.corpus.builders.pickles import state_dict
from tests.corpus.builders.tensors import INDEX, MODEL

TABLE = Table("field-reported", in_tree=False, shows="loads")


def add_tensor(folder: Path, name: str, shape: list[int], dtype: str = "F32", file: str = MODEL) -> None:
    """Put one more tensor into a file."""
    found = tensors.unpack(folder / file)
    size = {"F32": 4, "I64": 8, "F16": 2}[dtype]
    for side in shape:
        size *= side
    found[name] = (dtype, shape, bytes([1]) * size)
    tensors.pack(folder / file, found)


# Old forms that the library still reads


@TABLE.healthy(source="huggingface/transformers#11809")
def gamma_and_beta(bench: Bench) -> None:
    """bert-base-uncased has had LayerNorm.gamma and .beta since TensorFlow."""
    swap = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

    def older(name: str) -> str:
        for new, old in swap.items():
            name = name.replace(new, old)
        return name

    tensors.rename(bench.copy("bert") / MODEL, older)


@TABLE.healthy(source="BinLiang-NLP/Sentic-GCN#12")
def position_ids_stored(bench: Bench) -> None:
    """Older releases saved the buffer of positions."""
    add_tensor(bench.copy("bert"), "bert.embeddings.position_ids", [1, 64], "I64")


@TABLE.healthy(source="unslothai/unsloth#270")
def frequencies_stored(bench: Bench) -> None:
    """Llama of 2023: rotary_emb.inv_freq in each layer."""
    folder = bench.copy("llama")
    for layer in range(2):
        add_tensor(folder, f"model.layers.{layer}.self_attn.rotary_emb.inv_freq", [4])


@TABLE.healthy(source="huggingface/transformers#3974", shows="loads, but")
def masks_stored(bench: Bench) -> None:
    """GPT-2 with its causal masks, which are no parameters."""
    folder = bench.copy("gpt2")
    for layer in range(2):
        add_tensor(folder, f"transformer.h.{layer}.attn.bias", [1, 1, 128, 128])
        add_tensor(folder, f"transformer.h.{layer}.attn.masked_bias", [])


@TABLE.healthy(source="huggingface/transformers#33995")
def weight_norm_of_old(bench: Bench) -> None:
    """wav2vec2 saved before torch had parametrizations."""
    g, v = "parametrizations.weight.original0", "parametrizations.weight.original1"
    tensors.rename(bench.copy("wav2vec2") / MODEL, lambda n: n.replace(g, "weight_g").replace(v, "weight_v"))


@TABLE.healthy(source="huggingface/transformers#8933")
def t5_with_a_bias_too_many(bench: Bench) -> None:
    """T5's published files hold a position bias of the cross attention that nothing reads."""
    add_tensor(bench.copy("t5"), "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight", [32, 4])


# Settings that look wrong and are not


@TABLE.healthy(source="huggingface/transformers#29988")
def sampling_flags_without_sampling(bench: Bench) -> None:
    """`do_sample` is false and a temperature is set: it loads, only saving it again is refused."""
    write_json(bench.copy() / "generation_config.json", {"do_sample": False, "temperature": 0.9, "top_p": 0.6})


@TABLE.healthy(source="vllm-project/vllm#4182")
def several_ends(bench: Bench) -> None:
    """Llama 3 ends with one of several tokens."""
    folder = bench.copy()
    edit_json(folder / "config.json", eos_token_id=[2, 5, 6])
    write_json(folder / "generation_config.json", {"eos_token_id": [2, 5, 6]})


@TABLE.healthy(source="Edge0-AI/Edge0#104")
def total_size_of_nothing(bench: Bench) -> None:
    """Tools write `metadata: {}` or a size that is not the sum."""
    edit_json(bench.copy("llama-sharded") / INDEX, metadata={"total_size": 1})


@TABLE.healthy(source="vllm-project/vllm#3323")
def head_stored_though_tied(bench: Bench) -> None:
    """Gemma saved with its head, which is the embedding."""
    folder = bench.copy("gemma2")
    found = tensors.unpack(folder / MODEL)
    found["lm_head.weight"] = found["model.embed_tokens.weight"]
    tensors.pack(folder / MODEL, found)


@TABLE.error("config-invalid", source="NielsRogge/Transformers-Tutorials#380", shows="AttributeError: module 'torch'")
def dtype_with_its_module(bench: Bench) -> None:
    """`torch.bfloat16`, as str() writes it."""
    edit_json(bench.copy() / "config.json", dtype="torch.bfloat16")


# Directories that tools and systems wrote into


@TABLE.healthy(source="lmstudio-ai/lmstudio-bug-tracker#486")
def written_on_a_mac(bench: Bench) -> None:
    """A stick of a Mac leaves `._` files and .DS_Store."""
    folder = bench.copy("llama-sharded")
    for path in list(folder.iterdir()):
        (folder / f"._{path.name}").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" + bytes(80))
    (folder / ".DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1" + bytes(40))


@TABLE.healthy(source="huggingface/huggingface_hub#2284")
def linked_into_the_cache(bench: Bench) -> None:
    """`--local-dir` of 2023 filled a directory with links to blobs."""
    folder = bench.copy("llama-sharded")
    blobs = bench.beside / "hub/models--a--b/blobs"
    blobs.mkdir(parents=True)
    for number, path in enumerate(sorted(folder.iterdir())):
        shutil.move(path, blobs / f"{number:064x}")
        path.symlink_to(blobs / f"{number:064x}")


@TABLE.healthy(source="huggingface/huggingface_hub#2223")
def locks_of_a_download(bench: Bench) -> None:
    """.cache/huggingface/download of `hf download --local-dir`."""
    place = bench.copy() / ".cache/huggingface/download"
    touch(place, "model.safetensors.lock", "config.json.metadata", raw=b"")


@TABLE.healthy(source="arcee-ai/mergekit#185")
def merged_by_mergekit(bench: Bench) -> None:
    """A union of tokenizers is written as tokenizer.json alone, beside the recipe."""
    folder = bench.copy("llama-sharded")
    (folder / "mergekit_config.yml").write_text("merge_method: slerp\nbase_model: /a/b\n")
    (folder / "README.md").write_text("---\nbase_model: []\ntags: [mergekit]\n---\n")


@TABLE.healthy(source="oobabooga/textgen#697", shows_4="ValueError: Tokenizer class LLaMATokenizer does not exist")
def tokenizer_class_of_march_2023(bench: Bench) -> None:
    """LLaMATokenizer was renamed before it was released; tokenizer.json is all that is needed today."""
    edit_json(bench.copy() / "tokenizer_config.json", tokenizer_class="LLaMATokenizer")


@TABLE.healthy(source="raven-ml/raven#136")
def one_shard_and_its_index(bench: Bench) -> None:
    """model-00001-of-00001 with an index."""
    folder = bench.copy()
    name = "model-00001-of-00001.safetensors"
    (folder / MODEL).rename(folder / name)
    names = tensors.unpack(folder / name)
    write_json(folder / INDEX, {"metadata": {}, "weight_map": dict.fromkeys(names, name)})


# Small files


@TABLE.error("config-type-unknown", source="valuesimplex/FinBERT#13", shows="ValueError: Unrecognized model")
def no_model_type(bench: Bench) -> None:
    """config.json of before model_type."""
    edit_json(bench.copy("bert") / "config.json", drop=("model_type", "architectures"))


@TABLE.error("config-invalid", source="Sygil-Dev/sygil-webui#919", shows="OSError: It looks like the config")
def comma_too_many(bench: Bench) -> None:
    """Edited by hand: a comma before the brace."""
    path = bench.copy() / "config.json"
    path.write_text(path.read_text().rstrip().removesuffix("}").rstrip() + ",\n}\n")


@TABLE.error("config-invalid", source="ThilinaRajapakse/simpletransformers#1169", shows="OSError")
def config_with_a_mark(bench: Bench) -> None:
    """Saved by Notepad: a byte order mark."""
    path = bench.copy() / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


@TABLE.error("tokenizer-invalid", source="ThilinaRajapakse/simpletransformers#1169", shows="JSONDecodeError")
def tokenizer_config_with_a_mark(bench: Bench) -> None:
    """The same for the tokenizer's."""
    path = bench.copy() / "tokenizer_config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


@TABLE.warning("config-invalid", source="meta-llama/llama#691", shows="loads")
def full_stop_for_a_comma(bench: Bench) -> None:
    """generation_config.json of Llama-2-13b had `"do_sample": true.` for a day."""
    (bench.copy() / "generation_config.json").write_text('{\n  "bos_token_id": 1,\n  "do_sample": true.\n}\n')


@TABLE.error("config-missing", source="EvilBT/ComfyUI_SLK_joy_caption_two#37", shows="ValueError: Unrecognized model")
def config_downloaded_twice(bench: Bench) -> None:
    """A browser that had a config.json already wrote another name."""
    folder = bench.copy()
    (folder / "config.json").rename(folder / "config(1).json")


@TABLE.error("weights-missing", source="huggingface/diffusers#8974", shows="OSError")
def variant_alone(bench: Bench) -> None:
    """Only model.fp16.safetensors was fetched."""
    folder = bench.copy()
    (folder / MODEL).rename(folder / "model.fp16.safetensors")


@TABLE.error("weights-missing", source="oobabooga/textgen#1056", shows="OSError")
def quantised_of_2023(bench: Bench) -> None:
    """gpt4-x-alpaca-13b-native-4bit-128g: one .pt of GPTQ-for-LLaMa."""
    folder = bench.copy()
    (folder / MODEL).unlink()
    touch(folder, "gpt-x-alpaca-13b-native-4bit-128g.pt")


@TABLE.error("weights-not-safetensors", source="billwuhao/ComfyUI_DiffRhythm#43", shows="SafetensorError")
def pickle_named_safetensors(bench: Bench) -> None:
    """pytorch_model.bin renamed to model.safetensors."""
    folder = bench.copy()
    (folder / MODEL).write_bytes(state_dict(tensors.unpack(folder / MODEL)))


@TABLE.error("weights-not-safetensors", source="open-mmlab/mmagic#2089", shows="UnpicklingError")
def safetensors_named_bin(bench: Bench) -> None:
    """And the other way round."""
    folder = bench.copy()
    (folder / MODEL).rename(folder / "pytorch_model.bin")


# Sizes that do not fit


@TABLE.error("weights-shape-mismatch", source="huggingface/transformers#14218", shows="RuntimeError")
def labels_of_another_task(bench: Bench) -> None:
    """Three classes in the weights, two in config.json."""
    folder = bench.copy("vit")
    edit_json(folder / "config.json", id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2})


@TABLE.error("weights-shape-mismatch", source="arcee-ai/mergekit#12", shows="loads, but")
def fewer_layers_said_than_stored(bench: Bench) -> None:
    """A merge of slices whose config.json is the base's: the rest of the layers is left out silently."""
    edit_json(bench.copy() / "config.json", num_hidden_layers=1)


@TABLE.warning("tokenizer-vocab-overflow", source="allenai/open-instruct#124", shows="loads")
def padding_added_by_the_tokenizer(bench: Bench) -> None:
    """`[PAD]` was added to the tokenizer's settings and the model was never resized."""
    edit_json(bench.copy() / "tokenizer_config.json", pad_token="[PAD]")


@TABLE.error("config-invalid", source="huggingface/sentence-transformers#1683", shows="loads")
def module_of_main(bench: Bench) -> None:
    """modules.json names `__main__`."""
    folder = bench.copy("bert")
    write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": "__main__"}])
