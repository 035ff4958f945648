"""Every mistake by its line, all at once, with what was probably meant."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.manifest.names import name_fault
from sage_doctor.manifest.specs import Manifest, RoleSpec
from sage_doctor.report import MACHINE

Load = Callable[..., Manifest]
Problems = Callable[..., list[str]]

MODEL = 'models.m = { kind = "full", path = "m" }\n'


def test_an_empty_manifest_is_one(load: Load) -> None:
    manifest = load("")
    assert (manifest.models, manifest.roles, manifest.machines, manifest.machine) == ({}, {}, {}, None)
    assert manifest.required() == frozenset()


def test_everything_wrong_is_told_at_once_in_the_order_of_lines(problems: Problems) -> None:
    text = """\
    pyhton = "/usr/bin/python3"
    [machines.thor]
    match.hostnam = "thor*"
    roles = ["analysis",
      "raisin"]
    [roles.raising]
    models = ["introspective-qwn"]
    [models.introspective-qwen]
    pth = "zoo"
    kind = "mergd"
    budget.load_s = "30"
    """
    assert problems(text) == [
        "2: unknown key 'pyhton' at the top level; did you mean 'python'?",
        "4: unknown key 'hostnam' in [machines.thor.match]; did you mean 'hostname'?",
        "5: unknown role 'analysis' in [machines.thor]; known: raising",
        "6: unknown role 'raisin' in [machines.thor]; did you mean 'raising'?",
        "8: unknown model 'introspective-qwn' in [roles.raising]; did you mean 'introspective-qwen'?",
        "9: [models.introspective-qwen] has no path: a directory or hf:org/name",
        "10: unknown key 'pth' in [models.introspective-qwen]; did you mean 'path'?",
        "11: unknown kind 'mergd' in [models.introspective-qwen]; did you mean 'merged'?",
        "12: [models.introspective-qwen] budget.load_s must be a positive number, not the string '30'",
    ]


@pytest.mark.parametrize(
    "line, problem",
    [
        ('python = "python3"', "python 'python3' is a command name, not a path"),
        ("python = 3", "python must be a string that is not empty, not the number 3"),
        ('accelerator = "gpu"', "unknown accelerator 'gpu' at the top level; did you mean 'cpu'?"),
        ("vars.zoo = 1979-05-27", "vars.zoo must be a string, not the date or time 1979-05-27"),
        ("vars.home = '/h'", "vars.home: this name is built in; choose another"),
        ("vars.1zoo = '/h'", "vars.1zoo cannot be a variable's name"),
        ("vars = 1", "vars must be a table, not the number 1"),
        ("budget.load_s = true", "budget.load_s must be a positive number, not the boolean true"),
        ("budget.load_s = nan", "budget.load_s must be a positive number, not the number nan"),
        ("budget.load_s = inf", "budget.load_s must be a positive number, not the number inf"),
        ("budget.load_s = -1", "budget.load_s must be a positive number, not the number -1"),
        ("budget.load_s = 0", "budget.load_s must be a positive number, not the number 0"),
        (f"budget.load_s = 1{'0' * 400}", "budget.load_s must be a positive number, not the number 1000"),
        (f"budget.load_s = 0x{'f' * 9000}", "budget.load_s must be a positive number, not a number of thousands of"),
        ("budget.load = 1", "unknown key 'load' in [budget]; did you mean 'load_s'?"),
        ("models.x = 'y'", "[models.x] must be a table, not the string 'y'"),
        (
            "models.m.max_new_tokens = 1.5",
            "[models.m] max_new_tokens must be a whole number, 1 or more, not the number",
        ),
        ("models.m.max_new_tokens = true", "[models.m] max_new_tokens must be a whole number"),
        ("models.m.max_new_tokens = 0", "[models.m] max_new_tokens must be a whole number"),
        ("models.m.dtype = 'float8'", "unknown dtype 'float8' in [models.m]; did you mean 'float"),
        ("models.m.device = 'cuda:x'", "[models.m] device must be 'cpu', 'mps', 'cuda' or 'cuda:N'"),
        ("models.m.prompt = ''", "[models.m] prompt must be a string that is not empty, not the string ''"),
        ("models.m.base = 'n'", "unknown model 'n' in [models.m] base"),
        ("models.m.budgets.load_s = 1", "unknown key 'budgets' in [models.m]; did you mean 'budget'?"),
        ('models.m."a\\u001B[31m" = 1', "unknown key 'a\\x1b[31m' in [models.m]"),
        ("roles.r.models = 'm'", "[roles.r] models must be a list of strings, not the string 'm'"),
        ("roles.r.models = ['m', 1]", "[roles.r] models must be a list of strings; it holds the number 1"),
        ("roles.r.models = ['mm']", "unknown model 'mm' in [roles.r]; did you mean 'm'?"),
        ("roles.r.accelerator = 'cud'", "unknown accelerator 'cud' in [roles.r]; did you mean 'cuda'?"),
        ("roles.r.runners = ['{zo}/x']", "[roles.r] runners: unknown variable 'zo'"),
        ("machines.a.match.hostname = ['a', '']", "[machines.a] match.hostname must be a string or a list of strings"),
        ("machines.a.home = 'dp'", "[machines.a] home must be a path from the root"),
        ("machines.a.models.mm.path = 'x'", "unknown model 'mm' in [machines.a]; did you mean 'm'?"),
        ("machines.a.models.m.kind = 'full'", "unknown key 'kind' in [machines.a.models.m]"),
        ("machines.a.models.m.base = 'x'", "unknown model 'x' in [machines.a.models.m] base"),
        ("machines.a.budget.load_s = []", "[machines.a] budget.load_s must be a positive number, not an empty list"),
        ("machines.a.python = 'python'", "[machines.a] python 'python' is a command name, not a path"),
        ("checks.paths = ['gone']", "checks.paths: no file or directory "),
        ("checks.path = ['gone']", "unknown key 'path' in [checks]; did you mean 'paths'?"),
    ],
)
def test_one_mistake_is_one_problem_on_its_own_line(problems: Problems, line: str, problem: str) -> None:
    [found] = problems(f"models.m.kind = 'full'\nmodels.m.path = 'm'\n{line}")
    assert found.startswith(f"4: {problem}")


@pytest.mark.parametrize("key", ["vars", "budget", "machines", "roles", "models", "checks"])
def test_a_table_that_is_something_else(problems: Problems, key: str) -> None:
    assert problems(f"{key} = []") == [f"2: {key} must be a table, not an empty list"]
    assert problems(f"[[{key}]]") == [f"2: {key} must be a table, not a list"]


def test_merge_recipes(problems: Problems) -> None:
    merged = "[models.x]\nkind = 'merged'\npath = 'x'\n"
    assert problems(f"{merged}merge = {{ bse = './a' }}") == [
        "5: unknown key 'bse' in [models.x.merge]; did you mean 'base'?",
        "5: [models.x] merge has no base: a model's name, a path or hf:org/name",
        "5: [models.x] merge has no adapter: a model's name, a path or hf:org/name",
    ]
    assert problems(f"{merged}merge = 1") == ["5: [models.x] merge must be a table, not the number 1"]
    assert problems(f"{merged}merge = {{ base = 'y', adapter = './a' }}") == [
        "5: unknown model 'y' in [models.x] merge.base; known: x"
    ]
    full = "[models.x]\nkind = 'full'\npath = 'x'\nmerge = { base = './b', adapter = './a' }"
    assert problems(full) == ["5: [models.x] merge is for models of kind 'merged'; this one is 'full'"]


def test_a_model_needs_kind_and_path(problems: Problems) -> None:
    assert problems("[models.m]") == [
        "2: [models.m] has no kind: one of full (a base, too), merged, adapter (LoRA), service (Ollama, vLLM)",
        "2: [models.m] has no path: a directory or hf:org/name",
    ]


@pytest.mark.parametrize(
    "name, fault",
    [
        ("", "is empty"),
        (" ", "is empty"),
        (" a", "starts or ends with a space"),
        ("a\n", "starts or ends with a space"),
        ("a\nb", "contains a control or invisible character"),
        ("a\u202eb", "contains a control or invisible character"),
        ("a\u200bb", "contains a control or invisible character"),
        (MACHINE, "is the word reports use for the host itself"),
        ("a/b", "would be read as a path"),
        ("./a", "would be read as a path"),
        ("hf:a", "would be read as a path"),
        ("-a", "would be read as a path or an option"),
        ("{a}", "would be read as a path"),
        ("~a", "would be read as a path"),
        ("a" * 201, "is longer than 200 characters"),
    ],
)
def test_names_nothing_can_be_called(name: str, fault: str) -> None:
    assert (name_fault(name, reserved=True) or "").startswith(fault)


@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "a b", "ümlaut", "模型", "m@1", "machine2", "a:b"])
def test_names_things_may_have(load: Load, name: str) -> None:
    assert list(load(f'[models."{name}"]\nkind = "full"\npath = "m"').models) == [name]


def test_a_bad_name_is_told_with_its_line(problems: Problems) -> None:
    [problem] = problems('[models."a\\u001bb"]\nkind = "full"\npath = "m"\n')
    assert problem == "2: model name 'a\\x1bb' contains a control or invisible character; choose another"
    [problem] = problems("[models.machine]\nkind = 'full'\npath = 'm'\n")
    assert problem.startswith("2: model name 'machine' is the word reports use")
    assert problems('[machines.""]')[0].startswith("2: machine name '' is empty")


def test_a_name_with_dots_need_not_be_quoted(load: Load) -> None:
    manifest = load("""\
        [machines.thor.local]
        match.hostname = "host"
        [machines.thor.local.models.qwen2.5-0.5b.budget]
        load_s = 3
        [roles.raising.v2]
        models = ["qwen2.5-0.5b", "qwen2", "qwen2.5-1.5b"]
        [models.qwen2.5-0.5b]
        kind = "full"
        path = "a"
        [models.qwen2]
        kind = "full"
        path = "b"
        [models."qwen2.5-1.5b"]
        kind = "full"
        path = "c"
    """)
    assert set(manifest.models) == {"qwen2.5-0.5b", "qwen2", "qwen2.5-1.5b"}
    assert manifest.models["qwen2.5-0.5b"].line == 8
    assert manifest.models["qwen2.5-0.5b"].budget.load_s == 3
    assert list(manifest.roles) == ["raising.v2"]
    assert manifest.machine is not None
    assert manifest.machine.name == "thor.local"


def test_one_name_written_both_ways_is_told(problems: Problems) -> None:
    text = '[models.a.b]\nkind = "full"\npath = "a"\n[models."a.b"]\nkind = "full"\npath = "b"'
    assert problems(text) == ['5: [models."a.b"] is [models.a.b] again; keep one of them']


def test_mistakes_inside_a_dotted_name_show_the_table_as_it_is_written(problems: Problems) -> None:
    assert problems("[models.a.b]\nkind = 'full'\npath = 'a'\nprmpt = 'x'") == [
        "5: unknown key 'prmpt' in [models.a.b]; did you mean 'prompt'?"
    ]


def test_roles_and_checks_as_read(load: Load, tmp_path: Path) -> None:
    (tmp_path / "my").mkdir()
    (tmp_path / "one.py").touch()
    manifest = load(f"""\
        vars.my = "my"
        checks.paths = ["{{my}}", "one.py"]
        {MODEL}
        [roles.r]
        models = ["m", "m"]
        runners = ["run_*.py", "~/x/{{my}}/*.py"]
        accelerator = "cuda"
        description = ""
    """)
    runners = ("run_*.py", "/home/me/x/my/*.py")
    role = RoleSpec(name="r", models=("m",), runners=runners, accelerator="cuda", description="", line=6)
    assert manifest.roles["r"] == role
    assert manifest.check_paths == (tmp_path / "my", tmp_path / "one.py")


def test_thousands_of_mistakes_are_all_told(problems: Problems) -> None:
    assert len(problems("".join(f"unknown{i} = 1\n" for i in range(2000)))) == 2000


def test_a_frozen_manifest_can_be_sent_to_another_process(load: Load) -> None:
    manifest = load(MODEL)
    assert pickle.loads(pickle.dumps(manifest)) == manifest
