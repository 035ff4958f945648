"""`{name}`, `~` and `{env:NAME}`: values, and why there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sage_doctor.manifest.specs import Manifest
from sage_doctor.manifest.variables import MOST_LENGTH, Scope, Unresolved

Load = Callable[..., Manifest]
Problems = Callable[..., list[str]]

MACHINES = """
[machines.thor]
match.hostname = "thor"
vars.zoo = "/thor/zoo"
[machines.sprout]
match.hostname = "sprout"
vars.zoo = "~/zoo"
[machines.bare]
match.hostname = "bare"
home = "/home/bare"
"""
MODEL = """
[models.m]
kind = "full"
path = "{zoo}/m"
"""


def expand(text: str, **variables: str) -> str:
    built_in = {"home": "/home/me", "manifest_dir": "/m"}
    return Scope(variables, built_in, environ={"E": "{x}~"}, tilde="/home/me").expand(text)


@pytest.mark.parametrize(
    "text, value",
    [
        ("plain", "plain"),
        ("", ""),
        ("~", "/home/me"),
        ("~/a", "/home/me/a"),
        ("a/~", "a/~"),
        ("{home}/a{manifest_dir}", "/home/me/a/m"),
        ("{a}/{b}", "A/A-B"),
        ("{{a}}", "{a}"),
        ("{{{a}}}", "{A}"),
        ("{env:E}", "{x}~"),  # what the environment says is not filled in again
    ],
)
def test_values(text: str, value: str) -> None:
    assert expand(text, a="A", b="{a}-B") == value


@pytest.mark.parametrize(
    "text, reason",
    [
        ("{", "'{' without its counterpart"),
        ("a}b", "'}' without its counterpart"),
        ("{a", "'{' without its counterpart"),
        ("{a{b}}", "'{' without its counterpart"),
        ("{}", "unknown variable ''"),
        ("{c}", "unknown variable 'c'"),
        ("{a!r}", "unknown variable 'a!r'"),
        ("{a.x}", "unknown variable 'a.x'"),
        ("{env:}", "'{env:}' needs the name"),
        ("{env:A=B}", "'{env:}' needs the name"),
        ("{env:NOT}", "environment variable 'NOT' is not set"),
        ("~dp/zoo", "'~dp' is not filled in"),
        ("{machine}", "'{machine}' has no value: no [machines] table matches this host; set SAGE_MACHINE"),
        ("x" * (MOST_LENGTH + 1), "it is longer than 4096 characters"),
    ],
)
def test_no_value(text: str, reason: str) -> None:
    with pytest.raises(Unresolved) as caught:
        expand(text, a="A", b="B")
    assert str(caught.value).startswith(reason)


def test_doubling_variables_stay_small() -> None:
    doubling = {f"v{i}": f"{{v{i - 1}}}{{v{i - 1}}}" for i in range(1, 30)}
    with pytest.raises(Unresolved, match="longer than 4096"):
        expand("{v29}", v0="xxxx", **doubling)


def test_long_chains_end() -> None:
    chain = {f"v{i}": f"{{v{i + 1}}}" for i in range(5000)}
    with pytest.raises(Unresolved, match="more than 32 deep"):
        expand("{v0}", **chain)


@pytest.mark.parametrize("hostname, path", [("thor", "/thor/zoo/m"), ("sprout", "/home/me/zoo/m")])
def test_a_machines_variables_win(load: Load, hostname: str, path: str) -> None:
    manifest = load("vars.zoo = '/nowhere'" + MACHINES + MODEL, hostname=hostname)
    assert str(manifest.models["m"].path.path) == path
    assert manifest.vars["zoo"] == path.removesuffix("/m")
    assert load("vars.zoo = '/top'" + MACHINES + MODEL, hostname="other").vars == {"zoo": "/top"}


def test_a_variable_of_other_machines_says_which_and_what_to_do(problems: Problems) -> None:
    start = "15: [models.m] path: variable 'zoo' is set for machines thor, sprout but not for this host"
    assert problems(MACHINES + MODEL, hostname="other") == [f"{start} (matched: none); set SAGE_MACHINE or add it"]
    bare = problems(MACHINES + MODEL, hostname="bare")
    assert bare == [f"{start} (matched: bare); add it to its vars or to [vars]"]


def test_home_is_the_machines_own_where_it_states_one(load: Load) -> None:
    model = '[models.m]\nkind = "full"\npath = "{home}/{machine}"'
    assert load(MACHINES + model, hostname="bare").models["m"].path.text == "/home/bare/bare"
    assert load(MACHINES + model, hostname="thor").models["m"].path.text == "/home/me/thor"


def test_manifest_dir_is_where_the_manifest_lies(load: Load) -> None:
    manifest = load('[models.m]\nkind = "full"\npath = "{manifest_dir}/m"')
    assert manifest.models["m"].path.path == manifest.directory / "m"


def test_unknown_variables_are_told_wherever_they_are(problems: Problems) -> None:
    text = """\
    vars.zoo = "/zoo"
    vars.a = "{zo}/a"
    python = "{zoa}/python"
    checks.paths = ["{zob}"]
    [machines.m]
    match.hostname = "other"
    vars.b = "{zoc}"
    python = "{zod}/python"
    models.m.path = "{zoe}"
    [roles.r]
    runners = ["ok", "{zof}"]
    [models.m]
    kind = "merged"
    path = "{zog}"
    base = "{zoh}/x"
    merge = { base = "{zoi}/x", adapter = "./{zoj}" }
    """
    found = problems(text)
    assert [p.split(":")[0] for p in found] == [str(n) for n in (3, 4, 5, 8, 9, 10, 12, 15, 16, 17, 17)]
    for problem, name in zip(found, ["zo", *(f"zo{c}" for c in "abcdefghij")], strict=True):
        assert f"unknown variable '{name}'; did you mean 'zoo'?" in problem


def test_a_circle_is_told_once_and_not_again_where_it_is_used(problems: Problems) -> None:
    text = """\
    vars.a = "{b}"
    vars.b = "{c}/x"
    vars.c = "{a}"
    vars.d = "{d}"
    models.m = { kind = "full", path = "{b}" }
    """
    assert problems(text) == [
        "2: vars.a: variables refer to each other in a cycle: a -> b -> c -> a",
        "5: vars.d: variables refer to each other in a cycle: d -> d",
    ]


def test_a_circle_through_a_machines_own_variable_is_told(problems: Problems) -> None:
    text = "vars.a = '{b}'\nmachines.m.vars.b = '{a}'"
    assert problems(text) == ["3: [machines.m] vars.b: variables refer to each other in a cycle: b -> a -> b"]


def test_a_mistake_is_told_in_the_variable_that_has_it(problems: Problems) -> None:
    text = """\
    vars.z = "{y}"
    vars.y = "{x}"
    vars.x = "{oh"
    models.m = { kind = "full", path = "{z}" }
    """
    [problem] = problems(text)
    assert problem.startswith("4: vars.x: '{' without its counterpart")


def test_a_shared_variable_may_use_one_that_only_machines_set(load: Load) -> None:
    text = "vars.data = '{zoo}/data'\n" + MACHINES
    assert load(text, hostname="thor").vars == {"zoo": "/thor/zoo", "data": "/thor/zoo/data"}
    assert load(text, hostname="bare").vars == {}
