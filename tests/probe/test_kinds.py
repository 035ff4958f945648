"""The class a session loads with, and what an adapter is judged on: real models of many kinds."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ENVIRON = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, warm_python: Path) -> Mapping[str, dict[str, Any]]:
    """Name of the directory → outcome; `+prompt` where a session talks to it, `+stack` for an adapter on an adapter."""
    root = tmp_path_factory.mktemp("kinds")
    command = [str(warm_python), "-W", "ignore", "-m", "tests.probe.kinds", str(root)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=ENVIRON, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = {}
    for line in (root / "outcomes.jsonl").read_text().splitlines():
        value = json.loads(line)
        request = value["request"]
        more = "+prompt" * request["prompted"] + "+stack" * ((request["base"] or "").endswith("invoked"))
        found[Path(request["path"]).name + more] = value["outcome"]
    return found


@pytest.mark.parametrize(
    "name, loaded_as",
    [
        ("headless", "LlamaModel"),
        ("tied-headless+prompt", "LlamaForCausalLM"),
        ("legacy-name", "T5ForConditionalGeneration"),
        ("no-name", "BertModel"),
        ("whisper", "WhisperForConditionalGeneration"),
        ("sentences", "BertModel"),
        ("spare-head", "BertForMaskedLM"),
        ("other-type", "LlamaForCausalLM"),
        ("experts", "MixtralForCausalLM"),
        ("reward", "LlamaForSequenceClassification"),
        ("saved-head", "LlamaForCausalLM"),
        ("looks", "LlavaForConditionalGeneration"),
        ("speaks", "LlavaForConditionalGeneration"),
        ("no-task", "LlamaForCausalLM"),
    ],
)
def test_it_is_loaded_as_a_session_does(outcomes: Mapping[str, dict[str, Any]], name: str, loaded_as: str) -> None:
    outcome = outcomes[name]
    assert outcome["ending"] == "completed", outcome["message"]
    keys = outcome["keys"]
    assert keys["model_class"] == loaded_as
    assert (keys["missing"]["total"], keys["unexpected"]["total"], keys["mismatched_total"]) == (0, 0, 0)
    adapter = outcome["adapter"]
    assert adapter is None or (adapter["missing"]["total"], adapter["unexpected"]["total"]) == (0, 0)


@pytest.mark.parametrize("name", ["tokens", "tokens-and-lora", "invoked", "saved-head", "speaks"])
def test_an_adapter_is_judged_on_an_input_that_reaches_it(outcomes: Mapping[str, dict[str, Any]], name: str) -> None:
    assert outcomes[name]["effect"]["changes_logits"] is True


def test_nothing_is_said_of_an_adapter_that_no_prompt_reaches(outcomes: Mapping[str, dict[str, Any]]) -> None:
    effect = outcomes["looks"]["effect"]
    assert effect["changes_logits"] is None
    assert effect["problem"] == "the prompt reaches 0 of the adapter's 1 modules"


@pytest.mark.parametrize(
    "name, missing", [("moved", "model.layers.0.self_attn.k_proj.weight"), ("headless+prompt", "lm_head.weight")]
)
def test_no_weight_is_read_where_names_do_not_fit(
    outcomes: Mapping[str, dict[str, Any]], name: str, missing: str
) -> None:
    outcome = outcomes[name]
    assert (outcome["stage"], outcome["failure"]["type"], outcome["loaded"]) == ("compare", "KeysMismatch", None)
    assert outcome["keys"]["missing"]["names"][0] == missing


def test_what_does_not_answer_in_words_is_not_asked(outcomes: Mapping[str, dict[str, Any]]) -> None:
    said = {name: outcomes[name]["not_applicable"]["reason"] for name in ("whisper", "reward")}
    assert said == {
        "whisper": "WhisperForConditionalGeneration takes input_features, not text",
        "reward": "LlamaForSequenceClassification does not generate text",
    }


def test_parts_that_are_not_used_are_no_misfit(outcomes: Mapping[str, dict[str, Any]]) -> None:
    assert outcomes["spare-head"]["keys"]["spare"]["total"] > 0
    assert outcomes["reward"]["keys"]["spare"]["names"] == ["lm_head.weight"]
    assert outcomes["sentences"]["keys"]["idle"]["names"] == ["pooler.dense.bias", "pooler.dense.weight"]


def test_a_base_that_is_an_adapter_is_refused(outcomes: Mapping[str, dict[str, Any]]) -> None:
    outcome = outcomes["tokens+stack"]
    assert outcome["stage"] == "compare"
    assert "is itself an adapter" in outcome["failure"]["message"]
