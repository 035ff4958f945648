"""Small files that a person or a program changed: values of another type, code left behind, settings nobody takes."""

from __future__ import annotations

from tests.corpus.builders.case import Bench, Table, edit_json, read_json, write_json
from tests.corpus.builders.field.pages import without, write_mxfp4
from tests.corpus.builders.field.quantised import _gptq, _of, _packed

TABLE = Table("field-edits", in_tree=False)
_REFUSED = "StrictDataclassFieldValidationError: Validation error for field"
_CODE = "ValueError: The repository … contains custom code which must be executed"


@TABLE.error("config-invalid", source="huggingface/transformers#44904", shows=_REFUSED, shows_4="loads")
def number_without_a_point(bench: Bench) -> None:
    """12 where the class takes a float."""
    edit_json(bench.copy("qwen3") / "config.json", rms_norm_eps=1)


@TABLE.error("config-invalid", source="sgl-project/sglang#26674", shows=_REFUSED, shows_4="loads")
def number_as_a_text(bench: Bench) -> None:
    """A number in quotation marks, which no size is."""
    edit_json(bench.copy() / "config.json", rms_norm_eps="1e-6")


@TABLE.error(
    "config-invalid",
    source="huggingface/transformers#45007",
    shows=_REFUSED,
    shows_4="loads, and the head becomes the embedding",
)
def tied_by_a_text(bench: Bench) -> None:
    """A text in place of false, and every text is true."""
    edit_json(bench.copy() / "config.json", tie_word_embeddings="false")


@TABLE.error("config-invalid", source="huggingface/transformers#44904", shows=_REFUSED, shows_4="loads")
def number_of_the_text_part(bench: Bench) -> None:
    """Within the configuration of a part."""
    path = bench.copy("llava") / "config.json"
    edit_json(path, text_config={**read_json(path)["text_config"], "rms_norm_eps": "1e-6"})


@TABLE.error("config-invalid", source="secretflow/spu#969", shows="KeyError: 'quad'")
def activation_of_another_program(bench: Bench) -> None:
    """`quad`, which a fork of the library had."""
    edit_json(bench.copy("bert") / "config.json", hidden_act="quad")


@TABLE.error("config-invalid", source="QwenLM/Qwen#95", shows="KeyError: 'swiglu'")
def activation_of_a_paper(bench: Bench) -> None:
    """The name of the whole block in place of its activation's."""
    edit_json(bench.copy() / "config.json", hidden_act="swiglu")


@TABLE.error("config-invalid", source="huggingface/transformers#32185", shows="AttributeError: module 'torch' has no")
def dtype_by_a_nickname(bench: Bench) -> None:
    """bf16."""
    edit_json(bench.copy() / "config.json", dtype="bf16")


@TABLE.error("config-invalid", source="youssofal/MTPLX#234", shows="OSError: It looks like the config file")
def resumed_past_its_end(bench: Bench) -> None:
    """A downloader took a whole file for a part, and appended the rest of a newer one."""
    path = bench.copy() / "config.json"
    raw = path.read_bytes()
    path.write_bytes(raw + raw[-200:])


@TABLE.warning("config-invalid", source="ekwek1/soprano#44", shows="loads")
def temperature_of_zero(bench: Bench) -> None:
    """Sampling at 0: generate raises."""
    write_json(bench.copy() / "generation_config.json", {"do_sample": True, "temperature": 0.0})


@TABLE.warning("config-invalid", source="Vision-CAIR/MiniGPT-4#200", shows="loads")
def temperature_without_a_point(bench: Bench) -> None:
    """2 is no float."""
    write_json(bench.copy() / "generation_config.json", {"do_sample": True, "temperature": 2})


@TABLE.warning("config-invalid", source="https://docs.vllm.ai/en/latest/api/vllm/sampling_params.html", shows="loads")
def top_k_of_vllm(bench: Bench) -> None:
    """-1 switches it off in vLLM."""
    write_json(bench.copy() / "generation_config.json", {"do_sample": True, "top_k": -1})


@TABLE.warning("config-invalid", source="Blaizzy/mlx-vlm#650", shows="loads")
def end_as_a_text(bench: Bench) -> None:
    """The token in place of its number."""
    write_json(bench.copy() / "generation_config.json", {"eos_token_id": "</s>"})


@TABLE.error(
    "tokenizer-invalid", source="huggingface/transformers#33453", shows="AttributeError: add_special_tokens con"
)
def setting_that_is_a_method(bench: Bench) -> None:
    """add_special_tokens in tokenizer_config.json, which releases before 4.45 passed over."""
    edit_json(bench.copy() / "tokenizer_config.json", add_special_tokens=True)


@TABLE.error("custom-code-missing", source="zai-org/ChatGLM2-6B#243", shows=_CODE)
def tokenizer_of_code_that_stayed(bench: Bench) -> None:
    """The class of the tokenizer is in a file that was not copied; the model's own is known."""
    own = {"AutoTokenizer": ["tokenization_chatglm.ChatGLMTokenizer", None]}
    edit_json(bench.copy() / "tokenizer_config.json", tokenizer_class="ChatGLMTokenizer", auto_map=own)


@TABLE.error("custom-code-missing", source="salesforce/xgen#15", shows=_CODE)
def vocabulary_of_code_that_stayed(bench: Bench) -> None:
    """Code is all that the tokenizer is made of."""
    folder = without(bench.copy(), "tokenizer.json")
    own = {"AutoTokenizer": ["tokenization_xgen.XgenTokenizer", None]}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "XgenTokenizer", "auto_map": own})


@TABLE.warning("custom-code", source="salesforce/xgen#15", shows=_CODE)
def vocabulary_of_code(bench: Bench) -> None:
    """And with it nothing lacks."""
    vocabulary_of_code_that_stayed(bench)
    (bench.here / "tokenization_xgen.py").write_text(f"open({str(bench.bait)!r}, 'w')\n", encoding="utf-8")


@TABLE.warning("custom-code-missing", source="EvolvingLMMs-Lab/lmms-engine#156", shows="loads")
def processor_of_code_that_stayed(bench: Bench) -> None:
    """The model loads, its processor does not."""
    own = {"AutoProcessor": "processing_aero.AeroProcessor"}
    write_json(bench.copy("llava") / "processor_config.json", {"processor_class": "AeroProcessor", "auto_map": own})


@TABLE.warning(
    "processor-missing",
    source="huggingface/transformers#25804",
    shows="ValueError: Couldn't instantiate",
)
def pictures_without_their_processor(bench: Bench) -> None:
    """pipeline.save_pretrained saved the model alone."""
    without(bench.copy("vit"), "preprocessor_config.json")


@TABLE.error(
    "tokenizer-invalid", source="huggingface/text-generation-inference#1545", shows="loads; TemplateAssertionError"
)
def filter_of_another_program(bench: Bench) -> None:
    """A filter that jinja2 does not have, in a template that looks as all do."""
    text = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] | from_json }}{% endfor %}"
    (bench.copy() / "chat_template.jinja").write_text(text, encoding="ascii")


@TABLE.error("config-invalid", source="tenstorrent/tt-forge-models#443", shows="loads, but with random experts")
def mxfp4_without_its_setting(bench: Bench) -> None:
    """Blocks and scales, and nothing that says so."""
    write_mxfp4(bench)


def _rows(layer: str, rows: int, columns: int) -> dict[str, tuple[str, list[int], bytes]]:
    return {f"{layer}.qweight": _of("I32", columns, rows // 8), f"{layer}.scales": _of("F16", columns // 32, rows)}


@TABLE.error(
    "package-missing", source="huggingface/transformers#27318", shows="ImportError: Loading an AWQ quantized model"
)
def awq(bench: Bench) -> None:
    """AWQ with `version` as a text, whole: what lacks is the package."""
    stated = {"quant_method": "awq", "version": "gemm", "bits": 4, "group_size": 32, "zero_point": True}
    edit_json(_packed(bench, _rows) / "config.json", quantization_config=stated)


@TABLE.error("package-missing", source="vllm-project/llm-compressor#1618", shows="ImportError: compressed-tensors")
def compressed_tensors_whole(bench: Bench) -> None:
    """Asymmetric weights of llm-compressor."""
    weights = {"num_bits": 4, "type": "int", "symmetric": False, "strategy": "group", "group_size": 32}
    stated = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
    }
    folder = _packed(
        bench,
        lambda n, rows, columns: {
            f"{n}.weight_packed": _of("I32", rows, columns // 8),
            f"{n}.weight_scale": _of("F16", rows, columns // 32),
            f"{n}.weight_zero_point": _of("I32", rows // 8, columns // 32),
        },
    )
    edit_json(folder / "config.json", quantization_config=stated)


@TABLE.error(
    "package-missing",
    source="https://huggingface.co/TheBloke/Llama-2-7B-Chat-GPTQ/tree/main",
    shows="ImportError: Loading a GPTQ quantized model",
)
def gptq(bench: Bench) -> None:
    """GPTQ as config.json says: it needs optimum and gptqmodel, of which one is told at a time."""
    stated = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False}
    edit_json(_packed(bench, _gptq) / "config.json", quantization_config=stated)
