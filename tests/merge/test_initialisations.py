"""What PEFT does with adapters whose initialisation changed the base: what a refusal says of them is true."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from sage_doctor.merge import MergeRefused, plan_merge

pytestmark = pytest.mark.usefixtures("quiet")


def trained(zoo: ModuleType, base: Path, folder: Path, init: str) -> float:
    """Save an adapter trained from such a start; return how far PEFT's merge of it is from what was trained."""
    import peft
    import torch

    torch.manual_seed(1)
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=init)
    model = peft.get_peft_model(zoo.load(base), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn_like(parameter) * 0.05)
        wanted = model.eval()(input_ids=torch.arange(24).reshape(1, -1)).logits
    model.save_pretrained(folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": str(base)}))
    again = peft.PeftModel.from_pretrained(zoo.load(base), str(folder)).merge_and_unload()
    with torch.no_grad():
        got = again.eval()(input_ids=torch.arange(24).reshape(1, -1)).logits
    return float((got - wanted).abs().max())


@pytest.mark.parametrize("init, repeated", [("pissa", True), ("olora", True), ("pissa_niter_4", False)])
def test_what_is_subtracted_at_each_load(
    init: str, *, repeated: bool, zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    base = base_of("llama", "float32")
    error = trained(zoo, base, tmp_path / "adapter", init)

    with pytest.raises(MergeRefused) as refusal:
        plan_merge(tmp_path / "adapter", tmp_path / "merged")

    assert (error < 1e-4) == repeated
    assert ("merge_and_unload" in refusal.value.next_step) == repeated
    assert ("random numbers" in refusal.value.message) != repeated
