"""An adapter's base, named in the manifest with one line, or in its own configuration where that is wished."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.repairs.actions.set_base import with_base
from sage_doctor.repairs.repair import Plan, read_input
from tests.model_directories import MODEL, write_adapter, write_full
from tests.repairs.conftest import Fixer, contents

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HEAD = "schema = 1\n"
MANIFEST = f"""{HEAD}
[roles.raising]           # what sessions load
models = ["merged"]

[models.merged]
kind = "merged"
path = "merged"
merge = {{ base = "small", adapter = "stance-v2.1" }}

[models."stance-v2.1"]    # the adapter
kind = "adapter"
path = "stance"           # beside it
prompt = "Who are you?"

[models.small]
kind = "full"
path = "base"
"""
STANCE = ("stance-v2.1",)


def lost(fixer: Fixer) -> Path:
    """Lay out an adapter whose base is not where it says, and a merged model that is whole."""
    write_full(fixer.root / "base")
    write_full(fixer.root / "merged")
    write_adapter(fixer.root / "stance", "./fine_tuned_model/final_model")
    return fixer.manifest(MANIFEST)


def test_the_base_is_named_with_one_line_and_the_rest_stays(fixer: Fixer) -> None:
    path = lost(fixer)
    assert fixer.statuses(*STANCE) == [("set-base", "repaired")]
    said = path.read_text()
    assert said == MANIFEST.replace("# beside it\n", '# beside it\nbase = "small"\n')
    assert fixer.plans[0].diff[-2:] == ('+base = "small"', ' prompt = "Who are you?"')


def test_no_file_of_the_model_is_touched(fixer: Fixer) -> None:
    lost(fixer)
    before = contents(fixer.root / "stance")
    fixer(*STANCE)
    assert contents(fixer.root / "stance") == before


def test_a_base_the_checks_are_not_content_with_is_taken_out_again(
    fixer: Fixer, failing_verification: Sequence[str]
) -> None:
    path = lost(fixer)
    assert fixer.statuses(*STANCE) == [("set-base", "rolled-back")]
    assert failing_verification
    assert path.read_text() == MANIFEST


def test_a_base_of_another_shape_is_taken_out_again_by_the_checks_themselves(fixer: Fixer) -> None:
    path = lost(fixer)
    wrong = {f"model.layers.0.self_attn.{n}_proj.weight": (6, 6) for n in "qkv"}
    write_full(fixer.root / "base", tensors=wrong)
    (fixer.root / "base" / "config.json").unlink()
    done = fixer(*STANCE)
    assert "set-base" not in [a.repair for a in done.attempts if a.status == "repaired"] or done.after.exit_code
    assert done.after.exit_code == 1
    assert tomllib.loads(path.read_text())


def test_a_manifest_that_changed_since_the_plan_is_left_alone(fixer: Fixer) -> None:
    path = lost(fixer)

    def change(_plan: Plan) -> None:
        path.write_text(MANIFEST + "# a word more\n")

    done = fixer(*STANCE, before_consent=change)
    assert [(a.status, "has changed since the plan" in a.reason) for a in done.attempts] == [("failed", True)]
    assert path.read_text() == MANIFEST + "# a word more\n"


def test_a_manifest_that_is_a_link_stays_one(fixer: Fixer) -> None:
    path = lost(fixer)
    real = path.with_name("kept-elsewhere.toml")
    path.rename(real)
    path.symlink_to(real.name)
    assert fixer.statuses(*STANCE) == [("set-base", "repaired")]
    assert path.is_symlink()
    assert 'base = "small"\nprompt' in real.read_text()


def disputed(fixer: Fixer) -> Path:
    """Lay out an adapter that two recipes want merged into two bases."""
    path = lost(fixer)
    write_full(fixer.root / "other")
    more = '[models.again]\nkind = "merged"\npath = "merged"\nmerge = { base = "other", adapter = "stance-v2.1" }\n'
    path.write_text(MANIFEST + more + '[models.other]\nkind = "full"\npath = "other"\n')
    return path


def test_two_recipes_that_disagree_are_a_question(fixer: Fixer) -> None:
    path = disputed(fixer)
    before = path.read_text()
    for done in (fixer(*STANCE), fixer(*STANCE, dry_run=True)):
        (attempt,) = done.attempts
        assert (attempt.repair, attempt.status) == ("set-base", "refused")
        assert "several models may be its base" in attempt.reason
        assert 'base = "small"' in attempt.reason
        assert 'base = "other"' in attempt.reason
        assert "--base" in attempt.reason
        assert done.after.exit_code == 1
    assert path.read_text() == before


@pytest.mark.parametrize("bases", [{"stance-v2.1": "other"}, {"": "other"}, {"": "./other"}])
def test_the_question_is_answered_on_the_command_line(fixer: Fixer, bases: dict[str, str]) -> None:
    path = disputed(fixer)
    done = fixer(*STANCE, bases=bases)
    assert [(a.repair, a.status) for a in done.attempts] == [("set-base", "repaired")]
    assert tomllib.loads(path.read_text())["models"]["stance-v2.1"]["base"] == "other"
    assert "given by --base" in fixer.plans[0].action


def test_a_person_who_is_asked_decides(fixer: Fixer) -> None:
    path = disputed(fixer)
    before = path.read_text()
    asked: list[tuple[str, list[str]]] = []

    def nobody(adapter: str, choices: Sequence[Path]) -> Path | None:
        asked.append((adapter, sorted(p.name for p in choices)))
        return None

    assert [a.status for a in fixer(*STANCE, choose=nobody).attempts] == ["refused"]
    assert asked == [("stance-v2.1", ["base", "other"])]
    assert path.read_text() == before
    chosen = fixer(*STANCE, choose=lambda _adapter, choices: next(p for p in choices if p.name == "other"))
    assert [a.status for a in chosen.attempts] == ["repaired"]
    assert tomllib.loads(path.read_text())["models"]["stance-v2.1"]["base"] == "other"


def test_an_answer_with_other_shapes_is_refused(fixer: Fixer) -> None:
    path = disputed(fixer)
    before = path.read_text()
    wrong = {f"model.layers.0.self_attn.{n}_proj.weight": (6, 6) for n in "qkv"}
    write_full(fixer.root / "wrong", tensors=wrong)
    (attempt,) = fixer(*STANCE, bases={"": "wrong"}).attempts
    assert attempt.status == "refused"
    assert "wrong cannot be its base: the adapter's " in attempt.reason
    assert path.read_text() == before


def test_an_answer_replaces_one_that_is_there(fixer: Fixer) -> None:
    path = disputed(fixer)
    assert [a.status for a in fixer(*STANCE, bases={"": "small"}).attempts] == ["repaired"]
    assert 'base = "small"\nprompt' in path.read_text()
    done = fixer(*STANCE, bases={"stance-v2.1": "./other"})
    assert [(a.repair, a.status) for a in done.attempts] == [("set-base", "repaired")]
    assert 'base = "other"\nprompt' in path.read_text()  # by its name in the manifest
    (again,) = fixer(*STANCE, bases={"": "other"}).attempts
    assert (again.status, again.reason) == ("refused", "other is its base in the manifest already.")


@pytest.mark.parametrize(
    "said, reason",
    [
        ("stance-v2.1", "the adapter itself"),
        ("./stance", "the adapter itself"),
        ("nowhere", "no model or directory named nowhere"),
        ("empty", "has no config.json"),
        ("second", "is an adapter"),
    ],
)
def test_an_answer_that_is_no_base_is_refused(fixer: Fixer, said: str, reason: str) -> None:
    path = disputed(fixer)
    before = path.read_text()
    (fixer.root / "empty").mkdir()
    write_adapter(fixer.root / "second", "x")
    (attempt,) = fixer(*STANCE, bases={"": said}).attempts
    assert attempt.status == "refused"
    assert reason in attempt.reason
    assert path.read_text() == before


def test_a_base_for_an_unknown_adapter_is_wrong_usage(fixer: Fixer) -> None:
    disputed(fixer)
    with pytest.raises(UsageError, match=r"adapter not found among the targets \(adapters: stance-v2\.1\)"):
        fixer(*STANCE, bases={"small": "other"})


def test_an_answer_for_nobody_in_particular_is_no_answer_for_two(fixer: Fixer) -> None:
    for name in ("one", "two"):
        write_adapter(fixer.root / name, f"their/{name}")
    write_full(fixer.root / "base")
    tables = "".join(f'[models.{n}]\nkind = "adapter"\npath = "{n}"\n' for n in ("one", "two"))
    path = fixer.manifest(HEAD + tables)
    before = path.read_text()
    done = fixer(bases={"": "./base"})
    assert [(a.status, "is ambiguous" in a.reason) for a in done.attempts] == [("refused", True)] * 2
    assert path.read_text() == before
    both = fixer(bases={"one": "./base", "two": "./base"})
    assert [a.status for a in both.attempts] == ["repaired"] * 2


def test_what_nothing_here_knows_can_be_said(fixer: Fixer) -> None:
    write_full(fixer.root / "smollm2-instruct")
    write_adapter(fixer.root / "stance", "their/smollm2-base")
    path = fixer.manifest(f'{HEAD}[models.stance]\nkind = "adapter"\npath = "stance"\n')
    done = fixer(bases={"stance": "smollm2-instruct"})
    assert [a.status for a in done.attempts] == ["repaired"]
    assert tomllib.loads(path.read_text())["models"]["stance"]["base"] == "./smollm2-instruct"


def test_a_similar_name_is_no_origin(fixer: Fixer) -> None:
    write_full(fixer.root / "smollm2-instruct")
    write_adapter(fixer.root / "stance", "their/smollm2-base")
    path = fixer.manifest(f'{HEAD}[models.stance]\nkind = "adapter"\npath = "stance"\n')
    done = fixer()
    assert done.after.exit_code == 1
    assert [a.repair for a in done.attempts] == ["download"], "the hub id says which model it is"
    assert "base =" not in path.read_text()


def test_the_same_trailing_path_is_an_origin(fixer: Fixer) -> None:
    write_full(fixer.root / "trained" / "final_model")
    write_adapter(fixer.root / "stance", "/home/elsewhere/trained/final_model")
    path = fixer.manifest(f'{HEAD}[models.stance]\nkind = "adapter"\npath = "stance"\n')
    assert fixer.statuses() == [("set-base", "repaired")]
    assert tomllib.loads(path.read_text())["models"]["stance"]["base"] == "./trained/final_model"


def test_without_a_manifest_the_configuration_is_changed_only_where_that_is_wished(fixer: Fixer) -> None:
    write_full(fixer.root / "trained" / "final_model")
    adapter = write_adapter(fixer.root / "stance", "/home/elsewhere/trained/final_model", note="π")
    before = contents(adapter)
    done = fixer(".")
    assert [(a.status, "--write-config" in a.reason) for a in done.attempts] == [("refused", True)]
    assert contents(adapter) == before
    old = (adapter / "adapter_config.json").read_bytes()
    assert fixer.statuses(".", write_config=True) == [("set-base", "repaired")]
    assert (adapter / "adapter_config.json.orig").read_bytes() == old
    new = json.loads((adapter / "adapter_config.json").read_text())
    assert new == {**json.loads(old), "base_model_name_or_path": str(fixer.root / "trained" / "final_model")}


def test_a_configuration_the_checks_are_not_content_with_is_put_back(
    fixer: Fixer, failing_verification: Sequence[str]
) -> None:
    write_full(fixer.root / "trained" / "final_model")
    adapter = write_adapter(fixer.root / "stance", "/home/elsewhere/trained/final_model")
    before = contents(adapter)
    assert fixer.statuses(".", write_config=True) == [("set-base", "rolled-back")]
    assert failing_verification
    assert contents(adapter) == before


# -- the line ---------------------------------------------------------------------------------------------------------

WAYS = {
    "table": '[models.a]\nkind = "adapter"\npath = "x"\n',
    "quoted": "[models.'a']\npath = 'x'\nkind = 'adapter'\n",
    "spaced": '[ models . "a" ]\n  path   =   "x"   # where\n  kind = "adapter"\n',
    "no newline at the end": '[models.a]\nkind = "adapter"\npath = "x"',
    "carriage returns": '[models.a]\r\nkind = "adapter"\r\npath = "x"\r\n\r\n[models.b]\r\npath = "y"\r\n',
    "inline": '[models]\na = { kind = "adapter", path = "x" } # all in one\nb = { path = "y" }\n',
    "dotted": '[models]\na.kind = "adapter"\na.path = "x"\nb.path = "y"\n',
    "from the top": 'models.a.kind = "adapter"\nmodels.a.path = "x"\n',
    "text that looks alike": '[models.a]\ndescription = """\npath = "no"\n"""\npath = "x"\n[models.b]\npath = "x"\n',
    "text in three quotes": '[models.a]\npath = """x"""\nkind = "adapter"\n',
    "table over a line": '[models.a]\npath = """\\\n  x"""\nkind = "adapter"\n',
    "byte order mark": '\ufeff[models.a]\npath = "x"\n',
    "table below it": '[models.a]\npath = "x"\n[models.a.budget]\nload_s = 3\n',
}


@pytest.mark.parametrize("text", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("base", ["small", 'odd "name" \\ with\tall', "ünï/π \U0001f600", "{zoo}/x", "\x7f"])
def test_the_line_fits_every_way_of_writing_a_table(text: str, base: str) -> None:
    new = with_base(text, "a", base)
    assert new is not None
    wanted = tomllib.loads(text.removeprefix("\ufeff"))
    wanted["models"]["a"]["base"] = base
    assert tomllib.loads(new.removeprefix("\ufeff")) == wanted
    old_lines, new_lines = text.splitlines(), new.splitlines()
    changed = [line for line in old_lines if line not in new_lines]
    assert len(changed) <= ("{" in text and "a = {" in text)
    assert new.startswith("\ufeff") == text.startswith("\ufeff")
    assert ("\r\n" in text) == ("\r\n" in new)
    assert new.count("\n") - new.count("\r\n") == (0 if "\r\n" in text else new.count("\n"))


@pytest.mark.parametrize(
    "text,new",
    [
        ('[models.a]\npath = "x"\nbase = "y" # z\n', '[models.a]\npath = "x"\nbase = "small" # z\n'),
        ("[models]\na = {path='x', base='y'}\n", "[models]\na = {path='x', base=\"small\"}\n"),
        ('models.a.base = "y"\n', 'models.a.base = "small"\n'),
        ('[models.b]\npath = "x"\n', None),
        ("models = 3\n", None),
        ("[[", None),
    ],
)
def test_a_base_is_replaced_and_no_line_is_written_without_a_table(text: str, new: str | None) -> None:
    assert with_base(text, "a", "small") == new


def test_an_unreadable_manifest_raises_what_a_person_can_read(tmp_path: Path) -> None:
    with pytest.raises(DoctorError, match="a directory"):
        read_input(tmp_path, 1)
    assert not (tmp_path / MODEL).exists()
