"""Package requirements: whose they are, and a wrong one by its line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import sage_doctor.manifest
from sage_doctor.manifest.requirements import _USUAL
from sage_doctor.manifest.specs import Manifest

Load = Callable[..., Manifest]
Problems = Callable[..., list[str]]

TEXT = """\
requires = ["transformers>=4.45", "peft"]
[machines.thor]
match.hostname = "thor"
requires = ["torch>=2.4", "peft"]
[machines.sprout]
match.hostname = "sprout"
[models.m]
kind = "full"
path = "m"
requires = ["sentencepiece"]
"""


def test_the_top_level_and_the_machine_add_up(load: Load) -> None:
    thor = load(TEXT, hostname="thor")
    assert thor.requires == ("transformers>=4.45", "peft", "torch>=2.4")
    assert thor.machines["thor"].requires == ("torch>=2.4", "peft")
    assert load(TEXT, hostname="sprout").requires == ("transformers>=4.45", "peft")
    assert load(TEXT, hostname="elsewhere").requires == ("transformers>=4.45", "peft")


def test_a_model_has_its_own(load: Load) -> None:
    assert load(TEXT, hostname="thor").models["m"].requires == ("sentencepiece",)


def test_none_are_none(load: Load) -> None:
    manifest = load('requires = []\nmodels.m = { kind = "full", path = "m" }')
    assert (manifest.requires, manifest.models["m"].requires) == ((), ())


def test_every_wrong_one_is_told_by_its_line(problems: Problems) -> None:
    text = """\
    requires = [
      "peft",
      "transformers>>4",
    ]
    [machines.thor]
    requires = ["torch 2.4"]
    [models.m]
    kind = "full"
    path = "m"
    requires = ["x; moon == 'full'", 3]
    """
    told = problems(text)
    assert [line.partition(":")[0] for line in told] == ["4", "7", "11", "11"]
    assert told[0].startswith("4: requires: 'transformers>>4' is not a requirement such as 'transformers>=4.45'")
    assert told[1].startswith("7: [machines.thor] requires: 'torch 2.4' is not a requirement")
    assert told[2].startswith("11: [models.m] requires")
    assert any("requires must be a list of strings; it holds the number 3" in line for line in told[2:])
    assert all(line.isprintable() for line in told)


def test_a_hostile_one_is_refused_and_shown_safely(problems: Problems) -> None:
    told = problems(
        'requires = ["\\u001b[31mred"]\n[models.m]\nkind = "full"\npath = "m"\nrequires = ["' + "a" * 5000 + '"]'
    )
    assert len(told) == 2
    assert all(line.isprintable() and len(line) < 400 for line in told)
    assert "longer than 1000 characters" in told[1]


EVERYDAY = ("peft", "transformers>=4.45", "torch >= 2.4, <3")
NAMES = ("peft", "a", "Sentence-Pieces_2.x", "3d", "a-", "-a", "a..b", "p eft", "", "é")
VERSIONS = ("1", "4.45.0", "1.2.3.4.5.6", "01.002", "1.", ".1", "1.*", "2a1", "1.2.3.4.5.6.7", "9" * 9)
FORMS = (
    "{n}",
    "{n}>={v}",
    "{n} >= {v}",
    "{n}=={v},<{v}",
    "{n}=={v}, !={v}",
    "{n}>={v},",
    "{n}>{v};",
    "{n}{v}",
    "{n}>{v}\n",
)


def test_what_passes_for_a_usual_requirement_is_one() -> None:
    texts = {form.format(n=name, v=version) for form in FORMS for name in NAMES for version in VERSIONS}
    usual = {text for text in texts if _USUAL.fullmatch(text)}
    assert len(usual) > 80
    assert {"peft", "transformers>=4.45", "torch >= 2.4, <3"} <= {t for t in EVERYDAY if _USUAL.fullmatch(t)}
    for text in usual:
        Requirement(text)  # raises where it is none


@pytest.mark.parametrize(
    "lines, brought",
    [
        ("", "[]"),
        ("requires = []\n", "[]"),
        ('requires = ["peft", "a>=1.2,<3"]\n', "[]"),
        ('requires = ["peft~=1.2"]\n', "['packaging']"),
    ],
)
def test_only_unusual_ones_cost_the_import_of_their_grammar(lines: str, brought: str, tmp_path: Path) -> None:
    path = tmp_path / "sage-doctor.toml"
    path.write_text(f"schema = 1\n{lines}", encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from sage_doctor.manifest.load import load_for_host;"
        f"load_for_host(Path({str(path)!r})); print(sorted({{'packaging'}} & set(sys.modules)))"
    )
    root = Path(sage_doctor.manifest.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root, timeout=60
    )
    assert done.stdout.strip() == brought
