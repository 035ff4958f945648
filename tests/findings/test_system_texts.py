"""One ending or refusal is recognised in every form in which programs pass it on, and no other number is."""

from __future__ import annotations

import signal

import pytest

from sage_doctor.findings.recognition import search
from sage_doctor.findings.system_texts import ACCESS_VIOLATION, LIBRARY_MISSING

FORMS = (
    "Process finished with exit code {}",
    "subprocess.CalledProcessError: Command 'x' returned non-zero exit status {}.",
    "vllm-1 exited with code {}",
    "the server: process failed with exit status: {}",
    "Error loading model. (Exit code: {}). Please check settings",
    "torch.distributed: failed (exitcode: {}) local_rank: 0",
)
CRASH = signal.SIGSEGV


def numbers(status: int) -> tuple[str, ...]:
    return hex(status), str(status), str(status - (1 << 32)), str(status - (1 << 32) + (1 << 64))


@pytest.mark.parametrize("form", FORMS)
def test_an_exit_status_means_the_same_in_every_form(form: str) -> None:
    crashed = (str(128 + CRASH), str(-CRASH), *numbers(ACCESS_VIOLATION))
    assert [n for n in crashed if [e.code for e in search(form.format(n))][:1] != ["load-crashed"]] == []
    missing = [[e.code for e in search(form.format(n))][:1] for n in numbers(LIBRARY_MISSING)]
    assert missing == [["library-unloadable"]] * 4
    killed = {e.code for e in search(form.format(-signal.SIGKILL))}
    assert killed >= {"load-out-of-memory", "load-killed"}


@pytest.mark.parametrize("form", [f for f in FORMS if "Error loading" not in f])
@pytest.mark.parametrize("number", ["0", "1", "2", "1390", "13", "139.5", "9"])
def test_another_exit_status_means_nothing(form: str, number: str) -> None:
    assert search(form.format(number)) == ()


@pytest.mark.parametrize("number", [5, 30, 117])
@pytest.mark.parametrize(
    "form",
    [
        "OSError: [Errno {number}] {text}: '/m/model.safetensors'",
        "Error: {text} (os error {number})",
        'rsync: read errors mapping "/m/x": {text} ({number})',
        "cat: /m/model.safetensors: {text}",
        "{text}",
        "open /m/model.gguf: {lower}",
    ],
)
def test_an_error_number_means_the_same_in_every_form(form: str, number: int) -> None:
    for text in ("Input/output error", "Read-only file system", "Structure needs cleaning"):
        said = form.format(number=number, text=text, lower=text.lower())
        assert [e.code for e in search(said)][:1] == ["filesystem-failed"], said
