"""The models of this machine: places, bases, budgets, what it needs and what lies elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.errors import UsageError
from sage_doctor.manifest.specs import Budget, Manifest, MergeRecipe, ModelPath, ModelSpec

Load = Callable[..., Manifest]
Problems = Callable[..., list[str]]

FLEET = """
[machines.thor]
match.hostname = "thor"
roles = ["raising"]
vars.zoo = "/thor"
[machines.sprout]
match.hostname = "sprout"
roles = ["training"]
vars.zoo = "/sprout"
vars.data = "/data"
[machines.idle]
match.hostname = "idle"
roles = []
[roles.raising]
models = ["merged"]
[roles.training]
models = ["trained"]
runners = ["{data}/run.py"]
[models.merged]
kind = "merged"
path = "{zoo}/merged"
merge = { base = "base", adapter = "adapter" }
[models.adapter]
kind = "adapter"
path = "{zoo}/adapter"
base = "base"
[models.base]
kind = "full"
path = "hf:org/base@main"
[models.trained]
kind = "adapter"
path = "{data}/trained"
base = "fresh"
[models.fresh]
kind = "full"
path = "{data}/fresh"
[models.unused]
kind = "adapter"
path = "unused"
base = "fresh"
"""


def test_every_field(load: Load, tmp_path: Path) -> None:
    manifest = load("""\
    [models.m]
    kind = "merged"
    path = "zoo/./m"
    merge = { base = "hf:org/name", adapter = "./a" }
    budget = { load_s = 30, first_token_ms = 1.5, tokens_per_s = 5, peak_memory_gb = 2 }
    base = "m2"
    prompt = "Who are you?"
    max_new_tokens = 7
    dtype = "bfloat16"
    device = "cuda:1"
    description = "the one"
    [models.m2]
    kind = "full"
    path = "/abs"
    """)
    adapter = ModelPath(text="./a", path=tmp_path / "a")
    assert manifest.models["m"] == ModelSpec(
        name="m",
        kind="merged",
        path=ModelPath(text="zoo/./m", path=tmp_path / "zoo/m"),
        base="m2",
        merge=MergeRecipe(
            base="hf:org/name",
            adapter="./a",
            base_path=ModelPath(text="hf:org/name", hub="org/name"),
            adapter_path=adapter,
        ),
        budget=Budget(load_s=30.0, first_token_ms=1.5, tokens_per_s=5.0, peak_memory_gb=2.0),
        prompt="Who are you?",
        max_new_tokens=7,
        dtype="bfloat16",
        device="cuda:1",
        description="the one",
        line=2,
    )
    assert manifest.models["m2"] == ModelSpec(
        name="m2", kind="full", path=ModelPath(text="/abs", path=Path("/abs")), line=13
    )


@pytest.mark.parametrize(
    "text, hub, revision",
    [
        ("hf:Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-0.5B-Instruct", None),
        ("hf:gpt2", "gpt2", None),
        ("hf:a_b/c@refs/pr/3", "a_b/c", "refs/pr/3"),
        ("hf:org/x@v1.0+cu-1", "org/x", "v1.0+cu-1"),
    ],
)
def test_hub_references(load: Load, text: str, hub: str, revision: str | None) -> None:
    path = load(f'models.m = {{ kind = "full", path = "{text}" }}').models["m"].path
    assert path == ModelPath(text=text, hub=hub, revision=revision)


@pytest.mark.parametrize(
    "text",
    [
        "hf:",
        "hf:/",
        "hf:a/",
        "hf:/b",
        "hf:a/b/c",
        "hf:../b",
        "hf:a/..",
        "hf:a/b@",
        "hf:a/b@../c",
        "hf:a/b@/c",
        "hf:a b/c",
        "hf:a/b@x..y",
        "hf:a/b--c",
        "hf:-a/b",
        "hf:a/b.git",
        "hf:ü/b",
        "hf:a/b\\u0000",
        "hf:a/b\\n",
        "hf:a/b@c\\n",
        "a\\u0000b",
    ],
)
def test_places_that_cannot_be(problems: Problems, text: str) -> None:
    [problem] = problems(f'\nmodels.m = {{ kind = "full", path = "{text}" }}')
    assert problem.startswith("3: [models.m] path '")
    assert problem.isprintable()


def test_an_empty_value_is_no_path(problems: Problems) -> None:
    assert problems('vars.a = ""\nmodels.m = { kind = "full", path = "{a}" }') == [
        "3: [models.m] path '' is empty once its variables are filled in"
    ]


def test_the_most_specific_budget_and_setting_wins_key_by_key(load: Load) -> None:
    text = """
    budget = { load_s = 1, first_token_ms = 1, tokens_per_s = 1, peak_memory_gb = 1 }
    [machines.a]
    budget = { load_s = 2, first_token_ms = 2, tokens_per_s = 2 }
    [machines.a.models.m]
    budget.load_s = 4
    path = "/a"
    base = "./b"
    dtype = "float16"
    [models.m]
    kind = "adapter"
    path = "/m"
    base = "n"
    prompt = "p"
    dtype = "float32"
    budget = { load_s = 3, first_token_ms = 3 }
    [models.n]
    kind = "full"
    path = "n"
    """
    spec = load(text, environ={"SAGE_MACHINE": "a"}).models["m"]
    assert spec.budget == Budget(load_s=4, first_token_ms=3, tokens_per_s=2, peak_memory_gb=1)
    assert (spec.path.text, spec.base, spec.dtype, spec.prompt) == ("/a", "./b", "float16", "p")
    assert spec.base_path is not None
    other = load(text, hostname="other").models["m"]
    assert other.budget == Budget(load_s=3, first_token_ms=3, tokens_per_s=1, peak_memory_gb=1)
    assert (other.path.text, other.base, other.base_path, other.dtype) == ("/m", "n", None, "float32")


def test_an_override_that_cannot_be_filled_in_is_told_where_it_stands(problems: Problems) -> None:
    text = "models.m = { kind = 'full', path = 'm' }\nmachines.a.models.m.path = 'hf:'"
    [problem] = problems(text, environ={"SAGE_MACHINE": "a"})
    assert problem.startswith("3: [machines.a.models.m] path 'hf:' is not a reference")


def test_circles_of_bases_and_merges(problems: Problems) -> None:
    text = """\
    [models.a]
    kind = "adapter"
    path = "a"
    base = "b"
    [models.b]
    kind = "merged"
    path = "b"
    merge = { base = "c", adapter = "a" }
    [models.c]
    kind = "adapter"
    path = "c"
    base = "c"
    """
    assert problems(text) == [
        "5: models are built on each other in a cycle: a -> b -> a",
        "13: models are built on each other in a cycle: c -> c",
    ]


def test_a_base_used_twice_is_no_circle(load: Load) -> None:
    adapters = "".join(f"[models.a{i}]\nkind = 'adapter'\npath = 'a'\nbase = 'a{i + 1}'\n" for i in range(3000))
    manifest = load(
        adapters + "[models.a3000]\nkind = 'full'\npath = 'x'\n[models.z]\nkind='adapter'\npath='z'\nbase='a1'"
    )
    assert len(manifest.required()) == 3002


def test_a_machine_needs_what_its_roles_load(load: Load) -> None:
    assert load(FLEET, hostname="thor").required() == {"merged"}
    assert load(FLEET, hostname="sprout").required() == {"trained", "fresh"}
    assert load(FLEET, hostname="idle").required() == frozenset()
    assert load(FLEET, hostname="thor").needed_roles() == ("raising",)


def test_models_of_other_machines_do_not_stop_this_one(load: Load) -> None:
    manifest = load(FLEET, hostname="thor")
    assert set(manifest.models) == {"merged", "adapter", "base"}
    reason = "variable 'data' is set for machine sprout but not for this host (matched: thor)"
    reason += "; add it to its vars or to [vars]"
    assert manifest.unavailable_here == {
        "trained": reason,
        "fresh": reason,
        "unused": f"it is built on 'fresh', and {reason}",
    }
    assert manifest.roles["training"].models == ("trained",)
    assert manifest.roles["training"].runners == ()
    assert set(load(FLEET, hostname="sprout").models) == {"merged", "adapter", "base", "trained", "fresh", "unused"}
    assert set(load(FLEET, hostname="idle").models) == {"base"}


def test_an_unmatched_host_needs_what_any_role_needs(load: Load, problems: Problems) -> None:
    lines = [problem.split(":")[0] for problem in problems(FLEET, hostname="other")]
    assert lines == ["19", "22", "26", "33", "37"]  # the runner, and the models of both roles with what they come from
    everywhere = load("vars = { zoo = 'z', data = 'd' }" + FLEET, hostname="other")
    assert everywhere.required() == {"merged", "trained", "fresh"}
    assert everywhere.needed_roles() == ("raising", "training")


def test_without_machines_or_without_roles_every_model_is_needed(load: Load) -> None:
    models = "models.a = { kind = 'full', path = 'a' }\nmodels.b = { kind = 'full', path = 'b' }\n"
    assert load(models + "roles.r.models = ['a']").required() == {"a", "b"}
    assert load(models + "machines.m = {}", environ={"SAGE_MACHINE": "m"}).required() == {"a", "b"}
    assert load(models + "machines.m = {}").required() == {"a", "b"}
    silent = load(models + "machines.m = {}\nroles.r.models = ['a']", environ={"SAGE_MACHINE": "m"})
    assert silent.required() == {"a"}  # a machine that names no roles has all of them


def test_the_base_of_a_model(load: Load) -> None:
    manifest = load("""
    [models.base]
    kind = "full"
    path = "zoo/base"
    [models.hub]
    kind = "full"
    path = "hf:org/hub"
    [models.by_name]
    kind = "adapter"
    path = "a"
    base = "base"
    [models.by_path]
    kind = "adapter"
    path = "b"
    base = "./zoo//base"
    [models.by_hub]
    kind = "adapter"
    path = "c"
    base = "hf:org/hub"
    [models.by_revision]
    kind = "adapter"
    path = "d"
    base = "hf:org/hub@v2"
    [machines.m]
    [roles.r]
    models = ["by_path"]
    """)
    bases = {name: manifest.model_for_base(spec) for name, spec in manifest.models.items()}
    assert {name: base.name for name, base in bases.items() if base is not None} == {
        "by_name": "base",
        "by_path": "base",
        "by_hub": "hub",
    }
    assert manifest.required() == {"by_path", "base"}


def test_looking_up_a_model_says_what_there_is(load: Load) -> None:
    manifest = load(FLEET, hostname="thor")
    assert manifest.model("merged").name == "merged"
    with pytest.raises(UsageError, match=r"no model 'mergd' in .*sage-doctor.toml; did you mean 'merged'\?"):
        manifest.model("mergd")
    with pytest.raises(UsageError, match=r"no model 'xyz' in .*; models: merged, adapter, base"):
        manifest.model("xyz")
    with pytest.raises(UsageError, match="model 'trained' is not on this machine: variable 'data' is set for machine"):
        manifest.model("trained")
