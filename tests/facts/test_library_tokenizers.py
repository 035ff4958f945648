"""Which models take text: the tables of a made-up transformers, and those of the installed one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from sage_doctor.facts.library_tokenizers import methods_named, needs_merges, takes_text, vocabulary_files

SPEC = importlib.util.find_spec("transformers")
INSTALLED = (Path(str(SPEC.origin)).parents[1],) if SPEC is not None else ()


@pytest.mark.parametrize(
    "model_type, architecture, wanted",
    [
        ("llama", "LlamaForCausalLM", True),
        ("bert", "BertModel", True),
        ("clip", "CLIPModel", True),
        ("t5", "T5WithLMHeadModel", True),
        ("whisper", "WhisperForConditionalGeneration", True),
        ("wav2vec2", "Wav2Vec2ForCTC", True),
        ("musicgen", "MusicgenForConditionalGeneration", True),
        ("owlvit", "OwlViTForObjectDetection", True),
        ("wav2vec2", "Wav2Vec2ForPreTraining", False),
        ("hubert", "HubertModel", False),
        ("wavlm", "WavLMForXVector", False),
        ("whisper", "WhisperForAudioClassification", False),
        ("audio-spectrogram-transformer", "ASTForAudioClassification", False),
        ("videomae", "VideoMAEForPreTraining", False),
        ("vit_mae", "ViTMAEForPreTraining", False),
        ("dinov2", "Dinov2Model", False),
        ("clip_vision_model", "CLIPVisionModel", False),
        ("perceiver", "PerceiverForImageClassificationLearned", False),
        ("decision_transformer", "DecisionTransformerModel", False),
        ("siglip_text_model", "SiglipTextModel", None),
        ("somebodys_own", "SomebodysModel", None),
    ],
)
def test_what_the_installed_transformers_says(model_type: str, architecture: str, wanted: bool | None) -> None:
    assert takes_text(INSTALLED, model_type, architecture) is wanted


@pytest.mark.parametrize(
    "model_type, kind, wanted",
    [
        ("gpt2", None, True),
        ("qwen2", "Qwen2Tokenizer", True),
        ("roberta", "RobertaTokenizerFast", True),
        ("marian", None, False),
        ("wav2vec2", None, False),
        ("hubert", "Wav2Vec2CTCTokenizer", False),
        ("vits", "VitsTokenizer", False),
        ("llama", "PreTrainedTokenizerFast", None),
        ("somebodys_own", None, None),
    ],
)
def test_which_tokenizers_read_merges(model_type: str, kind: str | None, wanted: bool | None) -> None:
    assert needs_merges(INSTALLED, model_type, kind) is wanted


def test_nothing_is_known_without_the_library(tmp_path: Path) -> None:
    assert takes_text((tmp_path,), "vit", "ViTModel") is None
    assert needs_merges((tmp_path,), "marian", None) is None


@pytest.mark.parametrize(
    "model_type, kind, wanted",
    [
        ("speecht5", None, {"spm_char.model"}),
        ("llama", "SpeechT5Tokenizer", {"spm_char.model"}),
        ("fsmt", None, {"vocab-src.json", "vocab-tgt.json", "merges.txt"}),
        ("wav2vec2", "Wav2Vec2CTCTokenizer", {"vocab.json"}),
        ("canine", None, set()),
        ("t5", "ByT5Tokenizer", set()),
        ("bart", "BartTokenizer", None),
        ("somebodys_own", "SomebodysTokenizer", None),
        ("../../etc", "SomebodysTokenizer", None),
    ],
)
def test_what_a_tokenizer_is_made_of(model_type: str, kind: str | None, wanted: set[str] | None) -> None:
    assert vocabulary_files(INSTALLED, model_type, kind) == wanted


def test_settings_that_are_methods() -> None:
    asked = ("add_special_tokens", "pad", "all_special_ids", "padding_side", "vocab_size", "model_max_length")
    assert methods_named(INSTALLED, asked) == ["add_special_tokens", "pad"]
    assert methods_named((), asked) == []
