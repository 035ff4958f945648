"""The catalogue: complete, unique, and readable by a tired person."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sage_doctor.findings import catalogue
from sage_doctor.findings.declaration import DECLARED, Declaration, declare
from sage_doctor.report import SEVERITIES

DECLARATIONS = catalogue.declarations()
FAMILIES = Path(inspect.getfile(catalogue)).parent


def test_codes_are_unique_and_well_formed() -> None:
    codes = [d.code for d in DECLARATIONS]
    assert len(codes) == len(set(codes))
    assert [c for c in codes if not re.fullmatch(r"[a-z]+(-[a-z]+)+", c)] == []


def test_every_file_that_declares_codes_is_a_family() -> None:
    declaring = [p for p in FAMILIES.glob("*.py") if "\nDECLARATIONS = declare(" in p.read_text(encoding="utf-8")]
    assert len(catalogue.families()) == len(declaring)
    assert len({title for title, _ in catalogue.families()}) == len(declaring)
    assert set(DECLARED.values()) == set(DECLARATIONS)


def test_a_code_is_declared_once() -> None:
    with pytest.raises(ValueError, match="'path-missing' is declared twice"):
        declare(catalogue.get("path-missing"))


@pytest.mark.parametrize("declared", DECLARATIONS, ids=lambda d: d.code)
def test_texts_are_short_and_say_something(declared: Declaration) -> None:
    assert declared.severity in SEVERITIES
    assert 10 <= len(declared.title) <= 60
    assert not declared.title.endswith(".")
    for text in (declared.cause, declared.remediation):
        assert text.endswith(".")
        assert text == " ".join(text.split())
        assert 1 <= len(re.findall(r"[.?!](?:\s|$)", text)) <= 3, text
    for _, pattern in declared.messages:
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
    assert catalogue.get(code).severity == severity


def test_find_returns_none_and_get_suggests() -> None:
    assert catalogue.find("acme-licence-missing") is None
    with pytest.raises(ValueError, match="did you mean 'weights-missing'"):
        catalogue.get("weight-missing")
    with pytest.raises(ValueError, match=r"no finding code 'zzzzzz' in the catalogue$"):
        catalogue.get("zzzzzz")


def test_a_lookup_brings_nothing_heavy() -> None:
    code = "import sys, sage_doctor.findings.catalogue as c; c.declarations(); print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "sage_doctor.findings.weights" in loaded
    assert not {"torch", "transformers", "peft", "rich", "pytest", "typer", "asyncio"} & set(loaded)


def test_an_imported_family_is_looked_up_without_the_other_families() -> None:
    code = (
        "import sys, sage_doctor.findings.weights, sage_doctor.findings.catalogue as c; c.get('weights-missing')\n"
        "print(*sorted(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "sage_doctor.findings.weights" in loaded
    assert "sage_doctor.findings.services" not in loaded
