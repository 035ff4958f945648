"""The package itself: a session runner imports it before every session, so it must cost next to nothing."""

import json
import subprocess
import sys

import pytest

import sage_doctor


@pytest.mark.parametrize("name", ["Report", "Finding", "Fix", "CheckResult", "Measurement"])
def test_report_nouns_are_the_ones_of_the_report_module(name: str) -> None:
    from sage_doctor import report

    assert getattr(sage_doctor, name) is getattr(report, name)
    assert name in dir(sage_doctor)


def test_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="'sage_doctor' has no attribute 'Diagnosis'"):
        sage_doctor.Diagnosis  # noqa: B018 - reading it is the test


def test_import_brings_nothing_heavy() -> None:
    script = "import sys; before = set(sys.modules); import sage_doctor; sage_doctor.Report; import json; \
print(json.dumps(sorted({m.partition('.')[0] for m in set(sys.modules) - before})))"
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    brought = set(json.loads(out))
    assert "sage_doctor" in brought
    third_party = {m for m in brought if m not in sys.stdlib_module_names and m != "sage_doctor"}
    assert third_party == set()
