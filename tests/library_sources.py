"""A site-packages directory with what the doctor reads of transformers: cut down to two architectures."""

from __future__ import annotations

from pathlib import Path

_MODELING = """
class LlamaPreTrainedModel(PreTrainedModel):
    base_model_prefix = "model"

class LlamaModel(LlamaPreTrainedModel):
    def __init__(self, config):
        self.padding_idx = config.pad_token_id
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, self.padding_idx)
        self.layers = nn.ModuleList([])
        self.norm = LlamaRMSNorm(config.hidden_size)
        self.act_fn = ACT2FN[config.hidden_act]
        rope_init_fn = ROPE_INIT_FUNCTIONS[self.rope_type]

class LlamaForCausalLM(LlamaPreTrainedModel, GenerationMixin):
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config):
        self.model = LlamaModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

class LlamaForSequenceClassification(GenericForSequenceClassification, LlamaPreTrainedModel): ...
"""
_CONFIGURATION = """
@strict
class LlamaConfig(PreTrainedConfig):
    model_type = "llama"
    rms_norm_eps: float = 1e-6
    attention_dropout: int | float | None = 0.0
    rope_parameters: RopeParameters | dict | None = None
    tie_word_embeddings: bool = False
"""
_ACTIVATIONS = """
ACT2CLS = {
    "gelu": GELUActivation,
    "silu": nn.SiLU,
}
"""
_LAYERS = """
class GenericForSequenceClassification:
    base_model_prefix = "model"

    def __init__(self, config):
        setattr(self, self.base_model_prefix, AutoModel.from_config(config))
        self.score = nn.Linear(1, 1)
"""
_ROPE = """
ROPE_INIT_FUNCTIONS = {
    "linear": _compute_linear,
    "llama3": _compute_llama3,
}
    def _validate_linear_rope_parameters(self, rope_parameters):
        required_keys = {"rope_type", "factor"}
    def _validate_llama3_rope_parameters(self, rope_parameters):
        required_keys = {"rope_type", "factor", "low_freq_factor"}
"""
_AUTO = """
CONFIG_MAPPING_NAMES = OrderedDict([("llama", "LlamaConfig"), ("llava", "LlavaConfig")])
PROCESSOR_MAPPING_NAMES = OrderedDict(
    [
        ("llava", "LlavaProcessor"),
        ("whisper", "WhisperProcessor"),
    ]
)
"""
_IMAGES = """
IMAGE_PROCESSOR_MAPPING_NAMES = OrderedDict(
    [
        ("llava", ("CLIPImageProcessor", "CLIPImageProcessorFast")),
    ]
)
"""
_AUTO_MODELS = """
MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES = OrderedDict(
    [
        ("whisper", "WhisperForConditionalGeneration"),
    ]
)
MODEL_FOR_CAUSAL_LM_MAPPING_NAMES = OrderedDict(
    [
        ("llama", "LlamaForCausalLM"),
    ]
)
MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES = OrderedDict(
    [
        ("llava", "LlavaForConditionalGeneration"),
    ]
)
"""
_QUANTIZERS = """
AUTO_QUANTIZATION_CONFIG_MAPPING = {
    "bitsandbytes_4bit": BitsAndBytesConfig,
    "gptq": GPTQConfig,
}
"""
_FORMAT = """
            if metadata is not None and metadata.get("format") not in ["pt", "tf", "flax", "mlx"]:
                raise OSError("no valid metadata")
"""


def write_library(place: Path, *, asks_for_format: bool = False) -> Path:
    """Write the sources below `place`, a site-packages directory, and return it."""
    files = {
        "models/llama/__init__.py": "",
        "models/llama/modeling_llama.py": _MODELING,
        "models/llama/configuration_llama.py": _CONFIGURATION,
        "activations.py": _ACTIVATIONS,
        "models/auto/auto_mappings.py": _AUTO,
        "models/auto/configuration_auto.py": "",
        "configuration_utils.py": "class PreTrainedConfig:\n    def validate_layer_type(self): ...\n",
        "models/auto/modeling_auto.py": _AUTO_MODELS,
        "models/auto/tokenization_auto.py": '("llama", "LlamaTokenizer")\n',
        "models/auto/image_processing_auto.py": _IMAGES,
        "modeling_layers.py": _LAYERS,
        "modeling_rope_utils.py": _ROPE,
        "modeling_utils.py": _FORMAT if asks_for_format else "def load_state_dict(): ...\n",
        "quantizers/auto.py": _QUANTIZERS,
        "quantizers/quantizer_gptq.py": "is_optimum_available()  # `pip install optimum` `pip install gptqmodel`\n",
        "conversion_mapping.py": '        "llama": [\n'
        '            WeightRenaming("^language_model.model", "model.language_model"),\n        ],\n',
    }
    for name, text in files.items():
        path = place / "transformers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return place
