"""Models that are reached over HTTP: what a manifest says of them, and what of it cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sage_doctor.errors import UsageError
from sage_doctor.manifest.specs import Budget, Manifest, ServiceSpec

Load = Callable[..., Manifest]
Problems = Callable[..., list[str]]

DAEMON = """
[models.daemon]
kind = "service"
url = "http://127.0.0.1:{port}/v1/"
[vars]
port = "8000"
"""
LOCAL = """
[models.local]
kind = "full"
path = "m"
served_by = "daemon"
"""


def test_every_field(load: Load) -> None:
    text = """
    [models.daemon]
    kind = "service"
    url = "https://sage.example:8443/llm/"
    api = "ollama"
    model = "smollm2"
    api_key_env = "SAGE_KEY"
    prompt = "Who are you?"
    max_new_tokens = 16
    budget = { first_token_ms = 1500, tokens_per_s = 5 }
    description = "d"
    """
    assert load(text).services == {
        "daemon": ServiceSpec(
            name="daemon",
            url="https://sage.example:8443/llm",
            api="ollama",
            model="smollm2",
            api_key_env="SAGE_KEY",
            budget=Budget(first_token_ms=1500, tokens_per_s=5),
            prompt="Who are you?",
            max_new_tokens=16,
            description="d",
            line=3,
        )
    }


def test_defaults_and_variables(load: Load) -> None:
    manifest = load(DAEMON + LOCAL)
    spec = manifest.services["daemon"]
    assert (spec.url, spec.api, spec.model) == ("http://127.0.0.1:8000/v1", "openai", "daemon")
    assert set(manifest.models) == {"local"}
    assert manifest.models["local"].served_by == "daemon"


def test_a_service_is_no_directory(load: Load) -> None:
    with pytest.raises(UsageError, match="'daemon' is a service"):
        load(DAEMON).model("daemon")


def test_roles_name_services(load: Load) -> None:
    roles = """
    [machines.a]
    match.hostname = "a"
    roles = ["talk"]
    [machines.b]
    match.hostname = "b"
    roles = ["sleep"]
    [roles.talk]
    models = ["daemon"]
    [roles.sleep]
    """
    text = DAEMON + "\n".join(line.strip() for line in roles.splitlines())
    assert load(text, hostname="a").required_services() == {"daemon"}
    assert load(text, hostname="a").required() == frozenset()
    assert load(text, hostname="b").required_services() == frozenset()


def test_a_machine_may_have_it_elsewhere(load: Load) -> None:
    text = DAEMON + '[machines.a]\nmatch.hostname = "a"\nmodels.daemon = { url = "http://10.0.0.2:1", model = "q" }\n'
    spec = load(text, hostname="a").services["daemon"]
    assert (spec.url, spec.model) == ("http://10.0.0.2:1", "q")


def test_a_service_that_only_another_machine_can_name(load: Load, problems: Problems) -> None:
    text = """
[models.daemon]
kind = "service"
url = "http://{gpu_host}:8000"
[machines.a]
match.hostname = "a"
roles = ["none"]
[machines.b]
vars.gpu_host = "b"
roles = ["talk"]
[roles.none]
[roles.talk]
models = ["daemon"]
"""
    manifest = load(text, hostname="a")
    assert not manifest.services
    assert "gpu_host" in manifest.unavailable_here["daemon"]
    needed = text.replace('roles = ["none"]', 'roles = ["talk"]')
    assert "gpu_host" in problems(needed, hostname="a")[0]


@pytest.mark.parametrize(
    "url, says",
    [
        ("127.0.0.1:8000", "it must start with http:// or https://"),
        ("ftp://h", "it must start with http:// or https://"),
        ("http://", "has no host"),
        ("http://h:70000", "is not a URL"),
        ("http://h:0", "has port 0"),
        ("http://[::1", "is not a URL"),
        ("http://h/a b", "contains a space"),
        ("http://h/?key=1", "a query or a fragment"),
        ("http://h/#x", "a query or a fragment"),
    ],
)
def test_urls_that_cannot_be(problems: Problems, url: str, says: str) -> None:
    (found,) = problems(f'[models.s]\nkind = "service"\nurl = "{url}"\n')
    assert found.startswith("4: [models.s] url")
    assert says in found


def test_a_password_is_refused_and_not_shown(problems: Problems) -> None:
    (found,) = problems('[models.s]\nkind = "service"\nurl = "http://me:hunter2@h:1"\n')
    assert "api_key_env" in found
    assert "hunter2" not in found


def test_a_key_in_place_of_its_name_is_not_shown(problems: Problems) -> None:
    (found,) = problems('[models.s]\nkind = "service"\nurl = "http://h"\napi_key_env = "sk-proj-123"\n')
    assert "not the key itself" in found
    assert "sk-proj" not in found


@pytest.mark.parametrize(
    "text, says",
    [
        (DAEMON + LOCAL.replace('"daemon"', '"deamon"'), "unknown service 'deamon' in [models.local] served_by"),
        (LOCAL.replace('"daemon"', '"local"'), "'local' is not of kind 'service'"),
        (
            DAEMON + '[models.a]\nkind = "adapter"\npath = "a"\nbase = "daemon"\n',
            "is a service, not something to build on",
        ),
        (DAEMON + '[machines.a.models.daemon]\npath = "x"\n', "path is for models in a directory"),
        (LOCAL.replace("served_by", "# ") + '[machines.a.models.local]\nurl = "http://h"\n', "is for models of kind"),
    ],
)
def test_names_and_keys_that_lead_nowhere(problems: Problems, text: str, says: str) -> None:
    (found,) = problems(text)
    assert says in found
