"""Models that are reached over HTTP, held against a real server that behaves, and does not, in many ways."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.services.behaving import KEY, WORDS
from tests.services.running import base, closed_port

from .cases import Bench, Build, Case, Cases

CASES = Cases()
# So that the test of a service that hangs does not wait for a minute: the deadline of the run, of which three seconds
# are left for the report.
NEVER_END = {"list-silent": 4, "list-drip": 4, "silent": 4, "drip": 4, "half": 5, "slow": 5}
SHORT = "budget = { load_s = 0.1 }"


def service(how: str, text: str = "", *, url: str = "") -> Build:
    def build(bench: Bench) -> None:
        bench.deadline_s = NEVER_END.get(how)
        where = url or f"{base()}/{how}"
        bench.manifest(f'[models.s]\nkind = "service"\nurl = "{where}"\nmodel = "tiny"\n{text}\n', "s")

    build.__name__ = how
    return build


def ollama(how: str, text: str = "") -> Build:
    return service(how, f'api = "ollama"\n{text}')


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
CASES.finds("check_service_key", "service-key-missing", "characters that are not allowed in an HTTP header")(
    with_key("well", "a\nb")
)

CASES.passes("check_service_reachable")(service("well"))
CASES.passes("check_service_reachable")(service("list-500"))
CASES.passes("check_service_reachable")(with_key("list-key", KEY))
CASES.passes("check_service_reachable")(ollama("well"))
for how, code, says in [
    ("list-503", "service-down", "answers HTTP 503 to /list-503/v1/models: Loading model"),
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
    CASES.finds("check_service_reachable", code, says)(service(how))
CASES.finds("check_service_reachable", "service-key-refused", "with the key")(with_key("list-key", "wrong"))


@CASES.finds("check_service_reachable", "service-down", "accepts no connection at 127.0.0.1:")
def nobody(bench: Bench) -> None:
    service("nobody", url=f"http://127.0.0.1:{closed_port()}/v1")(bench)


@CASES.finds("check_service_reachable", "service-down", "cannot be found: no-such-host.invalid")
def no_such_host(bench: Bench) -> None:
    service("nobody", url="http://no-such-host.invalid:8000")(bench)


@CASES.finds("check_service_reachable", "service-answer-invalid", "does not speak TLS")
def no_tls(bench: Bench) -> None:
    service("nobody", url=base().replace("http:", "https:"))(bench)


CASES.passes("check_service_model")(service("well"))
CASES.passes("check_service_model")(ollama("well", "[machines.x]"))
CASES.finds("check_service_model", "service-model-missing", "does not have tiny; it has smollm2-135m, qwen")(
    service("other")
)
CASES.skips("check_service_model", "list of models fails")(service("list-500"))

CASES.passes("check_service_generates")(service("well"))
for how in ("list-500", "one-piece", "completions", "plain-type", "reasoning"):
    CASES.passes("check_service_generates")(service(how))
CASES.passes("check_service_generates")(ollama("well"))
for how, code, says in [
    ("silent", "service-hung", "accepts the prompt but generates nothing in time"),
    ("drip", "service-hung", "accepts the prompt but generates nothing in time"),
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
    ("missing", "service-model-missing", "does not have tiny: The model `tiny` does not exist."),
    ("empty", "generate-degenerate", "generated no text"),
    ("one-token", "generate-degenerate", "repeated one token 32 times"),
]:
    CASES.finds("check_service_generates", code, says)(service(how, SHORT))
CASES.finds("check_service_generates", "service-error", "llama runner process has terminated")(ollama("in-ollama"))


@CASES.finds("check_service_generates", "service-hung", "after 4 piece(s) of at most 32 token(s)")
def half_a_stream(bench: Bench) -> None:
    service("half")(bench)


@CASES.finds("check_service_generates", "throughput-under-budget", "was still generating")
@CASES.skips("check_service_speed", "nothing was generated")
def too_slow_to_wait_for(bench: Bench) -> None:
    service("slow", "max_new_tokens = 200\nbudget = { tokens_per_s = 1000 }")(bench)


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
