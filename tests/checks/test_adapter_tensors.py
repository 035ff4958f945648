"""An adapter's tensors against its own configuration and against the base's header."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.model_directories import (
    ADAPTER,
    LORA,
    PROJECTION,
    RANK,
    WEIGHTS,
    WIDTH,
    write_adapter,
    write_full,
    write_tensors,
)

from .cases import SESSION, Bench, Case, Cases

CASES = Cases()
PREFIX = "base_model.model."


def healthy(bench: Bench, **config: Any) -> Path:
    return write_adapter(bench.here, write_full(bench.root / "base"), **config)


@CASES.passes("check_adapter_keys")
@CASES.passes("check_adapter_rank")
@CASES.passes("check_adapter_scale")
def whole(bench: Bench) -> None:
    healthy(bench)


@CASES.passes("check_adapter_keys")
@CASES.skips("check_adapter_patterns", "only LoRA")
@CASES.passes("check_adapter_rank")
def of_another_type(bench: Bench) -> None:
    healthy(bench, peft_type="IA3")


@CASES.finds("check_adapter_keys", "adapter-keys-unmatched", "do not have LoRA names: they are the weights of a model")
def names_of_a_full_model(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, WEIGHTS)


@CASES.finds("check_adapter_patterns", "adapter-config-invalid", "alpha_pattern: '*q_proj' is not a regular expression")
def pattern_of_a_shell(bench: Bench) -> None:
    healthy(bench, alpha_pattern={"*q_proj": 8})


ROWS = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"


@CASES.finds("check_adapter_rank", "adapter-shape-mismatch", "is 3×8, where adapter_config.json states 2 rows")
def rows_of_other_tokens(bench: Bench) -> None:
    write_tensors(healthy(bench, trainable_token_indices=[1, 5]) / ADAPTER, {**LORA, ROWS: (3, 8)})


@CASES.passes("check_adapter_rank")
def rows_as_stated(bench: Bench) -> None:
    write_tensors(healthy(bench, trainable_token_indices={"embed_tokens": [1, 5]}) / ADAPTER, {**LORA, ROWS: (2, 8)})


@CASES.finds("check_adapter_targets", "adapter-keys-unmatched", "does not turn on trainable_token_indices")
def rows_not_stated(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {**LORA, ROWS: (3, 8)})


@CASES.finds("check_adapter_targets", "adapter-keys-unmatched", "does not turn on use_dora, and PEFT ignores 1 tensor")
def magnitude_not_stated(bench: Bench) -> None:
    name = next(n for n in LORA if "lora_B" in n).replace("lora_B", "lora_magnitude_vector")
    write_tensors(healthy(bench) / ADAPTER, {**LORA, name: (8,)})


@CASES.passes("check_adapter_targets")
def rows_and_their_copy_for_the_tied_layer(bench: Bench) -> None:
    folder = healthy(bench, peft_type="TRAINABLE_TOKENS", token_indices=[1], target_modules=["embed_tokens"])
    names = ("model.embed_tokens", "lm_head")
    write_tensors(folder / ADAPTER, {f"base_model.model.{n}.trainable_tokens_delta": (1, 8) for n in names})


@CASES.finds("check_adapter_targets", "adapter-keys-unmatched", "does not target 1 of the 1 modules")
def rows_of_a_layer_that_is_not_targeted(bench: Bench) -> None:
    folder = healthy(bench, peft_type="TRAINABLE_TOKENS", token_indices=[1], target_modules=["lm_head"])
    write_tensors(folder / ADAPTER, {"base_model.model.model.embed_tokens.trainable_tokens_delta": (1, 8)})


@CASES.finds("check_adapter_keys", "adapter-keys-unmatched", "'.default.'")
def names_with_the_adapters_own(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {n.replace(".weight", ".default.weight"): s for n, s in LORA.items()})


@CASES.finds("check_adapter_keys", "adapter-keys-unmatched", "'.policy.', the adapter's name")
def names_with_another_adapters_name(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {n.replace(".weight", ".policy.weight"): s for n, s in LORA.items()})


def _of_oft(bench: Bench, tensor: str) -> None:
    layers = bench.root / "site-packages/peft/tuners/oft"
    layers.mkdir(parents=True)
    (layers / "__init__.py").write_text('register_peft_method(name="oft", config_cls=OFTConfig, model_cls=OFTModel)')
    (layers / "layer.py").write_text('class OFTLayer:\n    adapter_layer_names = ("oft_R",)\n')
    bench.session = replace(SESSION, site_packages=(bench.root / "site-packages",))
    write_tensors(healthy(bench, peft_type="OFT") / ADAPTER, {f"{PREFIX}{PROJECTION}.{tensor}": (4, 8)})


@CASES.finds("check_adapter_keys", "adapter-keys-unmatched", "the session's peft has no tensors called 'oft_r'")
def names_of_another_release(bench: Bench) -> None:
    _of_oft(bench, "oft_r")


@CASES.passes("check_adapter_keys")
def names_of_this_release(bench: Bench) -> None:
    _of_oft(bench, "oft_R.weight")


@CASES.finds("check_adapter_scale", "adapter-no-effect", "lora_alpha is 0")
def scaled_to_nothing(bench: Bench) -> None:
    healthy(bench, lora_alpha=0)


@CASES.passes("check_adapter_scale")
def scaled_by_a_pattern(bench: Bench) -> None:
    healthy(bench, lora_alpha=0, alpha_pattern={"q_proj": 8})


@CASES.passes("check_adapter_keys")
def names_of_a_bias(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {**LORA, f"{PREFIX}{PROJECTION}.lora_B.bias": (WIDTH,)})


@CASES.finds("check_adapter_keys", "adapter-keys-unmatched", "'_orig_mod.', which torch.compile added")
def names_of_a_compiled_model(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {f"_orig_mod.{n}": s for n, s in LORA.items()})


@CASES.finds("check_adapter_keys", "adapter-keys-unmatched", "'_fsdp_wrapped_module.', which FSDP added")
def names_of_wrapped_layers(bench: Bench) -> None:
    wrapped = {n.replace(".0.", ".0._fsdp_wrapped_module."): s for n, s in LORA.items()}
    write_tensors(healthy(bench) / ADAPTER, wrapped)


@CASES.finds("check_adapter_keys", "adapter-keys-unmatched", "'module.', which DistributedDataParallel or DeepSpeed")
def names_of_a_distributed_model(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {f"module.{n}": s for n, s in LORA.items()})


@CASES.finds("check_adapter_keys", "adapter-keys-unmatched", "the names that mlx-lm gives them")
def names_of_mlx(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {f"{PROJECTION}.lora_a": (WIDTH, RANK)})


@CASES.finds("check_adapter_keys", "adapter-keys-unmatched", "kohya's scripts")
def names_of_kohya(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {"lora_unet_down_blocks_0.lora_down.weight": (RANK, WIDTH)})


@CASES.passes("check_adapter_keys")
def trained_rows_alone(bench: Bench) -> None:
    rows = f"{PREFIX}model.embed_tokens.token_adapter.trainable_tokens_delta"
    write_tensors(healthy(bench) / ADAPTER, {rows: (3, WIDTH)})


@CASES.finds("check_adapter_keys", "adapter-keys-unmatched", "do not have the prefix")
def names_without_the_prefix(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {n.removeprefix(PREFIX): s for n, s in LORA.items()})


@CASES.finds("check_adapter_rank", "adapter-rank-mismatch", f"has rank {RANK}, adapter_config.json states 4")
def another_rank(bench: Bench) -> None:
    healthy(bench, r=4)


Q = f"{PREFIX}model.layers.0.self_attn.q_proj"
PRUNED = {f"{Q}.lora_A": (2, WIDTH), f"{Q}.lora_B": (WIDTH, 2), f"{Q}.lora_E": (2, 1)}
PATTERN = f"{Q.removeprefix(PREFIX)}.lora_E"


def _adalora(bench: Bench, **config: Any) -> None:
    base = write_full(bench.root / "base")
    write_adapter(bench.here, base, tensors=PRUNED, peft_type="ADALORA", init_r=4, **config)


@CASES.passes("check_adapter_rank")
def pruned(bench: Bench) -> None:
    _adalora(bench, rank_pattern={PATTERN: [True, False, False, True]})


@CASES.finds("check_adapter_rank", "adapter-rank-mismatch", "states 1 rows (3 tensors in all)")
def pruned_to_another_rank(bench: Bench) -> None:
    _adalora(bench, rank_pattern={PATTERN: [True, False, False, False]})


@CASES.finds("check_adapter_rank", "adapter-rank-mismatch", "states 4 rows")
def pruned_without_saying_so(bench: Bench) -> None:
    _adalora(bench, rank_pattern=None)


def _ia3(bench: Bench, *shape: int, **config: Any) -> None:
    base = write_full(bench.root / "base")
    write_adapter(bench.here, base, tensors={f"{Q}.ia3_l": shape}, peft_type="IA3", **config)


@CASES.passes("check_adapter_rank")
def scaled_inputs(bench: Bench) -> None:
    _ia3(bench, 1, WIDTH, feedforward_modules=["q_proj"])


@CASES.finds("check_adapter_rank", "adapter-shape-mismatch", "states 1 columns")
def scaled_inputs_that_are_called_outputs(bench: Bench) -> None:
    _ia3(bench, 1, WIDTH, feedforward_modules=[])


def _prompt(bench: Bench, kind: str, *shape: int, **config: Any) -> None:
    sizes = {"num_virtual_tokens": 4, "num_transformer_submodules": 2, "num_layers": 3, "token_dim": 8, **config}
    tensors = {"prompt_embeddings": shape}
    write_adapter(bench.here, write_full(bench.root / "base"), tensors=tensors, peft_type=kind, **sizes)


@CASES.passes("check_adapter_rank")
def prompt_for_two_parts(bench: Bench) -> None:
    _prompt(bench, "PROMPT_TUNING", 8, 8)


@CASES.finds("check_adapter_rank", "adapter-shape-mismatch", "is 4×8, where adapter_config.json states 8 rows")
def prompt_of_another_length(bench: Bench) -> None:
    _prompt(bench, "PROMPT_TUNING", 4, 8)


@CASES.passes("check_adapter_rank")
def prefix_for_two_parts(bench: Bench) -> None:
    _prompt(bench, "PREFIX_TUNING", 4, 48)


@CASES.finds("check_adapter_rank", "adapter-shape-mismatch", "states 4 rows")
def prefix_of_another_length(bench: Bench) -> None:
    _prompt(bench, "PREFIX_TUNING", 8, 48)


@CASES.finds("check_adapter_rank", "adapter-shape-mismatch", "states 48 columns")
def prefix_for_other_layers(bench: Bench) -> None:
    _prompt(bench, "PREFIX_TUNING", 4, 64)


@CASES.passes("check_adapter_rank")
def prompt_of_unknown_length(bench: Bench) -> None:
    _prompt(bench, "P_TUNING", 4, 8, num_transformer_submodules=None)


@CASES.finds("check_adapter_rank", "adapter-rank-mismatch", "states 16")
def another_rank_by_pattern(bench: Bench) -> None:
    healthy(bench, rank_pattern={"q_proj": 16})


@CASES.finds("check_adapter_patterns", "adapter-pattern-unbounded", "rank_pattern: matching the pattern '(([a-z0-9._]")
def endless_pattern(bench: Bench) -> None:
    healthy(bench, rank_pattern={"(([a-z0-9._])+)+!": 16})


@CASES.passes("check_adapter_patterns")
def usual_patterns(bench: Bench) -> None:
    healthy(bench, rank_pattern={r"layers\.\d+\.self_attn\.q_proj": RANK, "q_proj": RANK}, alpha_pattern={"q_proj": 4})


@CASES.passes("check_adapter_keys")
def shared_by_all_layers(bench: Bench) -> None:
    folder = healthy(bench, peft_type="VERA")
    names = {f"{n.partition('.lora_')[0]}.vera_lambda_b": s for n, s in LORA.items()}
    write_tensors(folder / ADAPTER, {"base_model.vera_A": (4, 8), "base_model.vera_B": (8, 4), **names})


@CASES.skips("check_adapter_keys", "prompt encoders")
def of_a_type_that_learns_a_prompt(bench: Bench) -> None:
    write_tensors(healthy(bench, peft_type="CPT") / ADAPTER, {"prompt_embeddings": (4, WIDTH)})
    config = bench.root / "site-packages" / "peft" / "tuners" / "cpt" / "config.py"
    config.parent.mkdir(parents=True)
    config.write_text("class CPTConfig(PromptLearningConfig):\n    pass\n")
    bench.session = replace(SESSION, site_packages=(bench.root / "site-packages",))


@CASES.finds("check_adapter_keys", "adapter-keys-unmatched", "says that it is of type LOHA")
def lora_with_the_configuration_of_another_type(bench: Bench) -> None:
    healthy(bench, peft_type="LOHA")
    source = bench.root / "site-packages" / "peft" / "tuners" / "loha" / "__init__.py"
    source.parent.mkdir(parents=True)
    source.write_text('register_peft_method(name="loha", prefix="hada_")\n')
    bench.session = replace(SESSION, site_packages=(bench.root / "site-packages",))


@CASES.passes("check_adapter_targets")
def all_of_its_modules_targeted(bench: Bench) -> None:
    healthy(bench)


@CASES.passes("check_adapter_targets")
def targeted_by_an_expression(bench: Bench) -> None:
    healthy(bench, target_modules=".*proj")


@CASES.finds("check_adapter_targets", "adapter-keys-unmatched", "does not target 1 of the 1 modules")
def an_expression_for_other_modules(bench: Bench) -> None:
    healthy(bench, target_modules=r".*language_model.*(q|v)_proj")


@CASES.finds("check_adapter_targets", "adapter-keys-unmatched", "does not target 1 of the 1 modules")
def targets_that_are_excluded(bench: Bench) -> None:
    healthy(bench, target_modules="all-linear", exclude_modules=r".*layers.*")


@CASES.skips("check_adapter_targets", "only LoRA's targets")
def targets_by_default(bench: Bench) -> None:
    healthy(bench, target_modules=None)


@CASES.finds("check_adapter_targets", "adapter-keys-unmatched", "does not target 1 of the 1 modules")
def modules_that_the_configuration_does_not_target(bench: Bench) -> None:
    healthy(bench, target_modules=["k_proj"])


@CASES.finds("check_adapter_rank", "adapter-shape-mismatch", "on the side where PEFT has its inputs (2 tensors in all)")
def matrices_transposed(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {n: s[::-1] for n, s in LORA.items()})


@CASES.finds(
    "check_adapter_rank", "adapter-shape-mismatch", "on the side where PEFT has its outputs (1 tensors in all)"
)
def one_matrix_transposed(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {n: s[::-1] if "lora_B" in n else s for n, s in LORA.items()})


@CASES.finds("check_adapter_rank", "adapter-shape-mismatch", "MergedLinear layer of PEFT 0.2")
def matrices_of_a_joined_layer(bench: Bench) -> None:
    folder = healthy(bench, enable_lora=[True, False, True])
    write_tensors(folder / ADAPTER, {n: (*s, 1) if "lora_B" in n else s for n, s in LORA.items()})


@CASES.passes("check_adapter_targets")
def targets_that_are_tied_to_others(bench: Bench) -> None:
    folder = healthy(bench, target_modules=["q_proj", "embed_tokens"], ensure_weight_tying=True)
    head = {f"{PREFIX}lm_head.lora_A.weight": (RANK, WIDTH), f"{PREFIX}lm_head.lora_B.weight": (9, RANK)}
    write_tensors(folder / ADAPTER, {**LORA, **head})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
