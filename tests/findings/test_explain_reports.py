"""What somebody pastes from the report of a fault is understood as the log in it; a document that quotes is not.

The files are `NAME.CODE.md`: how people report faults to the projects, and the code that their text is about.
`explain_threads.txt` has what people posted in public threads, shortened: `%% CODE | URL | the cause the thread found`,
then the text; `-` for a cause of which no code tells.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage_doctor.cli.explain import _causes
from sage_doctor.findings.recognition import recognise, search

REPORTS = sorted((Path(__file__).parent / "explain_reports").glob("*.md"))
THREADS = [
    (*head.split(" | "), text)
    for head, _, text in (
        thread.partition("\n")
        for thread in (Path(__file__).parent / "explain_threads.txt").read_text(encoding="utf-8").split("%% ")[1:]
    )
]
ERROR = "ModuleNotFoundError: No module named 'peft'"
TRACEBACK = f'Traceback (most recent call last):\n  File "run.py", line 3, in <module>\n    import peft\n{ERROR}'


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("report", REPORTS, ids=[r.stem for r in REPORTS])
def test_a_report_leads_to_its_cause(report: Path, end: str) -> None:
    text = report.read_text(encoding="utf-8").replace("\n", end)
    assert [e.code for e in search(text)][:1] == [report.stem.split(".")[1]]


def test_there_are_many_threads() -> None:
    assert len({url for _, url, _, _ in THREADS}) >= 240
    assert sum(code in ("-", "exception-unknown") for code, *_ in THREADS) >= 20


@pytest.mark.parametrize(
    "code, text", [(t[0], t[3]) for t in THREADS], ids=[t[1].partition(".com/")[2] for t in THREADS]
)
def test_what_people_posted_leads_to_the_cause_that_their_thread_found(code: str, text: str) -> None:
    causes, _ = _causes(recognise([text.encode()]))
    assert (causes[0][0].known.code if causes else "-") == code


def test_a_report_quotes_what_is_in_its_code() -> None:
    report = f"### Reproduction\n```python\nimport x\n{ERROR}\n```\n### Expected behavior\nIt loads.\n"
    assert search(report) == ()


@pytest.mark.parametrize(
    "line",
    [
        {"event": ERROR, "level": "error"},
        {"severity": "ERROR", "textPayload": ERROR},
        {"MESSAGE": ERROR, "PRIORITY": "3"},
        {"log": f"{ERROR}\n", "stream": "stderr"},
        {"level": "error", "msg": "failed", "exc_info": TRACEBACK},
        {"levelname": "ERROR", "message": f"load failed\n{TRACEBACK}"},
        {"error": {"type": "X", "stack_trace": TRACEBACK}},
    ],
)
def test_a_line_of_json_is_what_its_message_says(line: dict[str, object]) -> None:
    log = json.dumps({"msg": "started"}) + "\n" + json.dumps(line) + "\n" + json.dumps({"msg": "ended"}) + "\n"
    (found,) = recognise([log.encode()])
    assert (found.known.code, found.number) == ("package-missing", 2)
    assert found.line.endswith(ERROR) or ERROR in found.line
    for size in (5, 64, 1_000):
        assert recognise(log.encode()[i : i + size] for i in range(0, len(log), size)) == [found]


def test_a_message_in_a_quotation_of_itself_is_found() -> None:
    said = (
        "ValueError: Target modules {'q'} not found in the base model. Please check the target modules and try again."
    )
    assert [e.code for e in search(json.dumps({"event": said}) + "\n")] == ["adapter-targets-missing"]


def test_an_exception_of_a_group_is_recognised() -> None:
    log = f'  + Exception Group Traceback (most recent call last):\n  |   File "x.py", line 1\n  | {ERROR}\n  +----\n'
    assert [e.code for e in search(log)] == ["package-missing"]
