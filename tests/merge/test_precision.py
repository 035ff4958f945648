"""Tensors that a load keeps in float32 whatever is stored are written so where the adapter changes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_doctor.merge import precision
from sage_doctor.merge.edits import TensorLocation, TensorPlan
from sage_doctor.readers.safetensors_header import Tensor

SOURCE = """
class TopKRouter(nn.Module):
    def __init__(self):
        self.wg = nn.Linear(config.hidden_size, self.num_experts, bias=False, dtype=torch.float32)


class XPreTrainedModel(PreTrainedModel):
    _keep_in_fp32_modules = ["wo"]
    _keep_in_fp32_modules_strict = [
        "mlp.gate.weight",  # the router
    ]
"""


def plan(name: str, source: str, stored: str, dtype: str) -> TensorPlan:
    tensor = Tensor(name=name, dtype=source, shape=(4, 4), start=0, end=32)
    return TensorPlan(name=name, source=TensorLocation(Path("x"), tensor), stored=stored, dtype=dtype)


@pytest.mark.parametrize(
    "name, source, stored, dtype, written",
    [
        ("layers.0.mlp.gate.weight", "F32", "BF16", "BF16", "F32"),
        ("layers.0.mlp.gate.weight", "BF16", "BF16", "BF16", "BF16"),  # as it is in the base
        ("layers.0.mlp.gate.weight", "F32", "F32", "BF16", "F32"),  # converted
        ("layers.0.mlp.up.weight", "F32", "BF16", "BF16", "BF16"),
        ("layers.0.wo.weight", "F32", "F16", "F16", "F32"),
        ("layers.0.wo.weight", "F32", "BF16", "BF16", "BF16"),
        ("layers.0.wg.weight", "F32", "F16", "F16", "F32"),
    ],
)
def test_the_dtype_written(
    name: str, source: str, stored: str, dtype: str, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "transformers" / "models" / "x"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "modeling_x.py").write_text(SOURCE)
    monkeypatch.setattr(precision, "own_packages", lambda: (tmp_path,))

    plans = precision.with_float32_kept({name: plan(name, source, stored, dtype)}, {}, {"model_type": "x"})

    assert plans[name].dtype == written
