"""The catalogue: complete, unique, and readable by a tired person."""

import re
import subprocess
import sys

import pytest

from sage_doctor.findings import catalogue
from sage_doctor.report import SEVERITIES

ENTRIES = catalogue.entries()


def test_codes_are_unique_and_well_formed() -> None:
    codes = [e.code for e in ENTRIES]
    assert len(codes) == len(set(codes))
    assert [c for c in codes if not re.fullmatch(r"[a-z]+(-[a-z]+)+", c)] == []


def test_every_family_has_entries_and_they_come_in_its_order() -> None:
    assert tuple(e for _, family in catalogue.FAMILIES for e in family) == ENTRIES
    assert all(family for _, family in catalogue.FAMILIES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.code)
def test_texts_are_short_and_say_something(entry: catalogue.Entry) -> None:
    assert entry.severity in SEVERITIES
    assert 10 <= len(entry.title) <= 60
    assert not entry.title.endswith(".")
    for text in (entry.cause, entry.cure):
        assert text.endswith(".")
        assert text == " ".join(text.split())
        assert 1 <= len(re.findall(r"[.?!](?:\s|$)", text)) <= 3, text
    for pattern in entry.shows + entry.may_show:
        re.compile(pattern)


def test_codes_that_other_programs_match_on_are_never_renamed() -> None:
    contract = (
        "path-missing",
        "path-foreign-home",
        "config-missing",
        "config-type-unknown",
        "weights-missing",
        "weights-lfs-pointer",
        "weights-truncated",
        "shard-missing",
        "shard-path-escape",
        "weights-nonfinite",
        "weights-hash-mismatch",
        "tokenizer-missing",
        "adapter-base-missing",
        "adapter-base-ambiguous",
        "adapter-keys-unmatched",
        "hub-not-cached",
        "hub-ref-missing",
        "machine-unmatched",
        "interpreter-missing",
        "torch-cpu-build",
        "accelerator-fallback",
        "load-failed",
        "load-timeout",
        "generate-degenerate",
        "adapter-no-effect",
        "latency-over-budget",
        "merge-refused",
        "runner-hardcoded-path",
        "script-crlf",
        "heartbeat-stale",
        "state-regressed",
        "service-hung",
    )
    assert [c for c in contract if catalogue.find(c) is None] == []


@pytest.mark.parametrize(
    "code, severity",
    [
        ("load-over-budget", "error"),  # a gate honours budgets
        ("throughput-under-budget", "error"),
        ("weights-unverified", "info"),  # not knowing is no illness
        ("merge-delta-vanishes", "warning"),
        ("heartbeat-stale", "warning"),  # a gate must not keep out the session that would end it
        ("custom-code", "warning"),
    ],
)
def test_severities_that_decide_what_a_gate_does(code: str, severity: str) -> None:
    assert catalogue.entry(code).severity == severity


def test_find_returns_none_and_entry_suggests() -> None:
    assert catalogue.find("acme-licence-missing") is None
    with pytest.raises(ValueError, match="did you mean 'weights-missing'"):
        catalogue.entry("weight-missing")
    with pytest.raises(ValueError, match=r"no finding code 'zzzzzz' in the catalogue$"):
        catalogue.entry("zzzzzz")


def test_importing_the_catalogue_brings_nothing_heavy() -> None:
    code = "import sys, sage_doctor.findings; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "peft", "rich", "pytest", "typer", "asyncio"} & set(loaded)
