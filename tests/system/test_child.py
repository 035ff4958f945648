import os
import signal
import sys
import time
from pathlib import Path

import pytest

from sage_doctor.system.child import MOST_OUTPUT, Child, run


def python(script: str, timeout_s: float = 20, ask: bytes = b"") -> Child:
    return Child([sys.executable, "-S", "-c", script], timeout_s=timeout_s, ask=ask)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pid: int) -> bool:
    for _ in range(500):
        if not is_running(pid):
            return True
        time.sleep(0.02)
    return False


def test_output_and_code() -> None:
    child = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    outcome = child.finish()
    assert (outcome.code, outcome.out, outcome.err) == (7, b"out\n", b"err\n")
    assert child.finish() is outcome


def test_standard_input_is_empty_or_what_was_asked() -> None:
    script = "import sys; sys.stdout.write(sys.stdin.read().upper())"
    assert python(script).finish().out == b""
    assert python(script, ask=b"question").finish().out == b"QUESTION"


def test_deadline_ends_the_child_and_what_it_started() -> None:
    script = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    outcome = python(script, timeout_s=2).finish()
    assert outcome.timed_out
    assert outcome.code is None
    assert wait_until_gone(int(outcome.out))


def test_a_grandchild_that_keeps_the_pipes_open_holds_nobody() -> None:
    script = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"
    outcome = python(script).finish()
    assert outcome.code == 0
    assert wait_until_gone(int(outcome.out))


def test_a_flood_is_cut_off() -> None:
    outcome = python("while True: print('y' * 65536)").finish()
    assert outcome.flooded
    assert MOST_OUTPUT < len(outcome.out) < 2 * MOST_OUTPUT


def test_a_signal_is_a_negative_code() -> None:
    assert python("import os; os.kill(os.getpid(), 9)").finish().code == -signal.SIGKILL


def test_kill_without_waiting() -> None:
    child = python("import time; time.sleep(60)")
    child.kill()
    assert child._process.returncode == -signal.SIGKILL


def test_run_without_the_program() -> None:
    assert run(["/nowhere/at/all"], timeout_s=5) is None
    with pytest.raises(FileNotFoundError):
        Child(["/nowhere/at/all"], timeout_s=5)


def test_the_end_of_a_flood_is_kept_where_that_is_asked_for() -> None:
    outcome = run(
        [sys.executable, "-S", "-c", "for n in range(100): print('y' * 65535)\nprint('end')"],
        timeout_s=20,
        keep_end=True,
    )
    assert outcome is not None
    assert (outcome.code, len(outcome.out), outcome.text[-5:]) == (0, MOST_OUTPUT, "\nend\n")


def test_lines_are_told_as_they_come() -> None:
    told: list[str] = []
    script = "import sys; sys.stdout.write('one\\ntw'); sys.stdout.flush(); sys.stdout.write('o\\n\\nlast')"
    outcome = run([sys.executable, "-S", "-c", script], timeout_s=20, on_line=told.append)
    assert outcome is not None
    assert (told, outcome.text) == (["one", "two", "", "last"], "one\ntwo\n\nlast")


def test_both_streams_together() -> None:
    script = "import os; os.write(1, b'a'); os.write(2, b'b'); os.write(1, b'c')"
    outcome = run([sys.executable, "-S", "-c", script], timeout_s=20, output="together")
    assert outcome is not None
    assert (outcome.out, outcome.err) == (b"abc", b"")


def test_output_that_goes_where_ours_goes(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = run([sys.executable, "-S", "-c", "print('shown')"], timeout_s=20, output="ours")
    assert outcome is not None
    assert (outcome.code, outcome.out, capfd.readouterr().out) == (0, b"", "shown\n")
    late = run([sys.executable, "-S", "-c", "import time; time.sleep(60)"], timeout_s=0.2, output="ours")
    assert late is not None
    assert late.timed_out


def test_the_last_line_of_what_went_wrong() -> None:
    script = "import sys; sys.stderr.write('first\\nlast\\n\\n')"
    assert python(script).finish().last_error == "last"
    assert python("").finish().last_error == ""


def test_a_child_that_stalls_is_ended() -> None:
    begun = time.monotonic()
    outcome = run(["sleep", "30"], timeout_s=20, stalled=lambda: time.monotonic() - begun > 1.5)
    assert outcome is not None
    assert (outcome.code, outcome.stalled, outcome.timed_out) == (None, True, False)
    assert time.monotonic() - begun < 10
