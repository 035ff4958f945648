"""Models that are reached over HTTP, held against a real server that behaves, and does not, in many ways."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sage_doctor.suite import service_prober
from tests.services.behaving import KEY, WORDS
from tests.services.running import base, closed_port

from .cases import Bench, Build, Case, Cases

CASES = Cases()
SHORT = "budget = { load_s = 0.1 }"
SHORT_REST = "budget = { load_s = 0.1, tokens_per_s = 1000 }"  # as little time for what follows the first token


def service(how: str, text: str = "", *, url: str = "", name: str = "tiny") -> Build:
    def build(bench: Bench) -> None:
        where = url or f"{base()}/{how}"
        bench.manifest(f'[models.s]\nkind = "service"\nurl = "{where}"\nmodel = "{name}"\n{text}\n', "s")

    build.__name__ = how
    return build


def ollama(how: str, text: str = "", *, name: str = "tiny") -> Build:
    return service(how, f'api = "ollama"\n{text}', name=name)


WITH_KEY = 'api_key_env = "SAGE_KEY"'


def with_key(how: str, value: str) -> Build:
    def build(bench: Bench) -> None:
        service(how, WITH_KEY)(bench)
        bench.environ["SAGE_KEY"] = value

    build.__name__ = f"{how}-with-key"
    return build


CASES.passes("check_service_key")(with_key("well", KEY))
CASES.skips("check_service_key", "no key is declared")(service("well"))
CASES.finds("check_service_key", "service-key-missing", "SAGE_KEY, which holds the service's key, is not set")(
    service("well", WITH_KEY)
)
for value in ("a\nb", "s3cret-key\r"):
    CASES.finds("check_service_key", "service-key-missing", "characters that are not allowed in an HTTP header")(
        with_key("well", value)
    )

CASES.passes("check_service_reachable")(service("well"))
CASES.passes("check_service_reachable")(service("list-500"))
CASES.passes("check_service_reachable")(service("list-marked"))
CASES.passes("check_service_reachable")(with_key("list-key", KEY))
CASES.passes("check_service_reachable")(ollama("well"))
for how, code, says in [
    ("list-503", "service-down", "is still loading its model (HTTP 503: Loading model), after "),
    ("list-hf", "service-down", "is still loading its model (HTTP 503: Model org/tiny is currently loading)"),
    ("list-unavailable", "service-down", "answers HTTP 503 to /list-unavailable/v1/models: Service Unavailable"),
    (
        "list-maintenance",
        "service-down",
        "to pass requests on to, is set to maintenance, or limits requests (HTTP 503: a",
    ),
    ("list-envoy", "service-down", "is behind a proxy that has no service to pass requests on to (HTTP 503: upstream"),
    ("list-traefik", "service-down", "is behind a proxy that has no service to pass requests on to (HTTP 503: no"),
    ("list-basic", "service-refused", "asks for a user name and a password (HTTP 401, Basic), and not for a key"),
    ("list-bomb", "service-answer-invalid", "sends more than 4,000,000 bytes"),
    ("list-502", "service-down", "is behind a proxy that does not reach it (HTTP 502: a web page)"),
    ("list-522", "service-down", "is behind a proxy that does not reach it (HTTP 522"),
    ("list-504", "service-hung", "is behind a proxy that got no answer from it in time (HTTP 504"),
    ("list-429", "service-error", "takes no more requests now (HTTP 429: Rate limit"),
    ("list-403", "service-refused", "refuses the request (HTTP 403)"),
    ("list-403-page", "service-refused", "refuses the request (HTTP 403): a web page"),
    ("list-403-key", "service-key-refused", "without a key (HTTP 403)"),
    ("list-https", "service-answer-invalid", "it speaks TLS, so the URL has to begin with https://"),
    ("list-closed", "service-down", "closes each connection without an answer"),
    ("list-silent", "service-hung", "does not answer in time"),
    ("list-drip", "service-hung", "does not answer in time"),
    ("list-html", "service-answer-invalid", "not JSON (text/html): a web page"),
    ("list-text", "service-answer-invalid", "upstream\\x1b[2J not ready"),
    ("list-shape", "service-answer-invalid", "without a list of models"),
    ("list-404", "service-answer-invalid", 'is it really api = "openai"'),
    ("list-endless", "service-answer-invalid", "sends more than 4,000,000 bytes"),
    ("list-loop", "service-answer-invalid", "redirects are not followed"),
    ("list-away", "service-answer-invalid", "to http://example.invalid/v1/models"),
    ("list-not-http", "service-answer-invalid", "not HTTP"),
    ("list-key", "service-key-refused", "without a key (HTTP 401)"),
]:
    CASES.finds("check_service_reachable", code, says)(service(how, SHORT))
for how in ("list-null", "list-empty", "list-loading", "list-bare", "list-zipped"):
    CASES.passes("check_service_reachable")(service(how))
# To its own names it never answers so: something before it does.
CASES.finds("check_service_reachable", "service-refused", "refuses the request (HTTP 403)")(ollama("list-403"))
CASES.finds("check_service_reachable", "service-down", "has no working server left to pass requests on to (HTTP 429")(
    service("list-cooldown")
)
CASES.finds("check_service_reachable", "service-refused", "is not signed in there")(ollama("list-signin"))
CASES.finds("check_service_reachable", "service-key-refused", "with the key")(with_key("list-key", "wrong"))


@CASES.finds("check_service_reachable", "service-down", "accepts no connection at 127.0.0.1:")
def nobody(bench: Bench) -> None:
    service("nobody", url=f"http://127.0.0.1:{closed_port()}/v1")(bench)


@CASES.finds("check_service_reachable", "service-down", "cannot be found: no-such-host.invalid")
def no_such_host(bench: Bench) -> None:
    service("nobody", url="http://no-such-host.invalid:8000")(bench)


def behind_a_proxy(proxy: str, no_proxy: str = "", address: str = "http://proxy.example:3128") -> Build:
    def build(bench: Bench) -> None:
        service("well")(bench)
        bench.environ |= {proxy: address, "NO_PROXY": no_proxy}

    build.__name__ = f"behind-{proxy}-without-{no_proxy}"
    return build


for proxy in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
    CASES.finds("check_service_reachable", "service-proxied", f"{proxy} sends", severity="warning")(
        behind_a_proxy(proxy)
    )
for no_proxy in ("localhost,127.0.0.1", "*"):
    CASES.passes("check_service_reachable")(behind_a_proxy("http_proxy", no_proxy))
CASES.passes("check_service_reachable")(behind_a_proxy("https_proxy"))
for address in ("http://127.0.0.1:3128", "socks5://localhost:9050", "nonsense"):  # its own is known to it alone
    CASES.passes("check_service_reachable")(behind_a_proxy("http_proxy", address=address))


@CASES.finds("check_service_reachable", "service-answer-invalid", "does not speak TLS")
def no_tls(bench: Bench) -> None:
    service("nobody", url=base().replace("http:", "https:"))(bench)


CASES.passes("check_service_model")(service("well"))
CASES.passes("check_service_model")(ollama("well", "[machines.x]"))
CASES.finds("check_service_model", "service-model-missing", "does not have tiny; it has smollm2-135m, qwen")(
    service("other")
)
for how in ("list-alias", "list-bare", "list-zipped", "list-lmstudio", "list-textgen", "list-ollama", "list-litellm"):
    CASES.passes("check_service_model")(service(how))
for name in ("TINY", "tiny:latest", "Tiny:LATEST", "library/tiny", "registry.ollama.ai/library/tiny", "glm-4.6:cloud"):
    CASES.passes("check_service_model")(ollama("well", name=name))
for how, answering in [
    ("list-llamacpp", "/models/qwen2.5-0.5b.gguf"),
    ("list-koboldcpp", "koboldcpp/qwen"),
    ("list-sglang", "qwen"),
    ("list-tgi", "Qwen/Qwen2.5-0.5B"),
    ("list-me", "/models/qwen.gguf"),
    ("list-acme", "qwen"),
    ("list-lmstudio-one", "gemma"),
]:
    says = f"has no model tiny, and answers with {answering} instead"
    CASES.finds("check_service_model", "service-name-ignored", says, severity="warning")(service(how))
CASES.finds("check_service_model", "service-name-ignored", "has no model s, and", severity="info")(
    service("list-llamacpp", name="s")
)
for how, has in [
    ("list-router", "qwen"),
    ("list-vllm", "qwen"),
    ("list-hub", "Qwen/Qwen2.5-0.5B"),
    ("list-mlx", "mlx-community/Qwen2.5-0.5B-Instruct-4bit"),
    ("list-null", "no model at all"),
    ("list-empty", "no model at all"),
]:
    CASES.finds("check_service_model", "service-model-missing", f"does not have tiny; it has {has}")(service(how))
CASES.finds("check_service_model", "service-model-missing", "does not have other; it has tiny")(
    ollama("well", name="other")
)
CASES.finds("check_service_model", "service-model-missing", "it has no model at all")(ollama("list-null"))
CASES.skips("check_service_model", "list of models fails")(service("list-500"))

CASES.passes("check_service_generates")(service("well"))
for how in ("list-500", "one-piece", "completions", "plain-type", "reasoning", "loading", "no-reason", "tool-call"):
    CASES.passes("check_service_generates")(service(how))
for how in ("old-vllm", "old-tgi", "openai-o"):
    CASES.passes("check_service_generates")(service(how))
CASES.passes("check_service_generates")(ollama("well"))
for how in ("choices-null", "choices-absent", "null-event", "pings", "json-type", "created", "parts", "list-none"):
    CASES.passes("check_service_generates")(service(how))
CASES.passes("check_service_generates")(service("list-none-501"))
CASES.passes("check_service_generates")(service("thinks-in-secret"))
CASES.passes("check_service_generates")(service("", url=f"{base()}/openvino/v3"))
for how in ("list-none", "list-none-501", "list-page"):
    CASES.passes("check_service_reachable")(service(how))
    CASES.skips("check_service_model", "list of models fails")(service(how))
CASES.finds(
    "check_service_reachable", "service-refused", "answers HTTP 400 to /list-other-host/v1/models: Invalid host"
)(service("list-other-host"))
for how, code, says in [
    ("only-pings", "service-answer-invalid", 'unexpected JSON: {"type": "ping"}'),
    ("no-template", "service-error", "default chat template is no longer allowed"),
    ("embeddings", "service-error", "HTTP 501: This server does not support completions"),
    ("litellm-down", "service-down", "does not reach what it passes requests on to (HTTP 500: litellm.APIConn"),
    ("one-api-down", "service-down", "does not reach what it passes requests on to (HTTP 500: do request failed"),
    ("tabby-empty", "service-model-missing", "does not have tiny: No models are currently loaded."),
    ("lm-studio-unloaded", "service-model-missing", "does not have tiny: Model unloaded."),
    ("too-long-later", "service-error", "This model's maximum context length is 16 tokens"),
    ("no-such-path", "service-answer-invalid", "answers HTTP 404 to /no-such-path/v1/chat/completions: Not Found"),
    ("silent", "service-hung", "accepts the prompt but generates nothing in time"),
    ("cut", "service-error", "ends in the middle of its answer"),
    ("html", "service-answer-invalid", "a web page"),
    ("bad-json", "service-answer-invalid", "not JSON"),
    ("nothing", "service-answer-invalid", "with an empty response"),
    ("endless", "service-answer-invalid", "a line of more than 1,000,000 bytes"),
    ("text-200", "service-error", "text instead of an answer: Internal Server Error"),
    ("error-200", "service-error", "no slot free"),
    ("error-500", "service-error", "HTTP 500: kv cache full"),
    ("error-said", "service-error", "an error message as its answer: Error: CUDA out of memory"),
    ("in-stream", "service-error", "CUDA out of memory\\x1b[31m"),
    ("error-502", "service-down", "is behind a proxy that does not reach it (HTTP 502"),
    ("error-504", "service-hung", "is behind a proxy that got no answer from it in time (HTTP 504"),
    ("error-busy", "service-error", "takes no more requests now (HTTP 503: server busy"),
    ("error-overloaded", "service-error", "takes no more requests now (HTTP 429: Model is overloaded)"),
    ("error-401", "service-key-refused", "without a key (HTTP 401)"),
    ("error-signin", "service-refused", "runs this model in Ollama's cloud, and is not signed in there"),
    ("error-first", "service-error", "an error: the request exceeds the available context size"),
    ("error-later", "service-error", "an error: Compute error."),
    ("error-event", "service-error", "an error: The model has crashed"),
    ("error-abort", "service-error", "ends its answer with the reason abort"),
    ("pinned", "service-model-missing", "does not have tiny: Server is pinned to '/models/a'"),
    ("no-model-loaded", "service-model-missing", "does not have tiny: No models loaded."),
    ("no-model-litellm", "service-model-missing", "does not have tiny: Invalid model name"),
    ("no-model-mlx", "service-model-missing", "does not have tiny: 404 Client Error. Repository Not Found"),
    ("no-model-swap", "service-model-missing", "does not have tiny: could not find real modelID"),
    ("missing", "service-model-missing", "does not have tiny: The model `tiny` does not exist."),
    ("empty", "generate-degenerate", "generated no text"),
    ("one-token", "generate-degenerate", "repeated one token 32 times"),
]:
    CASES.finds("check_service_generates", code, says)(service(how, SHORT))
CASES.finds("check_service_generates", "service-hung", "accepts the prompt but generates nothing in time")(
    service("drip", SHORT_REST)
)
CASES.finds("check_service_generates", "service-error", "llama runner process has terminated")(ollama("in-ollama"))


@CASES.finds("check_service_generates", "service-hung", "after 4 piece(s) of at most 32 token(s)")
def half_a_stream(bench: Bench) -> None:
    service("half", SHORT_REST)(bench)


@CASES.finds("check_service_generates", "throughput-under-budget", "was still generating")
@CASES.skips("check_service_speed", "nothing was generated")
def too_slow_to_wait_for(bench: Bench) -> None:
    service("slow", "max_new_tokens = 200\nbudget = { load_s = 0.1, tokens_per_s = 1000 }")(bench)


MEASURED = ("load_s", "first_token_ms", "tokens_per_s")
CASES.passes("check_service_speed", measures=MEASURED)(service("well"))
CASES.passes("check_service_speed", measures=MEASURED)(ollama("well"))
CASES.passes("check_service_speed", measures=MEASURED)(service("one-piece"))
CASES.finds("check_service_speed", "latency-over-budget", "over the budget of 0.001 ms")(
    service("well", "budget = { first_token_ms = 0.001 }")
)
CASES.finds("check_service_speed", "throughput-under-budget", "under the budget of 1e+09 tokens/s")(
    service("well", "budget = { tokens_per_s = 1e9 }")
)
CASES.finds("check_service_speed", "load-over-budget", "load_s is")(
    service("one-piece", "budget = { load_s = 0.0001 }")
)


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a second or two for a service that hangs, not ten."""
    monkeypatch.setattr(service_prober, "_LIST_S", 1.5)
    monkeypatch.setattr(service_prober, "_LEAST_TOKEN_S", 1.5)
    monkeypatch.setattr(service_prober, "_LEAST_REST_S", 2.0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    begun = time.monotonic()
    case.hold(tmp_path)
    assert time.monotonic() - begun < 50


def test_the_answer_is_kept_for_the_report(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    service("well")(bench)
    assert bench.run("check_service_generates").answer == "".join(WORDS)


def test_the_key_is_told_to_nobody(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    with_key("list-key", "wr0ng-s3cret")(bench)
    outcome = bench.run("check_service_reachable")
    assert [f.code for f in outcome.findings] == ["service-key-refused"]
    assert "wr0ng-s3cret" not in outcome.to_text()


@pytest.mark.parametrize(
    "how, says", [("error-first", "`sage-doctor explain prompt-too-long`"), ("error-500", "may recognise the message")]
)
def test_what_the_service_s_own_message_means_is_the_fix(how: str, says: str, tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    service(how, SHORT)(bench)
    assert says in bench.run("check_service_generates").findings[0].fix.summary


def test_the_nearest_name_is_suggested(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    bench.manifest(f'[models.smollm2-135]\nkind = "service"\nurl = "{base()}/other"\n', "smollm2-135")
    found = bench.run("check_service_model").findings[0]
    assert 'model = "smollm2-135m"' in found.fix.summary


def test_a_tag_that_ollama_adds_is_no_other_model(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    text = f'[models.smollm2]\nkind = "service"\napi = "ollama"\nurl = "{base()}/well"\n'
    bench.manifest(text, "smollm2")
    assert bench.run("check_service_model").result.status == "pass"


@pytest.mark.parametrize(
    "how, check, says",
    [
        ("list-silent", "check_service_reachable", "had not answered"),
        ("list-503", "check_service_reachable", "was still loading its model"),
        ("silent", "check_service_generates", "had not generated anything"),
        ("half", "check_service_generates", "had not finished its answer, after 4 piece(s) of at most 32 token(s),"),
    ],
)
def test_the_end_of_the_runs_own_time_says_nothing_about_the_service(
    how: str, check: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_prober, "_LIST_S", 10.0)
    bench = Bench(root=tmp_path, deadline_s=4.5)
    service(how)(bench)
    outcome = bench.run(check)
    assert (outcome.result.status, outcome.findings) == ("error", ())
    assert f"{says} when the time for this run ended" in (outcome.result.reason or "")


@pytest.mark.parametrize(
    "build, says, never",
    [
        (service("list-503", SHORT), "load_s", "Start it"),
        (service("list-closed"), "If it expects TLS", "Start it"),
        (service("list-basic"), "That is a proxy", "api_key_env"),
        (service("list-502"), "Start the service behind the proxy", "ss -ltnp"),
        (service("list-429"), "Wait until other requests", "Start"),
        (service("list-403"), "OLLAMA_HOST, OLLAMA_ORIGINS", "Start"),
        (ollama("list-signin"), "Sign in", "api_key_env"),
        (service("", url="http://no-such-host.invalid:8000"), "DNS", "Start it"),
        (service("list-later"), "Something answers there", "Start it"),
        (service("list-other-host"), "the host name in url", "Start"),
        (with_key("list-key", '"s3cret-key"'), "without quotation marks", "Start"),
    ],
)
def test_what_to_do_fits_what_is_wrong(build: Build, says: str, never: str, tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    build(bench)
    fix = bench.run("check_service_reachable").findings[0].fix
    assert says in fix.summary
    assert never not in " ".join((fix.summary, *fix.commands))


def test_the_time_that_a_service_loads_counts(tmp_path: Path) -> None:
    """What it took to load before it would list its models is part of load_s."""
    bench = Bench(root=tmp_path)
    service("list-loading-again", "budget = { load_s = 30 }")(bench)
    measured = {m.name: m.value for m in bench.run("check_service_speed").measurements}
    assert measured["load_s"] >= 0.9
