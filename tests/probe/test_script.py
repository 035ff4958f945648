"""Real tiny models, sound and broken, probed for real. The probes run two at a time, once for the module.

One model, one adapter, and where memory is short, are probed by a Python of their own; the others by one that has
imported the libraries already.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sage_doctor.probe.degeneration import Degeneration
from sage_doctor.probe.handle import run_probe
from sage_doctor.probe.outcome import ProbeOutcome, ShapeMismatch
from sage_doctor.probe.protocol import STAGES, ProbeRequest

ENVIRON = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
FULL = {
    "sound": "generate",
    "nan": "generate",
    "seq2seq": "generate",
    "encoder": "generate",
    "renamed": "load",
    "mismatched": "load",
    "pickled": "load",
    os.fsdecode(b"caf\xe9"): "load",
}
ADAPTERS = {
    "adapter": "generate",
    "zero-adapter": "generate",
    "prefix-adapter": "generate",
    "prompt-adapter": "generate",
    "rank-adapter": "load",
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, warm_python: Path) -> Path:
    root = tmp_path_factory.mktemp("zoo")
    builder = Path(__file__).with_name("zoo.py")
    subprocess.run([warm_python, builder, root], check=True, capture_output=True, env=ENVIRON)
    return root


@pytest.fixture(scope="module")
def outcomes(zoo: Path, warm_python: Path) -> Mapping[str, ProbeOutcome]:
    base = str(zoo / "sound")
    full = {n: ProbeRequest(level=v, kind="full", path=str(zoo / n)) for n, v in FULL.items()}  # type: ignore[arg-type]
    adapted = {
        n: ProbeRequest(level=v, kind="adapter", path=str(zoo / n), base=base)  # type: ignore[arg-type]
        for n, v in ADAPTERS.items()
    }
    asked = {**full, **adapted, "no-base": ProbeRequest(level="load", kind="adapter", path=str(zoo / "adapter"))}
    asked["cuda"] = ProbeRequest(level="load", kind="full", path=base, accelerator="cuda")

    asked["huge"] = ProbeRequest(level="load", kind="merged", path=str(zoo / "huge"))
    limited = zoo / "python"
    limited.write_text(f'#!/bin/sh\nulimit -v 12000000\nexec "{sys.executable}" "$@"\n')
    limited.chmod(0o755)

    pythons = {"huge": limited, "sound": Path(sys.executable), "adapter": Path(sys.executable)}

    def probed(name: str) -> ProbeOutcome:
        return run_probe(asked[name], python=pythons.get(name, warm_python), deadline_s=300, environ=ENVIRON)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(asked, pool.map(probed, asked), strict=True))


def test_a_sound_model_goes_through_every_stage_in_order(outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes["sound"]
    assert outcome.ending == "completed", outcome.output_tail
    assert [s.name for s in outcome.stages] == [s for s in STAGES if s not in ("load-base", "load-adapter")]
    assert all(later.started_s >= s.started_s for s, later in zip(outcome.stages, outcome.stages[1:], strict=False))
    assert outcome.exit_code == 0
    assert outcome.failure is None
    assert outcome.where == ()


def test_tied_weights_are_not_missing(outcomes: Mapping[str, ProbeOutcome]) -> None:
    keys = outcomes["sound"].keys
    assert keys is not None
    assert keys.model_class == "LlamaForCausalLM"
    assert (keys.missing.total, keys.unexpected.total, keys.mismatched_total) == (0, 0, 0)


def test_the_model_in_memory_is_described(outcomes: Mapping[str, ProbeOutcome]) -> None:
    loaded, memory, device = (getattr(outcomes["sound"], name) for name in ("loaded", "memory", "device"))
    assert loaded.parameters == 20640
    assert loaded.dtypes == {"float32": 20640}
    assert loaded.devices == {"cpu": 20}
    assert loaded.on_meta.total == outcomes["sound"].wrong_device_count == 0
    assert memory.peak_resident_bytes > 50_000_000
    assert (device.used, device.problem) == ("cpu", "")


def test_generation_is_greedy_templated_and_timed(outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes["sound"]
    assert outcome.prompt is not None
    assert outcome.prompt.templated
    assert outcome.prompt.tokens == 6  # user Who are you ? assistant
    assert outcome.forward is not None
    assert (outcome.forward.nan, outcome.forward.infinite, outcome.forward.total) == (0, 0, 64)
    made = outcome.generation
    assert made is not None
    assert len(made.token_ids) == 32
    assert made.text
    assert made.first_token_ms is not None
    assert made.tokens_per_s is not None
    assert 0 < made.first_token_ms <= made.seconds * 1000
    assert "generation flags" not in outcome.output_tail
    assert "temperature" not in outcome.output_tail


def test_greedy_generation_is_the_same_each_time(outcomes: Mapping[str, ProbeOutcome]) -> None:
    # An adapter of zeros on the same base: the same model, in another process, by way of peft.
    first, again = outcomes["sound"].generation, outcomes["zero-adapter"].generation
    assert first is not None
    assert again is not None
    assert again.token_ids == first.token_ids


def test_a_renamed_tensor_is_missing_and_unexpected(outcomes: Mapping[str, ProbeOutcome]) -> None:
    keys = outcomes["renamed"].keys
    assert keys is not None
    assert keys.missing.names == ("model.layers.0.mlp.up_proj.weight",)
    assert keys.unexpected.names == ("model.layers.0.mlp.up_project.weight",)
    assert outcomes["renamed"].refused
    assert outcomes["renamed"].loaded is None, "no weight is read where names do not fit"


def test_nan_weights_generate_and_are_seen(outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes["nan"]
    assert outcome.completed
    assert outcome.forward is not None
    assert outcome.forward.nan == outcome.forward.total == 64
    assert outcome.generation is not None
    assert outcome.generation.degeneration == Degeneration(kind="empty", tokens=32)


def test_another_shape_on_disk_fails_and_is_named(outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes["mismatched"]
    assert outcome.ending == "failed"
    assert (outcome.stage, outcome.refused) == ("compare", True)
    assert outcome.keys is not None
    assert outcome.keys.mismatched == (ShapeMismatch(name="model.norm.weight", on_disk=(31,), in_model=(32,)),)
    assert "size mismatch for model.norm.weight" in outcome.message


def test_a_pickle_is_refused_and_never_executed(zoo: Path, outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes["pickled"]
    assert outcome.ending == "failed"
    assert outcome.failure is not None
    assert outcome.failure.type == "UnpicklingError"
    assert not (zoo / "executed").exists()


def test_the_frames_of_a_failure_are_named_without_the_way_to_them(outcomes: Mapping[str, ProbeOutcome]) -> None:
    assert outcomes["pickled"].where[0].startswith("torch/serialization.py:")
    assert outcomes["pickled"].where[0].endswith(" in load")


def test_a_path_that_is_not_utf8_fails_as_in_a_session(outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes[os.fsdecode(b"caf\xe9")]
    assert outcome.ending == "failed"
    assert outcome.stage == "load"
    assert "UTF-8" in outcome.message or "surrogates" in outcome.message


def test_an_encoder_is_not_asked_to_generate(outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes["encoder"]
    assert outcome.completed
    assert outcome.not_applicable is not None
    assert outcome.not_applicable.reason == "BertForMaskedLM does not generate text"
    assert outcome.keys is not None
    assert outcome.keys.unexpected.total == 0


def test_an_encoder_decoder_generates(outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes["seq2seq"]
    assert outcome.completed, outcome.message
    assert outcome.keys is not None
    assert outcome.keys.model_class == "T5ForConditionalGeneration"
    assert outcome.prompt is not None
    assert not outcome.prompt.templated
    assert outcome.generation is not None
    assert outcome.generation.token_ids


def test_a_missing_accelerator_stops_before_the_model(outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes["cuda"]
    assert outcome.device is not None
    if not outcome.device.problem:  # a machine with a GPU
        assert outcome.completed
        assert outcome.wrong_device_count == 0
    else:
        assert (outcome.ending, outcome.stage) == ("failed", "device")
        assert outcome.device.problem in outcome.message
        assert outcome.keys is None


def test_a_trained_adapter_fits_and_changes_the_model(outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes["adapter"]
    assert outcome.completed, outcome.message
    assert [s.name for s in outcome.stages][5:8] == ["compare", "load-base", "load-adapter"]
    assert outcome.adapter is not None
    assert outcome.adapter.peft_type == "LORA"
    assert (outcome.adapter.missing.total, outcome.adapter.unexpected.total) == (0, 0)
    assert outcome.effect is not None
    assert outcome.effect.changes_logits is True
    assert outcome.effect.max_abs_difference is not None
    assert outcome.effect.max_abs_difference > 0.001


def test_an_adapter_of_zeros_has_no_effect(outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes["zero-adapter"]
    assert outcome.adapter is not None
    assert outcome.adapter.missing.total == 0
    assert outcome.effect is not None
    assert (outcome.effect.changes_logits, outcome.effect.max_abs_difference) == (False, 0.0)


def test_an_adapter_under_a_wrong_prefix_is_told_key_by_key(outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes["prefix-adapter"]
    assert outcome.completed
    assert outcome.adapter is not None
    assert outcome.adapter.missing.total == outcome.adapter.unexpected.total == 8
    assert outcome.adapter.missing.names[0] == "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    assert outcome.adapter.unexpected.names[0] == "model.layers.0.self_attn.q_proj.lora_A.weight"
    assert outcome.effect is not None
    assert outcome.effect.changes_logits is False


def test_learned_prompts_are_no_missing_keys(outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes["prompt-adapter"]
    assert outcome.completed, outcome.message
    assert outcome.adapter is not None
    assert (outcome.adapter.missing.total, outcome.adapter.unexpected.total) == (0, 0)
    assert outcome.effect is not None
    assert outcome.effect.changes_logits is True


def test_an_adapter_of_another_rank_fails_after_its_base_was_loaded(outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes["rank-adapter"]
    assert (outcome.ending, outcome.stage) == ("failed", "load-adapter")
    assert "size mismatch" in outcome.message
    assert outcome.keys is not None
    assert outcome.keys.missing.total == 0


def test_without_an_override_the_adapter_names_its_own_base(outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes["no-base"]
    assert (outcome.ending, outcome.stage) == ("failed", "compare")
    assert "./gone/final_model" in outcome.message


def test_memory_that_runs_out_is_told_from_other_failures(outcomes: Mapping[str, ProbeOutcome]) -> None:
    outcome = outcomes["huge"]
    assert (outcome.ending, outcome.stage) == ("out-of-memory", "load")
    assert "can't allocate memory" in outcome.message
