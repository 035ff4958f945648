"""What lies in the merged directory, what is said of it, and the real model with its demonstration adapter."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sage_doctor
from sage_doctor.demo import smollm2
from sage_doctor.merge import MergeRefused, apply, plan_merge
from tests.merge.conftest import Doctor

DEMO = Path(sage_doctor.__file__).parent / "demo/adapter"


@pytest.fixture
def smol(demo_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real model, converted once and kept, as the demo keeps it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(demo_cache))
    return smollm2.converted()


@pytest.mark.usefixtures("quiet")
def test_the_real_model_with_its_demonstration_adapter(
    smol: Path, zoo: ModuleType, doctor: Doctor, tmp_path: Path
) -> None:
    import torch

    refused = doctor("merge", DEMO, "--out", tmp_path / "merged", cwd=tmp_path)
    assert refused.returncode == 1
    assert "Name the base with --base" in refused.stderr

    done = doctor("merge", DEMO, "--out", tmp_path / "merged", "--base", smol)

    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "progress is for terminals"
    assert "; delta kept: " in done.stdout
    merged = zoo.load(tmp_path / "merged")
    assert zoo.differences(merged, zoo.merged_by_peft(smol, DEMO)) == []
    ids = torch.tensor([[1, 4093, 198, 7306, 359, 346, 47]])
    with torch.no_grad():
        import peft

        together = peft.PeftModel.from_pretrained(zoo.load(smol), str(DEMO)).eval()(input_ids=ids).logits
        alone = zoo.load(smol).eval()(input_ids=ids).logits
        ours = merged.eval()(input_ids=ids).logits
    assert (ours - together).abs().max() < (alone - together).abs().max() / 4
    checked = doctor("check", tmp_path / "merged", "--level", "generate", "-f", "json")
    assert json.loads(checked.stdout)["exit_code"] == 0, checked.stdout


@pytest.fixture
def pair(zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    def make(base_dtype: str = "bfloat16", **options: Any) -> tuple[Path, Path]:
        base = base_of("llama", base_dtype)
        return base, zoo.make_adapter(tmp_path / "adapter", base, {"target_modules": ["q_proj"], **options})

    return make


def scale(adapter: Path, factor: float) -> None:
    from safetensors.torch import load_file, save_file

    path = adapter / "adapter_model.safetensors"
    save_file({n: t * factor if "lora_B" in n else t for n, t in load_file(path).items()}, path)


@pytest.mark.usefixtures("quiet")
def test_a_change_that_rounding_takes_away_is_told(pair: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    _, adapter = pair()
    scale(adapter, 1e-5)

    lost = apply(plan_merge(adapter, tmp_path / "merged"))
    kept = apply(plan_merge(adapter, tmp_path / "wide", dtype="float32"))

    assert lost.surviving_delta is not None
    assert lost.surviving_delta < 0.2
    assert [code for code, _ in lost.warnings] == ["merge-delta-vanishes"]
    assert "--dtype float32" in lost.warnings[0][1]
    assert kept.surviving_delta is not None
    assert kept.surviving_delta > 0.8
    assert kept.warnings == ()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("dtype, factor", [("bfloat16", float("nan")), ("float16", 1e9)])
def test_numbers_that_are_none_stop_the_merge(
    dtype: str, factor: float, pair: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    _, adapter = pair(dtype)
    scale(adapter, factor)

    with pytest.raises(MergeRefused) as refusal:
        apply(plan_merge(adapter, tmp_path / "merged"))

    assert refusal.value.code == "merge-nonfinite"
    assert os.listdir(tmp_path) == ["adapter"]


@pytest.mark.usefixtures("quiet")
def test_the_directory_is_complete_and_says_where_it_comes_from(
    pair: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    base, adapter = pair()
    (base / "model.safetensors").chmod(0o640)

    apply(plan_merge(adapter, tmp_path / "merged"))

    merged = tmp_path / "merged"
    names = {p.name for p in merged.iterdir()}
    assert names == {"config.json", "generation_config.json", "model.safetensors", "sage-doctor-merge.json"}
    assert (merged / "config.json").read_bytes() == (base / "config.json").read_bytes()
    assert (merged / "model.safetensors").stat().st_mode & 0o777 == 0o640
    record = json.loads((merged / "sage-doctor-merge.json").read_text())
    hashes = {i["path"]: i["sha256"] for i in record["inputs"]}
    for path in (base / "model.safetensors", adapter / "adapter_model.safetensors", adapter / "adapter_config.json"):
        assert hashes[str(path)] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["surviving_delta"] > 0.9
    written = hashlib.sha256((merged / "model.safetensors").read_bytes()).hexdigest()
    assert record["outputs"] == [{"path": "model.safetensors", "sha256": written}]


@pytest.mark.usefixtures("quiet")
def test_the_doctor_holds_merged_weights_to_the_record(
    pair: Callable[..., tuple[Path, Path]], doctor: Doctor, tmp_path: Path
) -> None:
    _, adapter = pair()
    (adapter / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}, "added_tokens": []}))
    apply(plan_merge(adapter, tmp_path / "merged"))
    whole = json.loads(doctor("check", tmp_path / "merged", "--level", "integrity", "-f", "json").stdout)
    weights = tmp_path / "merged/model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    changed = json.loads(doctor("check", tmp_path / "merged", "--level", "integrity", "-f", "json").stdout)

    assert "weights-unverified" not in {f["code"] for f in whole["findings"]}
    assert [f["code"] for f in changed["findings"] if f["severity"] == "error"] == ["weights-hash-mismatch"]


@pytest.mark.usefixtures("quiet")
def test_the_tokenizer_is_the_adapters_where_it_has_one(pair: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    _, adapter = pair()
    own = {"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": []}
    (adapter / "tokenizer.json").write_text(json.dumps(own))
    (adapter / "chat_template.jinja").write_text("{{ messages }}")

    apply(plan_merge(adapter, tmp_path / "merged"))

    assert json.loads((tmp_path / "merged/tokenizer.json").read_text()) == own
    assert (tmp_path / "merged/chat_template.jinja").read_text() == "{{ messages }}"
    assert not (tmp_path / "merged/adapter_config.json").exists()


@pytest.mark.usefixtures("quiet")
def test_a_replaced_model_leaves_its_notes_and_takes_its_old_weights_with_it(
    pair: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    _, adapter = pair()
    merged = tmp_path / "merged"
    merged.mkdir()
    for name in ("pytorch_model.bin", "model-00001-of-00002.safetensors", "config.json", "notes.org"):
        (merged / name).write_text(name)
    link = tmp_path / "current"
    link.symlink_to("merged")

    plan = plan_merge(adapter, link)
    apply(plan)

    assert [p.name for p in plan.kept] == ["notes.org"]
    assert (merged / "notes.org").read_text() == "notes.org"
    assert not list(merged.glob("pytorch*")) + list(merged.glob("model-*"))
    assert link.is_symlink()


@pytest.mark.usefixtures("quiet")
def test_the_command_asks_before_it_replaces(
    pair: Callable[..., tuple[Path, Path]], doctor: Doctor, tmp_path: Path
) -> None:
    _, adapter = pair()
    merged = tmp_path / "merged"
    merged.mkdir()
    (merged / "config.json").write_text("old")

    asked = doctor("merge", adapter, "--out", merged)
    shown = doctor("merge", adapter, "--out", merged, "--dry-run")

    assert asked.returncode == 2
    assert "--yes" in asked.stderr
    assert shown.returncode == 0
    assert (merged / "config.json").read_text() == "old"
    assert doctor("merge", adapter, "--out", merged, "--yes").returncode == 0
    assert (merged / "config.json").read_text() != "old"
