"""Values of another type: what is said of them is what the installed transformers does with them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from sage_doctor.facts.config_types import activation_faults, type_faults
from tests.warm_python import run_warm

SPEC = importlib.util.find_spec("transformers")
INSTALLED = (Path(str(SPEC.origin)).parents[1],) if SPEC is not None else ()
# Each is loaded with one field at a time set to each value; printed is whether the class refuses that field.
ASKED = """
import dataclasses, json, sys
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
tried = []
for kind in sys.argv[1:]:
    cls = CONFIG_MAPPING[kind]
    base = {**json.loads(json.dumps(cls().to_dict(), default=str)), "model_type": kind}
    for name in [f.name for f in dataclasses.fields(cls)]:
        for value in ("x", 1.5, 3, True, None):
            try:
                cls.from_dict({**base, name: value})
                refused = False
            except Exception as error:
                refused = type(error).__name__.startswith("Strict") and f"'{name}'" in str(error)
            tried.append([base, name, value, refused])
print(json.dumps(tried))
"""


def test_refuses_what_transformers_refuses(warm_python: Path, tmp_path: Path) -> None:
    kinds = ("llama", "bert", "gpt2", "t5", "whisper", "qwen2_vl", "granite", "mamba")
    done = run_warm(warm_python, ("-c", ASKED, *kinds), cwd=tmp_path, env={"HF_HUB_OFFLINE": "1"})
    tried = json.loads(done.stdout)
    ours = [any(s.startswith(f"{n} is ") for s in type_faults(INSTALLED, {**base, n: v})) for base, n, v, _ in tried]
    alarms = [
        (base["model_type"], n, v) for (base, n, v, refused), said in zip(tried, ours, strict=True) if said > refused
    ]
    assert alarms == []
    assert sum(ours) > 0.9 * sum(refused for *_, refused in tried) > 400


def test_parts() -> None:
    text = {"model_type": "llama", "rms_norm_eps": "1e-6", "hidden_act": "swiglu"}
    config = {"model_type": "llava", "text_config": text, "leftover": text, "vision_config": None}
    assert list(type_faults(INSTALLED, config)) == ["text_config.rms_norm_eps is '1e-6', where float is expected"]
    assert len(list(activation_faults(INSTALLED, config))) == 1


def test_what_is_not_known() -> None:
    config = {"model_type": "llama", "rms_norm_eps": "1e-6", "hidden_act": "swiglu"}
    assert [*type_faults((), config), *activation_faults((), config)] == []
    for odd in ({**config, "model_type": "own"}, {**config, "model_type": 3}, {**config, "model_type": "../x"}, {}):
        assert [*type_faults(INSTALLED, odd), *activation_faults(INSTALLED, odd)] == []
