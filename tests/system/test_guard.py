"""Work in a child: its result, its messages, its failures. Run in processes of their own, because it forks."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(work: str, *, seconds: float = 20) -> list[str]:
    """Return what was heard and the ending of work with this body."""
    code = f"""
import os, signal, sys, time
from sage_doctor.system.guard import guarded
def work(send):
{textwrap.indent(textwrap.dedent(work), "    ")}
ending = guarded(work, seconds={seconds}, on_message=lambda kind, value: print(kind, value))
print(ending.how, ending.result, ending.detail)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_result_and_messages_arrive_in_order() -> None:
    assert run("send('stage', 'one'); send('stage', 'é'); return {'a': [1]}") == [
        "stage one", "stage é", "done {'a': [1]} "
    ]  # fmt: skip


def test_a_long_result_arrives_whole() -> None:
    assert run("return 'x' * 3_000_000")[0] == "done " + "x" * 3_000_000 + " "


def test_nothing_it_prints_reaches_the_caller() -> None:
    assert run("print('to nobody'); sys.stderr.write('nor this'); sys.stderr.flush(); return 1") == ["done 1 "]


def test_an_exception_is_told_without_a_traceback() -> None:
    assert run("raise ValueError('three')") == ["died None ValueError: three"]


def test_leaving_without_a_word_is_told() -> None:
    assert run("os._exit(7)") == ["died None the examining process ended with status 7 and no message"]


def test_a_crash_is_told_by_its_signal() -> None:
    assert run("os.kill(os.getpid(), signal.SIGSEGV)") == ["died None the examining process was ended by SIGSEGV"]


def test_lateness_names_the_process_that_is_at_work() -> None:
    line = run("import subprocess; subprocess.run(['sleep', '600'])", seconds=0.7)[-1]  # after the ticks
    assert line.startswith("late None process ")
    assert "(sleep), which sleeps" in line


def test_the_child_can_say_that_it_has_more_or_less_time() -> None:
    assert run("send('limit', 0.5); time.sleep(600)", seconds=100)[0] == "limit 0.5"
    assert run("send('limit', 30); time.sleep(1); return 5", seconds=0.6)[-1] == "done 5 "


def test_a_large_message_takes_time_in_proportion_to_its_size() -> None:
    # read part by part and joined each time, 40 MB took more than ten seconds, and the report was lost
    assert run("send('report', 'x' * 40_000_000); return 1", seconds=15)[-1] == "done 1 "


def test_what_work_has_started_ends_with_it() -> None:
    for end in ("return 1", "os._exit(3)"):
        heard = run(f"import subprocess; send('pid', subprocess.Popen(['sleep', '60']).pid); {end}")
        pid = int(heard[0].split()[1])
        until = time.monotonic() + 5
        while is_running(pid) and time.monotonic() < until:
            time.sleep(0.02)
        assert not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_an_ending_is_noticed_though_a_grandchild_holds_the_pipe() -> None:
    began = time.monotonic()
    heard = run("if os.fork() == 0:\n    time.sleep(50)\nos._exit(3)")
    assert heard == ["died None the examining process ended with status 3 and no message"]
    assert time.monotonic() - began < 15


def test_what_is_no_message_ends_the_work() -> None:
    heard = run(r"[os.write(n, b'[1]\n') for n in range(3, 9) if os.path.exists(f'/proc/self/fd/{n}')]; time.sleep(50)")
    assert heard == ["died None the examining process wrote what is no message"]


def test_work_ends_with_whoever_asked_for_it() -> None:
    # silent work heard of its listener's end only when it said the next thing
    code = """
import os, time
from sage_doctor.system.guard import guarded
def work(send):
    send("pid", os.getpid())
    time.sleep(60)
guarded(work, seconds=60, on_message=lambda kind, value: print(value, flush=True))
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        pid = int(asking.stdout.readline())
        asking.kill()
    until = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not is_running(pid)
