"""Shared embeddings: the merged model answers as base and adapter together do, which PEFT's own merge does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sage_doctor.merge import MergeRefused, apply, plan_merge

QV = ["q_proj", "v_proj"]
CUT: dict[str, Mapping[str, Any]] = {
    "lora-embedding": {"target_modules": [*QV, "embed_tokens"]},
    "lora-output": {"target_modules": [*QV, "lm_head"]},
    "dora-embedding": {"target_modules": ["embed_tokens"], "use_dora": True},
    "lora-both": {"target_modules": ["embed_tokens", "lm_head"]},
    "saved-embedding": {"target_modules": QV, "modules_to_save": ["embed_tokens"]},
    "saved-output": {"target_modules": QV, "modules_to_save": ["lm_head"]},
    "saved-both": {"target_modules": QV, "modules_to_save": ["embed_tokens", "lm_head"]},
}
KEPT: dict[str, Mapping[str, Any]] = {
    "linear": {"target_modules": QV},
    "rows": {"target_modules": QV, "trainable_token_indices": [1, 2, 90]},
}


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", ["llama-tied", "gemma2"])
@pytest.mark.parametrize("name", [*CUT, *KEPT])
def test_the_merged_model_answers_as_base_and_adapter_do(
    name: str, kind: str, zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    base = base_of(kind, "float32")
    adapter = zoo.make_adapter(tmp_path / "adapter", base, {**CUT, **KEPT}[name], same=True)

    plan = plan_merge(adapter, tmp_path / "merged")
    apply(plan)

    assert plan.untied == (name in CUT)
    config = json.loads((tmp_path / "merged/config.json").read_text())
    assert config["tie_word_embeddings"] == (name in KEPT)
    together, merged = zoo.logits(base, adapter), zoo.logits(tmp_path / "merged")
    assert (together - merged).abs().max() < 1e-4
    assert (zoo.logits(base) - merged).abs().max() > 1e-3


@pytest.mark.usefixtures("quiet")
def test_a_resized_shared_embedding_stays_shared(zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path) -> None:
    base = base_of("llama-tied")
    adapter = zoo.make_adapter(tmp_path / "adapter", base, {"target_modules": QV}, grow=100, same=True)

    plan = plan_merge(adapter, tmp_path / "merged")
    apply(plan)

    assert not plan.untied
    assert json.loads((tmp_path / "merged/config.json").read_text())["vocab_size"] == 100
    assert zoo.differences(zoo.load(tmp_path / "merged"), zoo.merged_by_peft(base, adapter, grow=100)) == []


def _as_saved(adapter: Path) -> None:
    """Make what an output layer shares with its embedding the same in the file, as training and PEFT do."""
    from safetensors.torch import load_file, save_file

    held = load_file(adapter / "adapter_model.safetensors")
    for name in [n for n in held if ".lm_head." in n]:
        twin = name.replace(".lm_head.", ".model.embed_tokens.")
        for mine, theirs in (("lora_A.weight", "lora_embedding_B"), ("lora_B.weight", "lora_embedding_A")):
            twin = twin.replace(mine, theirs)
        if twin in held:
            held[name] = held[twin].T.contiguous() if "lora_" in name else held[twin].clone()
    save_file(held, adapter / "adapter_model.safetensors", metadata={"format": "pt"})


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", ["llama-tied", "gemma2"])
@pytest.mark.parametrize("field", ["target_modules", "modules_to_save"])
def test_layers_that_were_trained_together(
    field: str, kind: str, zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    """`ensure_weight_tying`: both layers run with what one of them was given."""
    options: dict[str, Any] = {"target_modules": QV, "ensure_weight_tying": True}
    options[field] = [*(QV if field == "target_modules" else ()), "embed_tokens"]
    base = base_of(kind, "float32")
    adapter = zoo.make_adapter(tmp_path / "adapter", base, options, same=True)
    _as_saved(adapter)

    plan = plan_merge(adapter, tmp_path / "merged")
    apply(plan)

    assert plan.untied == (field == "target_modules")
    together, merged = zoo.logits(base, adapter), zoo.logits(tmp_path / "merged")
    assert (together - merged).abs().max() < 1e-4
    assert (zoo.logits(base) - merged).abs().max() > 1e-3


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", ["llama", "llama-tied"])
def test_rows_of_added_tokens_are_pefts(
    kind: str, zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    options = {"target_modules": QV, "trainable_token_indices": [1, 96, 97, 98, 99]}
    base = base_of(kind)
    adapter = zoo.make_adapter(tmp_path / "adapter", base, options, grow=100, same=True)
    _as_saved(adapter)

    apply(plan_merge(adapter, tmp_path / "merged"))

    assert json.loads((tmp_path / "merged/config.json").read_text())["vocab_size"] == 100
    assert zoo.differences(zoo.load(tmp_path / "merged"), zoo.merged_by_peft(base, adapter, grow=100)) == []


@pytest.mark.usefixtures("quiet")
def test_rows_without_the_layers_that_they_were_added_to_are_refused(
    zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    options = {"target_modules": QV, "trainable_token_indices": [95]}
    adapter = zoo.make_adapter(tmp_path / "adapter", base_of("llama"), options)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "trainable_token_indices": [96]}))

    with pytest.raises(MergeRefused, match="tokens were added in training") as refusal:
        plan_merge(adapter, tmp_path / "merged")
    assert "--base" in refusal.value.next_step


@pytest.mark.usefixtures("quiet")
def test_two_tensors_for_one_shared_embedding_are_refused(
    zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    adapter = zoo.make_adapter(tmp_path / "adapter", base_of("llama-tied"), {"target_modules": QV}, grow=100)

    with pytest.raises(MergeRefused, match="two different tensors for one shared embedding"):
        plan_merge(adapter, tmp_path / "merged")


def _encoder_decoder(folder: Path, kind: str) -> Path:
    """Save a tiny model of an encoder and a decoder that share an embedding."""
    import torch
    import transformers

    sizes = {"vocab_size": 96, "d_model": 32, "pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
    bart = {f"{p}_{n}": v for p in ("encoder", "decoder") for n, v in (("layers", 1), ("ffn_dim", 48))}
    bart |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "max_position_embeddings": 64}
    t5 = {"d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 4}
    torch.manual_seed(1)
    config = transformers.AutoConfig.for_model(kind, **sizes, **(t5 if kind == "t5" else bart))
    model = transformers.AutoModelForSeq2SeqLM.from_config(config)
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_(0, 0.3)
    model.save_pretrained(folder)
    return folder


@pytest.mark.usefixtures("quiet")
def test_an_output_layer_leaves_encoder_and_decoder_their_embedding(zoo: ModuleType, tmp_path: Path) -> None:
    base = _encoder_decoder(tmp_path / "base", "bart")
    options = {"task_type": "SEQ_2_SEQ_LM", "target_modules": ["q_proj", "lm_head"]}
    adapter = zoo.make_adapter(tmp_path / "adapter", base, options, same=True)

    apply(plan_merge(adapter, tmp_path / "merged"))

    together, merged = zoo.logits(base, adapter), zoo.logits(tmp_path / "merged")
    assert (together - merged).abs().max() < 1e-4
    assert (zoo.logits(base) - merged).abs().max() > 1e-3


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", ["bart", "t5"])
@pytest.mark.parametrize("field", ["target_modules", "modules_to_save"])
def test_an_embedding_of_encoder_and_decoder_is_refused(field: str, kind: str, zoo: ModuleType, tmp_path: Path) -> None:
    """PEFT wraps `shared` alone, and the two stacks run the weight as it was: no file can hold both."""
    base = _encoder_decoder(tmp_path / "base", kind)
    options: dict[str, Any] = {"task_type": "SEQ_2_SEQ_LM", "target_modules": ["q_proj" if kind == "bart" else "q"]}
    options[field] = [*options.get(field, ()), "shared"]
    adapter = zoo.make_adapter(tmp_path / "adapter", base, options)

    with pytest.raises(MergeRefused, match="which encoder and decoder have as their own embedding"):
        plan_merge(adapter, tmp_path / "merged")


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("field", ["target_modules", "modules_to_save"])
def test_an_output_layer_that_is_stored_and_differs_is_refused(
    field: str, zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    """transformers 5 does not tie what differs, whatever config.json says."""
    base = tmp_path / "base"
    shutil.copytree(base_of("llama"), base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    options: dict[str, Any] = {"target_modules": ["q_proj"]}
    options[field] = [*options.get(field, ()), "lm_head"]
    adapter = zoo.make_adapter(tmp_path / "adapter", base, options)

    with pytest.raises(MergeRefused, match="transformers 5 runs it as it is stored"):
        plan_merge(adapter, tmp_path / "merged")


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", ["bart", "t5"])
def test_rows_of_an_embedding_of_encoder_and_decoder_reach_both(kind: str, zoo: ModuleType, tmp_path: Path) -> None:
    """PEFT ties the trained rows to all that reads the shared weight, unlike a LoRA on it."""
    import torch

    base = _encoder_decoder(tmp_path / "base", kind)
    options = {"task_type": "SEQ_2_SEQ_LM", "target_modules": ["q_proj" if kind == "bart" else "q"]}
    adapter = zoo.make_adapter(tmp_path / "adapter", base, {**options, "trainable_token_indices": [5, 7]})

    apply(plan_merge(adapter, tmp_path / "merged"))

    tokens = {"input_ids": torch.tensor([[5, 7, 9]]), "decoder_input_ids": torch.tensor([[7, 3]])}
    ours = zoo.load(tmp_path / "merged").eval()(**tokens).logits
    theirs = zoo.merged_by_peft(base, adapter).eval()(**tokens).logits
    assert (ours - theirs).abs().max() < 1e-4
    assert (ours - zoo.load(base).eval()(**tokens).logits).abs().max() > 1e-3


def _masked(folder: Path, kind: str) -> Path:
    """Save a tiny encoder whose output layer shares its weight with the embedding and its bias with its head."""
    import torch
    import transformers

    sizes = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "max_position_embeddings": 64}
    config = transformers.AutoConfig.for_model(kind, **sizes, num_hidden_layers=1, num_attention_heads=4)
    model = transformers.AutoModelForMaskedLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.normal_(1, 0.5)
    model.save_pretrained(folder)
    return folder


MASKED: dict[str, Mapping[str, Any]] = {
    "lora-embedding": {"target_modules": ["query", "word_embeddings"]},
    "saved-embedding": {"target_modules": ["query"], "modules_to_save": ["word_embeddings"]},
    "lora-output": {"target_modules": ["query", "decoder"]},
}


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("name", MASKED)
def test_a_bias_that_is_shared_with_the_embedding_goes_with_it(
    name: str, kind: str, zoo: ModuleType, tmp_path: Path
) -> None:
    """Nothing ties the output layer's bias to its head once the embedding is untied: it has to be stored."""
    base = _masked(tmp_path / "base", kind)
    adapter = zoo.make_adapter(tmp_path / "adapter", base, {"task_type": None, **MASKED[name]}, same=True)

    apply(plan_merge(adapter, tmp_path / "merged"))

    together, merged = zoo.logits(base, adapter), zoo.logits(tmp_path / "merged")
    assert (together - merged).abs().max() < 1e-4
    assert (zoo.logits(base) - merged).abs().max() > 1e-3


@pytest.mark.usefixtures("quiet")
def test_a_shared_bias_that_was_trained_is_refused(zoo: ModuleType, tmp_path: Path) -> None:
    base = _masked(tmp_path / "base", "bert")
    options = {"task_type": None, "target_modules": ["query"], "modules_to_save": ["decoder"]}
    adapter = zoo.make_adapter(tmp_path / "adapter", base, options)

    with pytest.raises(MergeRefused, match="or shares it with another layer"):
        plan_merge(adapter, tmp_path / "merged")


@pytest.mark.usefixtures("quiet")
def test_an_output_layer_of_another_name(zoo: ModuleType, tmp_path: Path) -> None:
    """Whisper's `proj_out` is tied to the decoder's embedding, which PEFT's merge changes with it."""
    import transformers

    sizes = {"d_model": 32, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "vocab_size": 96, "num_mel_bins": 8}
    sizes |= {f"{p}_{n}": v for p in ("encoder", "decoder") for n, v in (("layers", 1), ("attention_heads", 4))}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    config = transformers.WhisperConfig(**sizes, **tokens, max_source_positions=16, max_target_positions=16)
    base = tmp_path / "base"
    transformers.WhisperForConditionalGeneration(config).save_pretrained(base)
    options = {"task_type": None, "target_modules": ["q_proj", "proj_out"]}
    adapter = zoo.make_adapter(tmp_path / "adapter", base, options)

    plan = plan_merge(adapter, tmp_path / "merged")
    apply(plan)

    assert plan.untied
    embedding = "model.decoder.embed_tokens.weight"
    ours, theirs = zoo.load(tmp_path / "merged").state_dict(), zoo.merged_by_peft(base, adapter).state_dict()
    assert ours[embedding].equal(zoo.load(base).state_dict()[embedding])
    assert [n for n in theirs if not theirs[n].equal(ours[n])] == [embedding]


def _two_stacks(folder: Path, decoder: str) -> Path:
    """Save an encoder and a decoder that are models of their own: a BERT, and a BERT or a GPT-2 with its head."""
    import torch
    import transformers

    sizes = {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    own = {"is_decoder": True, "add_cross_attention": True}
    kinds = {
        "bert": transformers.BertConfig(**sizes, **own, intermediate_size=48),
        "gpt2": transformers.GPT2Config(**sizes, **own, n_inner=32),
    }
    encoder = transformers.BertConfig(**sizes, intermediate_size=48)
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(encoder, kinds[decoder])
    model = transformers.EncoderDecoderModel(config=config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.1)
    model.save_pretrained(folder)
    return folder


HEAD = "decoder.cls.predictions.decoder.weight"
WORDS = "decoder.bert.embeddings.word_embeddings"
STACKS: dict[str, tuple[Mapping[str, Any], list[str]]] = {
    "both": ({"target_modules": ["query", "word_embeddings"]}, [HEAD]),
    "decoder": ({"target_modules": ["query", WORDS]}, [HEAD]),
    "encoder": ({"target_modules": ["query", "encoder.embeddings.word_embeddings"]}, []),
    "saved": ({"target_modules": ["query"], "modules_to_save": ["word_embeddings"]}, []),
}


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("name", STACKS)
def test_of_two_embeddings_of_one_name_the_decoders_is_shared(name: str, zoo: ModuleType, tmp_path: Path) -> None:
    """PEFT merges a LoRA of the decoder's into its output layer as well, which runs without it."""
    options, differ = STACKS[name]
    base = _two_stacks(tmp_path / "base", "bert")
    adapter = zoo.make_adapter(tmp_path / "adapter", base, {"task_type": "SEQ_2_SEQ_LM", **options}, same=True)

    apply(plan_merge(adapter, tmp_path / "merged"))

    merged = zoo.load(tmp_path / "merged")
    settings = json.loads((tmp_path / "merged/config.json").read_text())
    assert settings["decoder"]["tie_word_embeddings"] == (name == "encoder")  # 4.57 asks for the decoder's
    assert zoo.differences(merged, zoo.merged_by_peft(base, adapter)) == differ
    if differ:
        assert merged.state_dict()[HEAD].equal(zoo.load(base).state_dict()[f"{WORDS}.weight"])


@pytest.mark.usefixtures("quiet")
def test_transposed_layers_of_a_model_in_a_model(zoo: ModuleType, tmp_path: Path) -> None:
    """A GPT-2 as decoder: its square weights do not tell that they are transposed."""
    base = _two_stacks(tmp_path / "base", "gpt2")
    options = {"task_type": "SEQ_2_SEQ_LM", "target_modules": ["c_proj", "c_fc", "c_attn", "query"]}
    adapter = zoo.make_adapter(tmp_path / "adapter", base, options)

    apply(plan_merge(adapter, tmp_path / "merged"))

    assert zoo.differences(zoo.load(tmp_path / "merged"), zoo.merged_by_peft(base, adapter)) == []


@pytest.mark.usefixtures("quiet")
def test_an_embedding_without_an_output_layer(zoo: ModuleType, tmp_path: Path) -> None:
    """Nothing is shared in a BERT without its head."""
    import transformers

    sizes = {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    base = tmp_path / "base"
    transformers.BertModel(transformers.BertConfig(**sizes, intermediate_size=48)).save_pretrained(base)
    options = {"task_type": "FEATURE_EXTRACTION", "target_modules": ["query", "word_embeddings"]}
    adapter = zoo.make_adapter(tmp_path / "adapter", base, options)

    plan = plan_merge(adapter, tmp_path / "merged")
    apply(plan)

    assert not plan.untied
    assert zoo.differences(zoo.load(tmp_path / "merged"), zoo.merged_by_peft(base, adapter)) == []


@pytest.mark.usefixtures("quiet")
def test_an_output_that_is_scaled_where_it_is_tied_is_refused(zoo: ModuleType, tmp_path: Path) -> None:
    """T5 multiplies what it answers by a number only while both layers are one."""
    base = _encoder_decoder(tmp_path / "base", "t5")
    options = {"task_type": "SEQ_2_SEQ_LM", "target_modules": ["q", "lm_head"]}
    adapter = zoo.make_adapter(tmp_path / "adapter", base, options)

    with pytest.raises(MergeRefused, match="scales its output only while they do"):
        plan_merge(adapter, tmp_path / "merged")
