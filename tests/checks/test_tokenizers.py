"""The tokenizer."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from tests.library_sources import write_library
from tests.model_directories import (
    ADAPTER,
    LORA,
    MODEL,
    POINTER,
    RANK,
    VOCABULARY,
    edit_json,
    write_adapter,
    write_full,
    write_json,
    write_tensors,
    write_tokenizer,
)

from .cases import SESSION, Bench, Case, Cases

SPEC = importlib.util.find_spec("transformers")
LIBRARY = (Path(str(SPEC.origin)).parents[1],) if SPEC is not None else ()
CASES = Cases()
PROMPTED = '[models.m]\nkind = "full"\npath = "here"\nprompt = "Who are you?"\n'
PAIRS = {"type": "BPE", "vocab": {"ab": 0, "a": 1, "b": 2}, "merges": [["a", "b"]]}


def with_tokenizers(bench: Bench, version: str) -> None:
    bench.session = replace(SESSION, packages={**SESSION.packages, "tokenizers": version})


@CASES.passes("check_tokenizer")
@CASES.passes("check_tokenizer_readable")
@CASES.passes("check_tokenizer_fits_weights")
@CASES.skips("check_chat_template", "no prompt")
def whole(bench: Bench) -> None:
    write_full(bench.here)


def without_tokenizer(bench: Bench, model_type: str, architecture: str) -> None:
    """Leave the tokenizer out; whether it is missed is said by the installed transformers."""
    (write_full(bench.here, model_type=model_type, architectures=[architecture]) / "tokenizer.json").unlink()
    bench.session = replace(SESSION, site_packages=LIBRARY)


@CASES.skips("check_tokenizer", "ViTForImageClassification takes no text")
def pictures(bench: Bench) -> None:
    without_tokenizer(bench, "vit", "ViTForImageClassification")


@CASES.skips("check_tokenizer", "ChronosBoltModelForForecasting is not a class of transformers")
def class_of_another_library(bench: Bench) -> None:
    without_tokenizer(bench, "t5", "ChronosBoltModelForForecasting")


@CASES.skips("check_tokenizer", "its class reads other files, or none")
def characters(bench: Bench) -> None:
    without_tokenizer(bench, "canine", "CanineModel")


@CASES.skips("check_tokenizer", "its class reads other files, or none")
def pieces_under_another_name(bench: Bench) -> None:
    without_tokenizer(bench, "speecht5", "SpeechT5ForTextToSpeech")
    (bench.here / "spm_char.model").write_bytes(b"\x0a\x0e")


@CASES.finds("check_tokenizer", "tokenizer-missing", "no tokenizer files")
def pieces_gone(bench: Bench) -> None:
    without_tokenizer(bench, "speecht5", "SpeechT5ForTextToSpeech")


@CASES.skips("check_tokenizer", "code of its own reads the tokenizer")
def code_reads_it(bench: Bench) -> None:
    without_tokenizer(bench, "llama", "LlamaForCausalLM")
    own = {"AutoTokenizer": ["tokenization_own.OwnTokenizer", None]}
    write_json(bench.here / "tokenizer_config.json", {"tokenizer_class": "OwnTokenizer", "auto_map": own})


@CASES.finds("check_tokenizer_readable", "tokenizer-invalid", "add_special_tokens is a method of every tokenizer")
def setting_that_is_a_method(bench: Bench) -> None:
    write_json(write_full(bench.here) / "tokenizer_config.json", {"add_special_tokens": True, "model_max_length": 9})
    bench.session = replace(SESSION, site_packages=LIBRARY)


@CASES.skips("check_tokenizer", "ASTForAudioClassification takes no text")
def sounds(bench: Bench) -> None:
    without_tokenizer(bench, "audio-spectrogram-transformer", "ASTForAudioClassification")


@CASES.finds("check_tokenizer", "tokenizer-missing", "no tokenizer files")
def speech_recogniser(bench: Bench) -> None:
    without_tokenizer(bench, "wav2vec2", "Wav2Vec2ForCTC")


def only_vocabulary(bench: Bench, model_type: str) -> None:
    without_tokenizer(bench, model_type, "AnyModel")
    (bench.here / "vocab.json").write_text('{"a": 0}')


@CASES.passes("check_tokenizer_readable")
def words_of_marian(bench: Bench) -> None:
    only_vocabulary(bench, "marian")


@CASES.finds("check_tokenizer_readable", "tokenizer-invalid", "merges.txt: not there")
def words_without_merges(bench: Bench) -> None:
    only_vocabulary(bench, "gpt2")


@CASES.finds("check_tokenizer", "tokenizer-missing", "no tokenizer files")
def gone(bench: Bench) -> None:
    (write_full(bench.here) / "tokenizer.json").unlink()


@CASES.finds("check_tokenizer_readable", "tokenizer-invalid", "tokenizer.json:1: not valid JSON")
def cut_off(bench: Bench) -> None:
    (write_full(bench.here) / "tokenizer.json").write_text('{"model": {')


@CASES.finds("check_tokenizer_readable", "tokenizer-invalid", "Git LFS pointer")
def pointer(bench: Bench) -> None:
    (write_full(bench.here) / "tokenizer.json").write_text(POINTER)


@CASES.finds("check_tokenizer_readable", "tokenizer-invalid", "0.19.1 cannot read")
def newer_schema(bench: Bench) -> None:
    edit_json(write_full(bench.here) / "tokenizer.json", model=PAIRS)
    with_tokenizers(bench, "0.19.1")


@CASES.passes("check_tokenizer_readable")
def newer_schema_and_library(bench: Bench) -> None:
    edit_json(write_full(bench.here) / "tokenizer.json", model=PAIRS)
    with_tokenizers(bench, "0.20.0")


@CASES.passes("check_tokenizer_readable")
def library_of_no_known_version(bench: Bench) -> None:
    edit_json(write_full(bench.here) / "tokenizer.json", model=PAIRS)
    with_tokenizers(bench, "unknown")


@CASES.finds("check_tokenizer_fits_weights", "tokenizer-vocab-overflow", f"token id {VOCABULARY} ")
def one_token_too_many(bench: Bench) -> None:
    write_tokenizer(write_full(bench.here), tokens=VOCABULARY + 1)


@CASES.finds("check_tokenizer_fits_weights", "tokenizer-vocab-overflow", "(<extra>)")
def added_token(bench: Bench) -> None:
    edit_json(write_full(bench.here) / "tokenizer.json", added_tokens=[{"id": 40, "content": "<extra>"}])


@CASES.finds("check_tokenizer_fits_weights", "tokenizer-vocab-overflow", f"has {VOCABULARY}")
def adapter_with_tokens_of_its_own(bench: Bench) -> None:
    base = write_full(bench.root / "base")
    write_tokenizer(write_adapter(bench.here, base), tokens=VOCABULARY + 3)


@CASES.finds(
    "check_tokenizer_fits_weights", "tokenizer-vocab-overflow", f"adds it as token id {VOCABULARY}", severity="warning"
)
def token_of_the_settings(bench: Bench) -> None:
    write_json(write_full(bench.here) / "tokenizer_config.json", {"pad_token": {"content": "[PAD]"}})


@CASES.passes("check_tokenizer_fits_weights")
def token_of_the_settings_with_a_row(bench: Bench) -> None:
    place = write_full(bench.here)
    write_tokenizer(place, tokens=VOCABULARY - 1)
    write_json(place / "tokenizer_config.json", {"pad_token": "[PAD]"})


@CASES.skips("check_tokenizer", "timm take no text")
def of_timm(bench: Bench) -> None:
    place = write_full(bench.here, pretrained_cfg={})
    (place / "tokenizer.json").unlink()


@CASES.passes("check_tokenizer_fits_weights")
def adapter_whose_lora_has_rows_for_its_tokens(bench: Bench) -> None:
    folder = write_adapter(bench.here, write_full(bench.root / "base"))
    write_tokenizer(folder, tokens=VOCABULARY + 3)
    name = "base_model.model.model.embed_tokens.lora_embedding_A"
    write_tensors(folder / ADAPTER, {**LORA, name: (RANK, VOCABULARY + 3)})


@CASES.skips("check_tokenizer_fits_weights", "no ids")
def sentencepiece(bench: Bench) -> None:
    (write_full(bench.here) / "tokenizer.json").unlink()
    (bench.here / "tokenizer.model").write_bytes(b"\x0a\x0e\x0a\x05<unk>")


@CASES.skips("check_tokenizer_fits_weights", "rows is not known")
def no_embedding_known(bench: Bench) -> None:
    place = write_full(bench.here)
    (place / MODEL).rename(place / "pytorch_model.bin")
    edit_json(place / "config.json", drop=("vocab_size",))


@CASES.passes("check_chat_template")
def asked_in_chat_form(bench: Bench) -> None:
    write_full(bench.here)
    bench.manifest(PROMPTED, "m")


@CASES.finds("check_chat_template", "chat-template-missing", "plain text", severity="warning")
def no_template(bench: Bench) -> None:
    write_tokenizer(write_full(bench.here), chat=False)
    bench.manifest(PROMPTED, "m")


@CASES.passes("check_chat_template_speaks")
@CASES.skips("check_padding_token", "no padding token")
def as_it_should_be(bench: Bench) -> None:
    write_full(bench.here)


@CASES.skips("check_chat_template_speaks", "no chat template")
def template_of_none(bench: Bench) -> None:
    write_tokenizer(write_full(bench.here), chat=False)


@CASES.finds("check_chat_template_speaks", "tokenizer-invalid", "chat_template.jinja: a Git LFS pointer, not a chat")
def template_pointer(bench: Bench) -> None:
    (write_full(bench.here) / "chat_template.jinja").write_text(POINTER)


@CASES.finds("check_chat_template_speaks", "tokenizer-invalid", "it leaves out what a user says")
def template_of_other_names(bench: Bench) -> None:
    text = "{% for m in messages %}{{ m['value'] }}{% endfor %}"
    (write_full(bench.here) / "chat_template.jinja").write_text(text)


@CASES.passes("check_chat_template_speaks")
def template_of_other_roles(bench: Bench) -> None:
    text = "{% for m in messages if m['role'] == 'query' %}{{ m['content'] }}{% endfor %}"
    (write_full(bench.here) / "chat_template.jinja").write_text(text)


@CASES.finds("check_chat_template_speaks", "tokenizer-invalid", "writes those of 'query'")
def template_of_other_roles_and_a_prompt(bench: Bench) -> None:
    template_of_other_roles(bench)
    bench.manifest(PROMPTED, "m")


@CASES.passes("check_padding_token")
def padded(bench: Bench) -> None:
    write_full(bench.here, pad_token_id=VOCABULARY - 1)
    bench.session = replace(SESSION, site_packages=(write_library(bench.root / "site-packages"),))


@CASES.finds("check_padding_token", "config-invalid", f"pad_token_id {VOCABULARY}, vocab_size {VOCABULARY}")
def padded_beyond(bench: Bench) -> None:
    write_full(bench.here, pad_token_id=VOCABULARY)
    bench.session = replace(SESSION, site_packages=(write_library(bench.root / "site-packages"),))


@CASES.finds("check_tokenizer", "tokenizer-missing", "no tokenizer files")
def gone_with_the_weights(bench: Bench) -> None:
    (write_full(bench.here) / "tokenizer.json").unlink()
    (bench.here / MODEL).unlink()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
