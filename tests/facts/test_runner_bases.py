"""Which base a script loads which adapter onto, in the ways that scripts are written; nothing computed is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_doctor.facts.runner_bases import loads_in

MODEL = "AutoModelForCausalLM.from_pretrained"


SAID = {
    f'm = PeftModel.from_pretrained({MODEL}("B"), "A")': ("B", "A"),
    f'b = {MODEL}("B", dtype="auto").to("cuda")\nb.eval()\nm = peft.PeftModel.from_pretrained(b, "A")': ("B", "A"),
    f'B = "/b"\ndef load():\n    b = {MODEL}(B)\n    return PeftModel.from_pretrained(b, A)\nA = "/a"': ("/b", "/a"),
    f'PeftModel.from_pretrained(model={MODEL}(resolve("b")), model_id=str(Path("/z") / "s" / "a"))': ("b", "/z/s/a"),
    f'PeftModel.from_pretrained({MODEL}(os.path.join(ROOT, "zoo", "b")), ZOO / "zoo/a")': ("…/zoo/b", "…/zoo/a"),
    f'for b in BASES:\n    m = PeftModel.from_pretrained({MODEL}(b), "A")': None,
    f'b = "x"\nb = "y"\nm = PeftModel.from_pretrained({MODEL}(b), "A")': None,
    f'm = PeftModel.from_pretrained({MODEL}(f"{{x}}/b"), "A")': None,
    'm = PeftModel.from_pretrained(PeftModel.from_pretrained(x, "B"), "A")': None,
    "from_pretrained(": None,
}


@pytest.mark.parametrize("source,found", SAID.items())
def test_what_a_script_says(tmp_path: Path, source: str, found: tuple[str, str] | None) -> None:
    script = tmp_path / "run.py"
    script.write_text(source)
    assert [(load.base, load.adapter) for load in loads_in(script)] == ([found] if found is not None else [])


def test_a_script_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "deep.py").write_text("x = " + "(" * 5000 + "from_pretrained")
    assert [loads_in(tmp_path / name) for name in (".", "none", "deep.py")] == [[], [], []]
