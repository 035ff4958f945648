"""Small files beside whole weights that ask for something a session cannot give, or that the weights are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, edit_json, write_json
from tests.corpus.builders.tensors import MODEL, POINTER

TABLE = Table("field-configs", in_tree=False)
_NO_CODE = "ValueError: Unrecognized / The checkpoint has model type … but Transformers does not recognize"
_NF4 = {
    "quant_method": "bitsandbytes",
    "load_in_4bit": True,
    "load_in_8bit": False,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_compute_dtype": "bfloat16",
}


def _halved(bench: Bench, name: str = "llama") -> Path:
    """Copy a model with its matrices in bfloat16, and return its config.json."""
    path = bench.copy(name) / MODEL
    stored = tensors.unpack(path)
    tensors.pack(path, {k: ("BF16", s, b"".join(raw[i + 2 : i + 4] for i in range(0, len(raw), 4)))
                        for k, (_, s, raw) in stored.items()})  # fmt: skip
    edit_json(path.with_name("config.json"), dtype="bfloat16")
    return path.with_name("config.json")


@TABLE.error("config-invalid", source="unslothai/unsloth#1601", shows="ImportError: Using `bitsandbytes` 4-bit")
def merged_with_the_bases_quantisation(bench: Bench) -> None:
    """A merge in 16 bits, with the quantization_config of the base it was trained on."""
    edit_json(_halved(bench), quantization_config=_NF4)


@TABLE.error("config-invalid", source="unslothai/unsloth-zoo#326", shows="ImportError: Using `bitsandbytes` 8-bit")
def merged_with_eight_bits_left(bench: Bench) -> None:
    """The same for 8 bits."""
    left = {"quant_method": "bitsandbytes", "load_in_8bit": True, "load_in_4bit": False}
    edit_json(_halved(bench, "mistral"), quantization_config=left)


@TABLE.error("config-invalid", source="unslothai/unsloth#1601", shows="ImportError: Loading a GPTQ quantized model")
def unpacked_gptq(bench: Bench) -> None:
    """Dequantised, and still said to be GPTQ."""
    edit_json(_halved(bench), quantization_config={"quant_method": "gptq", "bits": 4, "group_size": 128})


@TABLE.error("config-type-unknown", source="alvarobartt/hf-mem#46", shows="RuntimeError: You set `ignore_mismatched")
def quantised_by_a_tool_of_its_own(bench: Bench) -> None:
    """ModelOpt's NVFP4: packed matrices and scales, which transformers passes over."""
    path = bench.copy() / MODEL
    packed: dict[str, tuple[str, list[int], bytes]] = {}
    for name, (dtype, shape, raw) in tensors.unpack(path).items():
        if "_proj" in name:
            packed[name] = ("U8", [shape[0], shape[1] // 2], bytes(shape[0] * shape[1] // 2))
            packed[f"{name}_scale"] = ("F8_E4M3", [shape[0], shape[1] // 16], bytes(shape[0] * shape[1] // 16))
        else:
            packed[name] = (dtype, shape, raw)
    tensors.pack(path, packed)
    edit_json(path.with_name("config.json"), quantization_config={"quant_method": "modelopt", "quant_algo": "NVFP4"})


@TABLE.healthy(source="huggingface/transformers#35963", shows="loads")
def unknown_method_over_plain_weights(bench: Bench) -> None:
    """A method that transformers does not know is passed over with a warning: plain weights load."""
    edit_json(_halved(bench), quantization_config={"quant_method": "own-tool", "bits": 16})


@TABLE.healthy(source="unslothai/unsloth#1601", shows="loads")
def bitsandbytes_of_neither_width(bench: Bench) -> None:
    """`bitsandbytes` with both widths switched off is no quantisation."""
    edit_json(_halved(bench), quantization_config={**_NF4, "load_in_4bit": False})


@TABLE.healthy(
    source="unslothai/unsloth#1601",
    shows="loads",
    shows_4="AttributeError: 'NoneType' object has no attribute 'to_dict'",
)
def quantisation_of_null(bench: Bench) -> None:
    """The key is there, and holds nothing."""
    edit_json(_halved(bench), quantization_config=None)


_PACKED = {"group_size": 32, "bits": 4}


@TABLE.error(
    "config-type-unknown",
    source="transformers 5.23, quantizers/auto.py",
    shows="ValueError: The model's quantization config",
)
def quantised_by_mlx(bench: Bench) -> None:
    """mlx_lm.convert -q: packed numbers, and the sizes of their groups under two keys."""
    path = bench.copy() / MODEL
    stored = tensors.unpack(path)
    packed = {
        k: ("U32", [s[0], s[1] // 8], bytes(s[0] * s[1] // 2)) if len(s) == 2 else (d, s, raw)
        for k, (d, s, raw) in stored.items()
    }
    tensors.pack(path, packed)
    edit_json(path.with_name("config.json"), quantization=_PACKED, quantization_config=_PACKED)


@TABLE.error(
    "config-invalid",
    source="transformers 5.23, quantizers/auto.py",
    shows="ValueError: The model's quantization config",
)
def quantisation_without_a_method(bench: Bench) -> None:
    """What is left of a quantisation that somebody took out by hand."""
    edit_json(bench.copy() / "config.json", quantization_config={})


@TABLE.error("config-invalid", source="GaiZhenbiao/Phi3V-Finetuning#12", shows="AssertionError: Padding_idx must be")
def padding_beyond_the_rows(bench: Bench) -> None:
    """A padding token was added, and the embedding was never resized."""
    edit_json(bench.copy() / "config.json", pad_token_id=96)


@TABLE.error("config-invalid", source="haotian-liu/LLaVA#94", shows="AssertionError: Padding_idx must be within")
def padding_far_beyond_the_rows(bench: Bench) -> None:
    """The padding token of another model."""
    edit_json(bench.copy("qwen3") / "config.json", pad_token_id=151643)


@TABLE.error("config-invalid", source="Ucas-HaoranWei/GOT-OCR2.0#17", shows="AssertionError: Padding_idx must be")
def padding_of_an_encoder(bench: Bench) -> None:
    """The same for an encoder."""
    edit_json(bench.copy("bert") / "config.json", pad_token_id=30000)


@TABLE.healthy(source="huggingface/transformers#30255", shows="loads")
def padding_that_nothing_pads(bench: Bench) -> None:
    """Bloom gives its embedding no padding token: any number loads."""
    edit_json(bench.copy("bloom") / "config.json", pad_token_id=96)


@TABLE.healthy(source="meta-llama/llama#481", shows="loads")
def padding_of_minus_one(bench: Bench) -> None:
    """Meta's own tokenizer has -1, which torch counts from the end."""
    edit_json(bench.copy() / "config.json", pad_token_id=-1)


@TABLE.healthy(source="huggingface/transformers#30255", shows="loads")
def no_padding(bench: Bench) -> None:
    """No padding token at all."""
    edit_json(bench.copy("mistral") / "config.json", pad_token_id=None)


def _own_code(bench: Bench, **auto_map: str) -> Path:
    folder = bench.copy()
    edit_json(folder / "config.json", model_type="homegrown", architectures=["HomegrownForCausalLM"], auto_map=auto_map)
    return folder


@TABLE.error("custom-code-missing", source="huggingface/transformers#46165", shows=_NO_CODE)
def code_left_behind(bench: Bench) -> None:
    """`cp *.json *.safetensors`: the .py files stayed."""
    _own_code(bench, AutoConfig="configuration_own.OwnConfig", AutoModelForCausalLM="modeling_own.OwnForCausalLM")


@TABLE.error("custom-code-missing", source="huggingface/transformers#46165", shows=_NO_CODE)
def code_left_behind_in_part(bench: Bench) -> None:
    """One of the two came along."""
    folder = _own_code(bench, AutoConfig="configuration_own.OwnConfig", AutoModelForCausalLM="modeling_own.OwnLM")
    (folder / "configuration_own.py").write_text("class OwnConfig: ...\n", encoding="utf-8")


@TABLE.error("custom-code-missing", source="huggingface/transformers#46165", shows=_NO_CODE)
def code_that_imports_what_stayed(bench: Bench) -> None:
    """The modules that are named came along; what they import did not."""
    folder = _own_code(bench, AutoConfig="configuration_own.OwnConfig", AutoModelForCausalLM="modeling_own.OwnLM")
    (folder / "configuration_own.py").write_text("class OwnConfig: ...\n", encoding="utf-8")
    text = "from .configuration_own import OwnConfig\nfrom .attention_own import attend\n"
    (folder / "modeling_own.py").write_text(text, encoding="utf-8")


@TABLE.error("custom-code-missing", source="modelscope/modelscope#1225", shows=_NO_CODE)
def code_of_a_repository_never_fetched(bench: Bench) -> None:
    """A fine-tuned model whose code is in its base's repository, which is not in the cache."""
    name = "acme/homegrown--modeling_own.OwnForCausalLM"
    _own_code(bench, AutoConfig="acme/homegrown--configuration_own.OwnConfig", AutoModelForCausalLM=name)


@TABLE.healthy(also=("custom-code",), source="axolotl-ai-cloud/axolotl#2151", shows="loads")
def code_of_a_type_that_is_known(bench: Bench) -> None:
    """Since the model came out, transformers has learnt its type: the code is not needed."""
    edit_json(bench.copy() / "config.json", auto_map={"AutoModelForCausalLM": "modeling_llama.LlamaForCausalLM"})


def _rope(bench: Bench, name: str, value: dict[str, Any], **more: Any) -> None:
    edit_json(
        bench.copy(name) / "config.json", drop=("rope_parameters",), rope_theta=10000.0, rope_scaling=value, **more
    )


@TABLE.error(
    "config-invalid",
    source="ROCm/aiter#4742",
    shows="KeyError: Missing required keys in `rope_parameters`",
    shows_4="loads",
)
def positions_of_long_ago(bench: Bench) -> None:
    """Phi-3's `su` of April 2024."""
    factors = {"short_factor": [1.0] * 4, "long_factor": [1.1] * 4}
    _rope(bench, "phi3", {"type": "su", **factors}, original_max_position_embeddings=64)


@TABLE.error("config-invalid", source="huggingface/transformers#32182", shows="KeyError: Missing required keys in")
def positions_without_a_factor(bench: Bench) -> None:
    """`linear` without the factor that it is about."""
    _rope(bench, "llama", {"rope_type": "linear"})


@TABLE.error("config-invalid", source="huggingface/transformers#32167", shows="KeyError: Missing required keys in")
def positions_of_llama_3_cut(bench: Bench) -> None:
    """Half of what `llama3` needs."""
    _rope(bench, "llama", {"rope_type": "llama3", "factor": 8.0})


@TABLE.error("config-invalid", source="lightseekorg/TorchSpec#101", shows="KeyError: 'su'")
def positions_of_an_unknown_type(bench: Bench) -> None:
    """A type that the architecture never had."""
    _rope(bench, "mistral", {"rope_type": "su", "factor": 2.0})


@TABLE.healthy(source="sgl-project/sglang#2943", shows="loads")
def positions_stretched(bench: Bench) -> None:
    """YaRN as people write it by hand."""
    _rope(bench, "qwen3", {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64})


@TABLE.healthy(source="vllm-project/vllm#6897", shows="loads")
def positions_in_the_old_form(bench: Bench) -> None:
    """`type` instead of `rope_type`."""
    _rope(bench, "llama", {"type": "dynamic", "factor": 2.0})


@TABLE.healthy(source="QwenLM/Qwen2.5-Omni#373", shows="loads")
def positions_with_keys_of_others(bench: Bench) -> None:
    """Keys that the type does not know are passed over."""
    _rope(bench, "llama", {"rope_type": "default", "mrope_section": [1, 1, 2]})


@TABLE.warning("config-invalid", source="huggingface/transformers#32167", shows="loads with the defaults")
def generation_config_empty(bench: Bench) -> None:
    """The disk was full: transformers passes over the file silently."""
    (bench.copy() / "generation_config.json").write_bytes(b"")


@TABLE.warning("config-invalid", source="huggingface/transformers#32167", shows="loads with the defaults")
def generation_config_pointer(bench: Bench) -> None:
    """A Git LFS pointer."""
    (bench.copy("mistral") / "generation_config.json").write_text(POINTER, encoding="utf-8")


@TABLE.error("config-invalid", source="huggingface/transformers#32167", shows="TypeError: 'list' object is not a map")
def generation_config_a_list(bench: Bench) -> None:
    """JSON, but no object."""
    (bench.copy() / "generation_config.json").write_text("[]", encoding="utf-8")


@TABLE.warning("processor-missing", source="2U1/Qwen-VL-Series-Finetune#34", shows="loads")
def processor_left_behind(bench: Bench) -> None:
    """A trainer saved model and tokenizer, not the processor."""
    (bench.copy("llava") / "processor_config.json").unlink()


@TABLE.warning("processor-missing", source="melMass/comfy_mtb#252", shows="loads")
def ears_left_behind(bench: Bench) -> None:
    """The same of a model that hears: AutoProcessor and pipeline fail, from_pretrained of the model does not."""
    (bench.copy("whisper") / "preprocessor_config.json").unlink()


@TABLE.warning("processor-missing", source="unslothai/unsloth#1747", shows="loads")
def processor_of_a_class_that_went(bench: Bench) -> None:
    """Saved by a release whose image processor had another name."""
    folder = bench.copy("llava")
    (folder / "processor_config.json").unlink()
    write_json(folder / "preprocessor_config.json", {"image_processor_type": "LlavaOlderImageProcessor"})


@TABLE.error("processor-missing", source="LLaVA-VL/LLaVA-NeXT#20", shows="loads")
def processor_damaged(bench: Bench) -> None:
    """The file is a page that a server sent."""
    (bench.copy("llava") / "processor_config.json").write_text("Entry not found", encoding="utf-8")


@TABLE.healthy(source="PKU-YuanGroup/Video-LLaVA#65", shows="loads")
def processor_of_the_older_form(bench: Bench) -> None:
    """Only preprocessor_config.json, as before processor_config.json was invented."""
    folder = bench.copy("llava")
    (folder / "processor_config.json").unlink()
    write_json(folder / "preprocessor_config.json", {"image_processor_type": "CLIPImageProcessor"})


def _sentences(bench: Bench, *parts: tuple[str, str]) -> Path:
    folder = bench.copy("bert")
    named = [("", "Transformer"), *parts]
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(named)
    ]
    write_json(folder / "modules.json", modules)
    return folder


@TABLE.error("module-missing", source="huggingface/sentence-transformers#2458", shows="loads")
def pooling_left_behind(bench: Bench) -> None:
    """`cp` without -r: 1_Pooling stayed."""
    _sentences(bench, ("1_Pooling", "Pooling"))


@TABLE.error("module-missing", source="huggingface/sentence-transformers#2458", shows="loads")
def dense_without_its_config(bench: Bench) -> None:
    """The directory came along empty."""
    (_sentences(bench, ("2_Dense", "Dense")) / "2_Dense").mkdir()


@TABLE.error("config-invalid", source="chatchat-space/Langchain-Chatchat#69", shows="loads")
def modules_of_a_server(bench: Bench) -> None:
    """modules.json is what the server answered."""
    (_sentences(bench) / "modules.json").write_text("Entry not found", encoding="utf-8")


@TABLE.healthy(source="vllm-project/vllm#9388", shows="loads")
def normalize_without_a_directory(bench: Bench) -> None:
    """Normalize keeps nothing, and git has no empty directories."""
    folder = _sentences(bench, ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True})
