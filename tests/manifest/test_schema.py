"""The JSON Schema for editors and the parser agree on what a manifest is; the parser alone knows what it means."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import sage_doctor.manifest
from sage_doctor.errors import ManifestError
from sage_doctor.manifest import keys
from sage_doctor.manifest.json_schema import schema_text
from sage_doctor.manifest.key_table import Key, KeyTable
from sage_doctor.manifest.model_keys import MODEL as MODEL_KEYS
from sage_doctor.manifest.model_keys import OVERRIDE
from sage_doctor.manifest.quoting import value
from sage_doctor.manifest.specs import Manifest
from tests.other_hosts import load_manifest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Load = Callable[..., Manifest]

COMMITTED = Path(sage_doctor.manifest.__file__).parents[1] / "schemas" / "manifest.schema.json"
SCHEMA = json.loads(COMMITTED.read_text("utf-8"))
REFERENCE = Path(__file__).parents[2] / "docs" / "manifest.md"
MODEL = '[models.m]\nkind = "full"\npath = "m"\n'

SERVICE = '[models.s]\nkind = "service"\nurl = "http://127.0.0.1:8000"\n'

GOOD = [
    "schema = 1",
    f"schema = 1\n{MODEL}",
    "schema = 1\npython = 'venv/bin/python'\naccelerator = 'mps'",
    "schema = 1\nvars = { zoo = '~/zoo', z-2 = '', _x = '{env:X}' }",
    "schema = 1\nbudget = { load_s = 1, first_token_ms = 0.5, tokens_per_s = 1e3, peak_memory_gb = 8 }",
    "schema = 1\nmachines.a.match.hostname = 'a*'",
    "schema = 1\nmachines.a.match = { hostname = ['a', 'b'], device_tree = 'x' }\nmachines.b = {}",
    "schema = 1\nmachines.a.roles = []",
    "schema = 1\nmachines.'thor.local' = { home = '/home/dp', python = '~/bin/python', accelerator = 'cuda' }",
    "schema = 1\n[machines.thor.local]\nvars.zoo = '/zoo'",
    "schema = 1\nroles.r = {}",
    "schema = 1\nroles.r = { models = [], runners = ['*.py'], accelerator = 'cpu', description = '' }",
    f"schema = 1\nroles.r.v2.models = ['m']\n{MODEL}",
    f"schema = 1\n{MODEL}prompt = 'p'\nmax_new_tokens = 1\ndtype = 'auto'\ndevice = 'cuda:0'\ndescription = 'd'",
    f"schema = 1\n{MODEL}base = './b'\nbudget = {{}}",
    "schema = 1\n[models.m]\nkind = 'merged'\npath = 'm'\nmerge = { base = './a', adapter = 'hf:o/n' }",
    "schema = 1\n[models.a.b-1.c]\nkind = 'adapter'\npath = 'm'",
    "schema = 1\n[models.'qwen2.5-0.5b']\nkind = 'full'\npath = 'hf:Qwen/Qwen2.5-0.5B'",
    f"schema = 1\n{MODEL}[machines.a.models.m]\npath = 'x'\ndtype = 'float16'\nbudget.load_s = 1",
    f"schema = 1\n{MODEL}[machines.a.models.m]",
    "schema = 1\nchecks = { paths = [] }",
    "schema = 1\ngate = { max_age = '1d 12h', timeout = 0.5 }",
    "schema = 1\nlint = { paths = ['**/*.py', './a..b/*'], ignore = ['x/'] }",
    "schema = 1\nlint = {}",
    "schema = 1\ngate = { max_age = ' 1.5H ', timeout = '90' }",
    "schema = 1\n[roles.r]\nmax_age = 3600",
    "schema = 1\nroles.r.v2.max_age = '2w'",
    "schema = 1\nrequires = ['peft', 'transformers>=4.45,<6', 'a[b]==1.*; python_version > \"3\"', 'x @ https://h/x.whl']",
    "schema = 1\n[heartbeats.h]\npath = 'a/*.json'\nmax_age = '26h'",
    "schema = 1\n[heartbeats.h.v2]\npath = ['a/*.json', '**/b']\nmax_age = 60\nroles = []\ndescription = ''",
    "schema = 1\nroles.r = {}\n[heartbeats.h]\npath = 'a'\nmax_age = '1d'\nroles = ['r']",
    "schema = 1\nheartbeats = {}\nstate = {}",
    "schema = 1\n[state.s]\npath = 'state.json'",
    "schema = 1\n[state.s.v1]\npath = '~/s.json'\ncounter = 'a.0.b c'\nmin_from_glob = 's/*.txt'\ndescription = 'd'",
    "schema = 1\n[state.s]\npath = 's.json'\ncounter = 'a'\nat_least = 's/*.txt'",
    f"schema = 1\n{MODEL}fallback = ['n']\n[models.n]\nkind = 'full'\npath = 'n'",
    f"schema = 1\n{MODEL}fallback = 'n'\n[models.n]\nkind = 'full'\npath = 'n'",
    f"schema = 1\n{MODEL}or = ['n']\n[models.n]\nkind = 'full'\npath = 'n'",
    f"schema = 1\n{MODEL}requires = ['peft>=0.12']\n[machines.thor.local]\nrequires = []",
    f"schema = 1\n{SERVICE}",
    f"schema = 1\n{SERVICE}api = 'ollama'\nmodel = 'q'\napi_key_env = 'K_1'\nprompt = 'p'\nbudget.load_s = 1",
    f"schema = 1\n{SERVICE}{MODEL}served_by = 's'",
    f"schema = 1\n{SERVICE}[machines.a.models.s]\nurl = '{{env:X}}://h'\nmodel = 'q'".replace("{env:X}", "http"),
    "schema = 1\nvars.port = '80'\n[models.s]\nkind = 'service'\nurl = 'https://[::1]:{port}/x/v1/'",
]

BAD = [
    "",
    "schema = 2",
    "schema = '1'",
    "schema = true",
    "schema = 1\nmodel = {}",
    "schema = 1\npython = 'python3'",
    "schema = 1\npython = ''",
    "schema = 1\naccelerator = 'gpu'",
    "schema = 1\nvars.zoo = 1",
    "schema = 1\nvars.home = '/h'",
    "schema = 1\nvars.manifest_dir = '/h'",
    "schema = 1\nvars.'a b' = '/h'",
    "schema = 1\nvars.2a = '/h'",
    "schema = 1\nbudget.load_s = '30'",
    "schema = 1\nbudget.load_s = true",
    "schema = 1\nbudget.load_s = 0",
    "schema = 1\nbudget.load_s = -0.1",
    "schema = 1\nbudget.load = 1",
    "schema = 1\nmachines.a.match.hostname = 1",
    "schema = 1\nmachines.a.match.hostname = ''",
    "schema = 1\nmachines.a.match.hostname = ['']",
    "schema = 1\nmachines.a.match.host = 'a'",
    "schema = 1\nmachines.a.home = 'dp'",
    "schema = 1\nmachines.a.roles = 'r'",
    "schema = 1\nmachines.a.python = 'python'",
    "schema = 1\nmachines.a = 1",
    "schema = 1\nmachines.'' = {}",
    "schema = 1\nmachines.a.kind = 'x'",
    "schema = 1\nmachines.a.match = {}\nmachines.a.modles.m.path = 'x'",
    f"schema = 1\n{MODEL}[machines.a.models.m]\nkind = 'full'",
    f"schema = 1\n{MODEL}[machines.a.models.m]\nmerge = {{ base = './a', adapter = './b' }}",
    "schema = 1\nroles.r.models = 'm'",
    "schema = 1\nroles.r.models = [1]",
    "schema = 1\nroles.r.runner = ['x']",
    "schema = 1\nroles.'a/b' = {}",
    "schema = 1\nroles = []",
    "schema = 1\n[models.m]",
    "schema = 1\nmodels.m.path = 'm'",
    "schema = 1\nmodels.m.kind = 'full'",
    "schema = 1\nmodels.m = { kind = 'half', path = 'm' }",
    "schema = 1\nmodels.m = { kind = 'full', path = '' }",
    "schema = 1\nmodels.m = { kind = 'full', path = ['m'] }",
    "schema = 1\nmodels.m = { kind = 'full', path = 'm', pth = 'm' }",
    "schema = 1\nmodels.m.x = 1",
    f"schema = 1\n{MODEL}prompt = ''",
    f"schema = 1\n{MODEL}max_new_tokens = 0",
    f"schema = 1\n{MODEL}max_new_tokens = 1.5",
    f"schema = 1\n{MODEL}max_new_tokens = true",
    f"schema = 1\n{MODEL}max_new_tokens = 4294967296",
    f"schema = 1\n{MODEL}dtype = 'float8'",
    f"schema = 1\n{MODEL}device = 'cuda:'",
    f"schema = 1\n{MODEL}device = 'gpu'",
    f"schema = 1\n{MODEL}prompt = 1979-05-27",
    f"schema = 1\n{MODEL}merge = {{ base = './a', adapter = './b' }}",
    "schema = 1\nmodels.m = { kind = 'merged', path = 'm', merge = { base = './a' } }",
    "schema = 1\nmodels.m = { kind = 'merged', path = 'm', merge = { base = './a', adapter = './b', x = 1 } }",
    "schema = 1\nmodels.machine = { kind = 'full', path = 'm' }",
    "schema = 1\nmodels.'a/b' = { kind = 'full', path = 'm' }",
    "schema = 1\nmodels.'-a' = { kind = 'full', path = 'm' }",
    "schema = 1\nmodels.' a' = { kind = 'full', path = 'm' }",
    'schema = 1\nmodels."a\\u0007b" = { kind = "full", path = "m" }',
    "schema = 1\nmodels.s = { kind = 'service' }",
    "schema = 1\nmodels.s = { kind = 'service', path = 'm' }",
    "schema = 1\nmodels.s = { kind = 'service', url = '127.0.0.1:8000' }",
    "schema = 1\nmodels.s = { kind = 'full', url = 'http://h' }",
    f"schema = 1\n{SERVICE}path = 'm'",
    f"schema = 1\n{SERVICE}base = 'm'\n{MODEL}",
    f"schema = 1\n{SERVICE}dtype = 'float16'",
    f"schema = 1\n{SERVICE}device = 'cpu'",
    f"schema = 1\n{SERVICE}served_by = 's'",
    f"schema = 1\n{SERVICE}merge = {{ base = './a', adapter = './b' }}",
    f"schema = 1\n{SERVICE}api = 'grpc'",
    f"schema = 1\n{SERVICE}api_key_env = 'sk-abc'",
    f"schema = 1\n{SERVICE}model = ''",
    f"schema = 1\n{MODEL}api = 'openai'",
    f"schema = 1\n{MODEL}model = 'q'",
    f"schema = 1\n{MODEL}api_key_env = 'K'",
    "schema = 1\nchecks.path = []",
    "schema = 1\nchecks.paths = 'x'",
    "schema = 1\nlint = 'x'",
    "schema = 1\nlint.files = ['x']",
    "schema = 1\nlint.paths = '**'",
    "schema = 1\nlint.paths = ['']",
    "schema = 1\nlint.paths = ['/home/me/*']",
    "schema = 1\nlint.paths = ['~/x']",
    "schema = 1\nlint.ignore = ['a/../b']",
    "schema = 1\ngate = 'x'",
    "schema = 1\n[heartbeats.h]\npath = 'a'",
    "schema = 1\n[heartbeats.h]\nmax_age = '1d'",
    "schema = 1\n[heartbeats.h]\n",
    "schema = 1\n[heartbeats.h]\npath = []\nmax_age = '1d'",
    "schema = 1\n[heartbeats.h]\npath = ['']\nmax_age = '1d'",
    "schema = 1\n[heartbeats.h]\npath = 1\nmax_age = '1d'",
    "schema = 1\n[heartbeats.h]\npath = 'a'\nmax_age = 'daily'",
    "schema = 1\n[heartbeats.h]\npath = 'a'\nmax_age = '1d'\nroles = 'r'",
    "schema = 1\n[heartbeats.h]\npath = 'a'\nmax_age = '1d'\ncounter = 'x'",
    "schema = 1\n[heartbeats.'a/b']\npath = 'a'\nmax_age = '1d'",
    "schema = 1\n[state.s]\ncounter = 'x'",
    "schema = 1\n[state.s]\n",
    "schema = 1\n[state.s]\npath = ['a']",
    "schema = 1\n[state.s]\npath = 'a'\ncounter = ''",
    "schema = 1\n[state.s]\npath = 'a'\ncounter = 'x..y'",
    "schema = 1\n[state.s]\npath = 'a'\ncounter = 3",
    "schema = 1\n[state.s]\npath = 'a'\nat_least = 'b/*'",
    "schema = 1\n[state.s]\npath = 'a'\nmin_from_glob = 'b/*'",
    "schema = 1\n[state.s]\npath = 'a'\ncounter = 'c'\nmin_from_glob = 'b/*'\nat_least = 'b/*'",
    f"schema = 1\n{MODEL}fallback = ['n']\nor = ['n']\n[models.n]\nkind = 'full'\npath = 'n'",
    f"schema = 1\n{MODEL}fallback = [1]",
    f"schema = 1\n{SERVICE}fallback = ['m']\n{MODEL}",
    f"schema = 1\n{SERVICE}requires = ['peft']",
    "schema = 1\n[states.s]\npath = 'a'",
    "schema = 1\ngate.level = 'load'",
    "schema = 1\ngate.max_age = 0",
    "schema = 1\ngate.max_age = true",
    "schema = 1\ngate.max_age = '0h'",
    "schema = 1\ngate.max_age = '3 fortnights'",
    "schema = 1\ngate.timeout = '-5s'",
    "schema = 1\ngate.timeout = 3155760001",
    "schema = 1\nroles.r.max_age = ''",
    "schema = 1\nroles.r.max_age = ['1h']",
    "schema = 1\nrequires = 'peft'",
    "schema = 1\nrequires = ['']",
    "schema = 1\nrequires = ['>=4.45']",
    "schema = 1\nmachines.a.requires = [1]",
    f"schema = 1\n{MODEL}requires = {{ peft = '1' }}",
]


def by_schema(text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [error.message for error in validator.iter_errors(tomllib.loads(text))]


def by_parser(text: str, directory: Path) -> list[str]:
    path = directory / "sage-doctor.toml"
    path.write_text(text, encoding="utf-8")
    try:
        load_manifest(path, environ={"X": "x"}, hostname="h", device_tree=None, home=Path("/home/me"))
    except ManifestError as error:
        return error.problems
    return []


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("text", GOOD)
def test_both_accept(text: str, tmp_path: Path) -> None:
    assert by_parser(text, tmp_path) == []
    assert by_schema(text) == []


@pytest.mark.parametrize("text", BAD)
def test_both_refuse(text: str, tmp_path: Path) -> None:
    assert by_parser(text, tmp_path)
    assert by_schema(text)


def test_the_committed_schema_is_the_one_that_the_keys_make() -> None:
    assert COMMITTED.read_text("utf-8") == schema_text(), (
        "run: python -m sage_doctor.manifest.json_schema > sage_doctor/schemas/manifest.schema.json"
    )


def tables(table: KeyTable = keys.TOP) -> list[KeyTable]:
    return [table, *(t for key in table.keys if key.table is not None for t in tables(key.table))]


def test_what_a_machine_may_set_is_among_its_keys() -> None:
    assert {key.name for key in keys.TOP.keys if key.per_machine} <= set(keys.MACHINE.names)
    assert OVERRIDE.names == tuple(key.name for key in MODEL_KEYS.keys if key.per_machine)


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.header or "top level")
def test_every_key_has_an_example_that_both_accept(table: KeyTable, tmp_path: Path) -> None:
    for key in table.keys:
        if key.type in ("table", "tables") or key.name == "schema":
            assert key.table is not None or key.name == "schema"
            continue
        line = f"{key.name} = {value(key.example)}"
        text = {
            "[models.X]": f"[models.m]\n{model_with(key)}{line}\n",
            "[machines.X.models.Y]": f"[models.m]\n{model_with(key, bare=True)}[machines.a.models.m]\n{line}\n",
            "[machines.X]": f"[machines.a]\n{line}\n",
            "[roles.X]": f"[roles.r]\n{line}\n",
            "[heartbeats.X]": f"[heartbeats.h]\n{line}\n" + other(key, path="'a'", max_age="1"),
            "[state.X]": f"[state.s]\n{line}\n" + other(key, path="'a'", counter="'c'"),
            "match": f"machines.a.match.{line}\n",
            "merge": f"[models.m]\nkind = 'merged'\npath = 'm'\nmerge.{line}\n"
            + other(key, "merge.", base="'./b'", adapter="'./a'"),
            "budget": f"budget.{line}\n",
            "": f"{line}\n",
        }.get(table.header, f"{table.header}\n{line}\n")
        named = "".join(f"[models.'{n}']\nkind = 'full'\npath = 'm'\n" for n in NAMED if n != "sage-daemon")
        text = f"schema = 1\n{text}{named}[models.sage-daemon]\nkind = 'service'\nurl = 'http://h'\n"
        text += "" if table.header == "[roles.X]" else "[roles.raising]\n"
        (tmp_path / "my-checks").mkdir(exist_ok=True)
        assert (by_schema(text), by_parser(text, tmp_path)) == ([], []), text


NAMED = ("introspective-qwen", "introspective-qwen-v1", "introspective-qwen-v2.1", "qwen2.5-0.5b", "sage-daemon")


def other(key: Key, prefix: str = "", **lines: str) -> str:
    return "".join(f"{prefix}{name} = {text}\n" for name, text in lines.items() if name != key.name)


def model_with(key: Key, *, bare: bool = False) -> str:
    """Return the keys that a model needs besides `key`."""
    kind, place = ("service", "url = 'http://h'") if key.only == "service" else ("full", "path = 'm'")
    return ("" if key.name == "kind" else f"kind = '{kind}'\n") + (
        "" if key.name in ("path", "url") and not bare else f"{place}\n"
    )


def test_every_key_is_described_for_the_editor() -> None:
    def bare(value: Any, where: str) -> list[str]:
        if isinstance(value, list):
            return [found for index, inner in enumerate(value) for found in bare(inner, f"{where}/{index}")]
        if not isinstance(value, dict):
            return []
        conditional = where.endswith("/then")
        own = (
            []
            if conditional
            else [f"{where}/{key}" for key, inner in value.get("properties", {}).items() if "description" not in inner]
        )
        return own + [found for key, inner in value.items() for found in bare(inner, f"{where}/{key}")]

    assert bare(SCHEMA, "") == []


def test_the_example_of_the_reference_holds(tmp_path: Path) -> None:
    text = REFERENCE.read_text("utf-8")
    example = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0]
    assert by_schema(example) == []
    (tmp_path / "my-checks").mkdir()
    path = tmp_path / "sage-doctor.toml"
    path.write_text(example, encoding="utf-8")
    for hostname in ("thor", "sprout"):
        manifest = load_manifest(path, environ={}, hostname=hostname, device_tree=None, home=Path("/home/me"))
        assert manifest.machine is not None
        assert manifest.required()


def test_finding_a_model_costs_no_heavy_import(tmp_path: Path) -> None:
    path = tmp_path / "sage-doctor.toml"
    path.write_text(f"schema = 1\n{MODEL}", encoding="utf-8")
    heavy = {"jsonschema", "difflib", "socket", "subprocess", "torch", "numpy", "rich", "typer"}
    code = (
        "import sys; from pathlib import Path; from sage_doctor.manifest.load import load_for_host;"
        f"load_for_host(Path({str(path)!r})); print(sorted({heavy!r} & set(sys.modules)))"
    )
    root = Path(sage_doctor.manifest.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root, timeout=60
    )
    assert done.stdout.strip() == "[]"
