"""A base is known by its origin, also by what a runner does; sizes only exclude, and name what is to be confirmed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_doctor.findings.base_options import base_candidates, fitting_bases, known_bases
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.selection import Request, select
from tests.model_directories import write_adapter, write_full

WRONG = {f"model.layers.0.self_attn.{n}_proj.weight": (6, 6) for n in "qkv"}
RUNNER = """
base = AutoModel.from_pretrained("/elsewhere/zoo/large")
m = PeftModel.from_pretrained(base, "/elsewhere/zoo/stance")
"""


def adapter(root: Path, base: str | None, *, runner: bool = False) -> Model:
    """Lay out two models that the adapter fits, one that it does not, and return the adapter."""
    write_full(root / "zoo/small")
    write_full(root / "zoo/large")
    write_full(root / "zoo/other", tensors=WRONG, hidden_size=6)
    write_full(root / "zoo/contradicts-itself", hidden_size=6)
    write_adapter(root / "zoo/stance", base)
    (root / "run.py").write_text(RUNNER if runner else "")
    tables = "".join(f'[models.{n}]\nkind = "full"\npath = "zoo/{n}"\n' for n in ("small", "large", "other"))
    (root / "sage-doctor.toml").write_text(
        f'schema = 1\n[roles.r]\nmodels = ["stance"]\nrunners = ["run.py"]\n{tables}'
        '[models.stance]\nkind = "adapter"\npath = "zoo/stance"\n'
    )
    selection = select(Request(targets=("stance",), cwd=str(root), level="static"), {"HOME": str(root / "home")})
    return next(m for m in selection.models if m.name == "stance")


@pytest.mark.parametrize("base", [None, "./final_model", "/elsewhere/checkpoint-500"])
def test_what_merely_fits_is_to_be_confirmed(tmp_path: Path, base: str | None) -> None:
    model = adapter(tmp_path, base)
    assert known_bases(model) == []
    assert fitting_bases(model) == [tmp_path / "zoo/small", tmp_path / "zoo/large"]
    assert {c.path.name: c.why for c in base_candidates(model)} == dict.fromkeys(
        ("small", "large"), "this adapter fits it"
    )


def test_what_a_runner_loads_it_onto_is_its_base(tmp_path: Path) -> None:
    model = adapter(tmp_path, "./final_model", runner=True)
    assert known_bases(model) == [tmp_path / "zoo/large"]
    (found,) = base_candidates(model)
    assert found.why == "the model that run.py loads it onto"


def test_a_repository_that_is_named_is_no_question(tmp_path: Path) -> None:
    assert base_candidates(adapter(tmp_path, "org/name")) == []
