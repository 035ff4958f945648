"""Settings that people change: positions, attention, labels, tokens and templates; the right ones beside the wrong."""

from __future__ import annotations

import base64
from typing import Any

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, edit_json, read_json, write_json
from tests.corpus.builders.field.pages import without
from tests.corpus.builders.tensors import MODEL

TABLE = Table("field-settings", in_tree=False, shows="loads")
_SHAPES = "RuntimeError: You set `ignore_mismatched_sizes` to `False`"
_SHAPES_4 = "RuntimeError: Error(s) in loading state_dict"


def _rope(bench: Bench, name: str, value: dict[str, Any]) -> None:
    edit_json(bench.copy(name) / "config.json", ("rope_parameters",), rope_scaling=value, rope_theta=10000.0)


@TABLE.error("config-invalid", source="theroyallab/tabbyAPI#239", shows="TypeError: '<=' not supported")
def factor_in_quotation_marks(bench: Bench) -> None:
    """ "4.0" for YaRN's factor."""
    _rope(bench, "qwen3", {"rope_type": "yarn", "factor": "4.0", "original_max_position_embeddings": 32})


@TABLE.healthy(source="NVIDIA-NeMo/Automodel#2652")
def yarn_without_the_original_length(bench: Bench) -> None:
    """It is taken from max_position_embeddings."""
    _rope(bench, "qwen3", {"rope_type": "yarn", "factor": 2.0})


@TABLE.healthy(source="InternLM/lmdeploy#3013")
def yarn_as_qwen_documents_it(bench: Bench) -> None:
    """`type` and the original length."""
    _rope(bench, "qwen2-tied-padded", {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32})


@TABLE.healthy(source="ShmuelRonen/ComfyUI_ChatterBox_Voice#1")
def positions_of_llama_3(bench: Bench) -> None:
    """All that `llama3` needs."""
    value = {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 64}
    _rope(bench, "llama", {**value, "rope_type": "llama3"})


@TABLE.healthy(source="marin-community/marin#7156")
def base_of_positions_in_both_forms(bench: Bench) -> None:
    """For releases before and since 5."""
    both: dict[str, Any] = {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}, "rope_theta": 500000.0}
    edit_json(bench.copy() / "config.json", rope_scaling=None, **both)


@TABLE.error(
    "config-invalid",
    source="peremartra/optipfair#20",
    shows="StrictDataclassClassValidationError",
    shows_4="ValueError",
)
def more_layer_types_than_layers(bench: Bench) -> None:
    """Depth pruning left the list as it was."""
    path = bench.copy("gemma3_text") / "config.json"
    edit_json(path, layer_types=read_json(path)["layer_types"] + ["full_attention"] * 2)


@TABLE.error("package-missing", source="QwenLM/Qwen3-VL#1690", shows="ImportError", shows_4="loads")
def attention_under_the_name_of_the_argument(bench: Bench) -> None:
    """attn_implementation, which is read from config.json since 5."""
    edit_json(bench.copy() / "config.json", attn_implementation="flash_attention_2")


@TABLE.healthy(source="huggingface/transformers#135")
def three_labels(bench: Bench) -> None:
    """num_labels, without names for them."""
    folder = bench.copy("bert")
    stored = {k: v for k, v in tensors.unpack(folder / MODEL).items() if not k.startswith("cls.")}
    stored["classifier.weight"] = ("F32", [3, 32], bytes([0, 0, 128, 63]) * 96)
    stored["classifier.bias"] = ("F32", [3], bytes(12))
    tensors.pack(folder / MODEL, stored)
    edit_json(folder / "config.json", architectures=["BertForSequenceClassification"], num_labels=3)


@TABLE.error(
    "weights-shape-mismatch", source="ThilinaRajapakse/simpletransformers#255", shows=_SHAPES, shows_4=_SHAPES_4
)
def labels_of_the_data_set(bench: Bench) -> None:
    """Nine names in config.json, two rows in the classifier."""
    folder = bench.copy("bert")
    stored = {k: v for k, v in tensors.unpack(folder / MODEL).items() if not k.startswith("cls.")}
    stored["classifier.weight"] = ("F32", [2, 32], bytes([0, 0, 128, 63]) * 64)
    stored["classifier.bias"] = ("F32", [2], bytes(8))
    tensors.pack(folder / MODEL, stored)
    names = {f"L{i}": i for i in range(9)}
    edit_json(
        folder / "config.json",
        architectures=["BertForTokenClassification"],
        label2id=names,
        id2label={str(i): n for n, i in names.items()},
    )


@TABLE.error("weights-shape-mismatch", source="huggingface/transformers#13581", shows=_SHAPES, shows_4=_SHAPES_4)
def rows_of_the_original(bench: Bench) -> None:
    """The embedding was cut to the tokenizer, config.json has the padded number."""
    edit_json(bench.copy("gpt2") / "config.json", vocab_size=110)


@TABLE.error(
    "config-invalid", source="huggingface/transformers#34847", shows="ImportError", shows_4="PackageNotFoundError"
)
def dequantised_by_the_library(bench: Bench) -> None:
    """model.dequantize() left the setting."""
    stated = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": "nf4"}
    edit_json(bench.copy() / "config.json", quantization_config=stated)


@TABLE.error("config-invalid", source="ml-explore/mlx-lm#223", shows="ValueError: The model's quantization config")
def fused_and_dequantised_by_mlx(bench: Bench) -> None:
    """mlx_lm.fuse --de-quantize left both settings, and the weights are plain."""
    stated = {"group_size": 64, "bits": 4}
    edit_json(bench.copy() / "config.json", quantization=stated, quantization_config=stated)


@TABLE.healthy(source="hiyouga/LlamaFactory#6777")
def cast_to_bf16(bench: Bench) -> None:
    """fp8_cast_bf16.py, and a method that nobody knows: it is passed over."""
    edit_json(bench.copy() / "config.json", quantization_config={"quant_method": "bf16"})


@TABLE.healthy(source="QwenLM/Qwen3-ASR#210")
def greedy_with_a_tiny_temperature(bench: Bench) -> None:
    """It loads and speaks; only saving it is refused."""
    write_json(bench.copy() / "generation_config.json", {"do_sample": False, "temperature": 1e-06})


@TABLE.healthy(source="https://huggingface.co/openai/whisper-tiny/blob/main/generation_config.json")
def settings_of_whisper(bench: Bench) -> None:
    """forced_decoder_ids and tables of languages."""
    values = {"forced_decoder_ids": [[1, None], [2, 5]], "lang_to_id": {"<|en|>": 4}, "task_to_id": {"transcribe": 5}}
    write_json(bench.copy("whisper") / "generation_config.json", {**values, "is_multilingual": True, "max_length": 32})


# Tokens and templates


@TABLE.healthy(source="ml-explore/mlx-lm#661", shows_4="AttributeError: 'list' object has no attribute 'keys'")
def extra_tokens_as_a_list(bench: Bench) -> None:
    """The form of 5, which 4 refuses."""
    edit_json(
        bench.copy() / "tokenizer_config.json",
        extra_special_tokens=["<pad>"],
        tokenizer_class="PreTrainedTokenizerFast",
    )


@TABLE.error(
    "package-missing", source="meta-llama/llama#1151", shows="ValueError: `tiktoken` is required", shows_4="ValueError"
)
def tiktoken_for_sentencepiece(bench: Bench) -> None:
    """Llama 3's tokenizer.model alone: what lacks is tiktoken, not SentencePiece."""
    folder = without(bench.copy(), "tokenizer.json")
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "LlamaTokenizer"})
    lines = (f"{base64.b64encode(bytes([i])).decode()} {i}\n" for i in range(256))
    (folder / "tokenizer.model").write_text("".join(lines), encoding="ascii")


@TABLE.healthy(source="meta-llama/llama#615")
def tiktoken_beside_a_tokenizer(bench: Bench) -> None:
    """tokenizer.json comes first."""
    (bench.copy() / "tokenizer.model").write_text("IQ== 0\nIg== 1\n", encoding="ascii")


@TABLE.healthy(source="https://huggingface.co/CohereForAI/c4ai-command-r-v01/blob/main/tokenizer_config.json")
def templates_without_a_default(bench: Bench) -> None:
    """Named templates, none of them `default`: a session has to name one, as with a base model."""
    text = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    folder = bench.copy()
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    edit_json(folder / "tokenizer_config.json", chat_template=[{"name": "rag", "template": text}])


@TABLE.error("tokenizer-invalid", source="nomic-ai/gpt4all#3255", shows="loads; TemplateSyntaxError")
def template_misspelt(bench: Bench) -> None:
    """endfo."""
    text = "{%- for m in messages %}{{ m['content'] }}{%- endfo %}"
    (bench.copy() / "chat_template.jinja").write_text(text, encoding="ascii")


@TABLE.error("tokenizer-vocab-overflow", source="meta-llama/llama-cookbook#189")
def padding_added_to_the_tokenizer(bench: Bench) -> None:
    """<PAD> is id 96, and there are 96 rows."""
    folder = bench.copy()
    value = read_json(folder / "tokenizer.json")
    added = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    value["added_tokens"].append({"id": 96, "content": "<PAD>", "special": True, **added})
    write_json(folder / "tokenizer.json", value)
    edit_json(folder / "tokenizer_config.json", pad_token="<PAD>")


@TABLE.healthy(source="huggingface/transformers#9246")
def added_tokens_within_the_vocabulary(bench: Bench) -> None:
    """added_tokens.json repeats what tokenizer.json has."""
    write_json(bench.copy() / "added_tokens.json", {"<pad>": 0})


@TABLE.error(
    "config-invalid",
    source="runpod-workers/worker-vllm#195",
    shows="StrictDataclassFieldValidationError",
    shows_4="AttributeError",
)
def scaling_as_a_text(bench: Bench) -> None:
    """The object, in quotation marks."""
    value = '{"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64}'
    edit_json(bench.copy() / "config.json", ("rope_parameters",), rope_scaling=value)


@TABLE.error("config-invalid", source="huggingface/transformers#18052", shows="AttributeError", shows_4="ValueError")
def labels_as_a_list(bench: Bench) -> None:
    """id2label without its numbers."""
    edit_json(bench.copy("bert") / "config.json", id2label=["no", "yes"])


@TABLE.error("config-invalid", source="huggingface/transformers#7559", shows="ValueError: invalid literal for int()")
def labels_the_other_way_round(bench: Bench) -> None:
    """What belongs into label2id."""
    edit_json(bench.copy("bert") / "config.json", id2label={"no": 0, "yes": 1})


@TABLE.error("tokenizer-invalid", source="huggingface/lighteval#138", shows="loads; TypeError")
def length_as_a_text(bench: Bench) -> None:
    """model_max_length in quotation marks."""
    edit_json(bench.copy() / "tokenizer_config.json", model_max_length="4096")


@TABLE.error("tokenizer-invalid", source="huggingface/text-generation-inference#2774", shows="TypeError")
def two_ends_of_a_text(bench: Bench) -> None:
    """A list, as generation_config.json has one of ids."""
    edit_json(bench.copy() / "tokenizer_config.json", eos_token=["</s>", "<unk>"])


@TABLE.error("tokenizer-invalid", source="huggingface/transformers#2523", shows="ValueError: Padding side")
def side_of_the_padding(bench: Bench) -> None:
    """A value of another argument."""
    edit_json(bench.copy() / "tokenizer_config.json", padding_side="max_length")


@TABLE.healthy(source="huggingface/transformers#6910")
def special_tokens_of_one_s_own(bench: Bench) -> None:
    """A list, a side, and an end of text in the long form."""
    end = {"__type": "AddedToken", "content": "</s>", **dict.fromkeys(("lstrip", "normalized", "rstrip"), False)}
    values: dict[str, Any] = {"additional_special_tokens": ["<unk>"], "padding_side": "left"}
    edit_json(bench.copy() / "tokenizer_config.json", eos_token=end | {"single_word": False}, **values)


@TABLE.healthy(source="hiyouga/LlamaFactory#3011")
def adapter_weights_beside_the_model(bench: Bench) -> None:
    """adapter_model.safetensors, without adapter_config.json, is not read."""
    lora = {
        f"base_model.model.model.layers.0.self_attn.q_proj.lora_{n}.weight": ("F32", shape, bytes(512))
        for n, shape in (("A", [4, 32]), ("B", [32, 4]))
    }
    tensors.pack(bench.copy() / "adapter_model.safetensors", lora)


@TABLE.error("tokenizer-missing", source="mudler/LocalAI#4529", shows="ValueError", shows_4="TypeError")
def tokenizer_in_a_folder(bench: Bench) -> None:
    """Saved as a pipeline keeps it."""
    folder = bench.copy()
    (folder / "tokenizer").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).rename(folder / "tokenizer" / name)


@TABLE.error("custom-code-missing", source="EricLBuehler/mistral.rs#789", shows="ValueError")
def code_of_three_files_stayed(bench: Bench) -> None:
    """Phi-3-small: configuration, model and tokenizer are code."""
    own = {a: f"{p}_phi3_small.Phi3Small{c}" for a, p, c in (
        ("AutoConfig", "configuration", "Config"), ("AutoModelForCausalLM", "modeling", "ForCausalLM"),
    )}  # fmt: skip
    edit_json(bench.copy() / "config.json", model_type="phi3small", auto_map=own)
