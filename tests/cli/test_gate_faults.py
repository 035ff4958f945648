"""Real faults under a gate: it answers in time, with the right code, and never opens by accident.

`docs/gate.md` has the table of these; a row there is a test here.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gate.stand_in import alive, below, loads, write_interpreter, write_site
from tests.model_directories import MODEL, write_full

from .conftest import Doctor

Start = Callable[..., subprocess.Popen[bytes]]
LATER_S = 3.0  # two after its deadline a gate has ended; the third is for starting Python on a busy machine


def site_with(tmp_path: Path, probe: str | None = None, **rest: str) -> Path:
    return write_site(tmp_path / "site", write_interpreter(tmp_path / "env", probe=probe, **rest))


def timed(doctor: Doctor, site: Path, *words: str) -> tuple[int, str, float]:
    """Return exit code, output and seconds of a gate."""
    began = time.monotonic()
    done = doctor("gate", "talk", *words, cwd=site)
    return done.code, done.out + done.err, time.monotonic() - began


# -- a load that misbehaves -------------------------------------------------------------------------------------------


HANGS = {
    "stopped": "kill -STOP $$",
    "deaf to SIGTERM": "trap '' TERM; while :; do sleep 600; done",
    "asleep": "sleep 600",
    "asleep without a shell": "exec sleep 600 0</dev/null",
}


def test_hung_loads_are_decided_by_the_deadline(start: Start, tmp_path: Path) -> None:
    """Four gates at once, for each waits until its time is over; and each with a state, or they take turns."""
    began, gates = time.monotonic(), {}
    for name, behaviour in HANGS.items():
        here = tmp_path / name.replace(" ", "-")
        python = write_interpreter(here / "env", probe=f"echo $$ > {here}/pid; {behaviour}")
        where = {"cwd": write_site(here / "site", python), "STATE_DIRECTORY": str(here / "state")}
        gates[name] = here, start("gate", "talk", "--timeout", "8s", **where)
    ended = {name: (here, gate, gate.communicate(timeout=60)[0]) for name, (here, gate) in gates.items()}
    took = time.monotonic() - began
    time.sleep(0.2)
    for name, (here, gate, said) in ended.items():
        assert gate.returncode == 3, (name, said)  # no load was ever timed here: so short a deadline proves nothing
        assert said.startswith(b"unknown: talk: m0: load.loads: the deadline left "), (name, said)
        assert not alive(int((here / "pid").read_text())), name
    assert took < 8 + LATER_S


def test_a_hung_load_is_decided_by_the_deadline_of_its_stage(doctor: Doctor, tmp_path: Path) -> None:
    site = site_with(tmp_path, pause="import time; time.sleep(600)")
    code, said, took = timed(doctor, site, "--stage-timeout", "1s")
    assert code == 1
    assert "hung in stage load" in said
    assert took < 15


def test_a_crashing_load_is_blocked(doctor: Doctor, tmp_path: Path) -> None:
    code, said, _ = timed(doctor, site_with(tmp_path, "kill -SEGV $$"))
    assert code == 1
    assert "SIGSEGV" in said


def test_a_load_that_eats_memory_is_blocked(doctor: Doctor, tmp_path: Path) -> None:
    eat = "held = []\\nwhile True: held.append(bytearray(1 << 26))"
    site = site_with(tmp_path, f"ulimit -v 1000000; printf '{eat}' | exec \"{sys.executable}\" -")
    code, said, took = timed(doctor, site, "--timeout", "30s")
    assert code == 1
    assert said.startswith("blocked: talk: m0: ")
    assert took < 30


# -- a decision that does not come ------------------------------------------------------------------------------------


def test_a_decision_that_hangs_is_cut_short_and_names_the_stage_and_the_process(start: Start, tmp_path: Path) -> None:
    site = site_with(tmp_path, pause="import time; time.sleep(600)")
    gate = start("gate", "talk", "--timeout", "5s", cwd=site)
    began = time.monotonic()
    deciding = _child(gate.pid)
    _wait_until(lambda: loads(tmp_path / "env" / "python") > 0, gate)
    os.kill(deciding, signal.SIGSTOP)
    out, _ = gate.communicate(timeout=30)
    assert time.monotonic() - began < 5 + LATER_S
    assert gate.returncode == 3
    assert out.startswith(b"unknown: talk: no answer within 5.0 s, in the stage 'm0: loads'") or b"m0:" in out
    assert b"which is stopped" in out
    assert not alive(deciding)


def test_a_decision_that_is_killed_keeps_sessions_out(start: Start, tmp_path: Path) -> None:
    metrics = tmp_path / "sage_doctor.prom"
    metrics.write_text("what an earlier gate has found")
    gate = start("gate", "talk", "-o", f"prometheus:{metrics}", cwd=site_with(tmp_path, "sleep 600"))
    os.kill(_child(gate.pid), signal.SIGKILL)
    out, _ = gate.communicate(timeout=30)
    assert gate.returncode == 3
    assert b"was ended by SIGKILL" in out
    assert 'roles="talk",verdict="unknown"} 1\n' in metrics.read_text()  # nobody reads a verdict that holds no longer


def test_what_was_found_before_the_deadline_counts(start: Start, tmp_path: Path) -> None:
    python = write_interpreter(tmp_path / "env", probe=f"touch {tmp_path}/loading; sleep 600")
    site = write_site(tmp_path / "site", python, models=2)
    (site / "zoo" / "m0" / MODEL).unlink()
    gate = start("gate", "talk", "--timeout", "7s", "-o", f"json:{tmp_path}/report.json", cwd=site)
    deciding = _child(gate.pid)
    _wait_until((tmp_path / "loading").exists, gate)  # of m1, after everything about m0
    os.kill(deciding, signal.SIGSTOP)
    out, _ = gate.communicate(timeout=30)
    assert gate.returncode == 1
    assert out.startswith(b"blocked: talk: m0: weights-missing: ")
    assert b"; then no answer within 7.0 s" in out
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["verdict"], [f["code"] for f in report["findings"]]) == ("unhealthy", ["weights-missing"])
    assert "then no answer within 7.0 s" in report["checks"][0]["reason"]


@pytest.mark.parametrize("number,code", [(signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_an_interrupted_gate_leaves_nobody_behind(
    start: Start, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    site = site_with(tmp_path, f"echo $$ > {tmp_path}/pid; sleep 600")
    gate = start("gate", "talk", "--", "touch", "started", cwd=site)
    _wait_until((tmp_path / "pid").exists, gate)
    time.sleep(0.1)
    gate.send_signal(number)
    gate.communicate(timeout=30)
    assert gate.returncode == code
    assert not (site / "started").exists()
    time.sleep(0.2)
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_gate_killed_at_any_moment_leaves_no_wrong_result(start: Start, doctor: Doctor, tmp_path: Path) -> None:
    site = site_with(tmp_path)
    weights = site / "zoo" / "m0" / MODEL
    chance = random.Random(20)
    for _ in range(12):
        write_full(site / "zoo" / "m0")
        gate = start("gate", "talk", cwd=site)
        time.sleep(chance.uniform(0.05, 1.2))
        gate.kill()
        gate.communicate(timeout=30)
        weights.unlink()
        assert doctor("gate", "talk", cwd=site).code == 1
    write_full(site / "zoo" / "m0")
    assert doctor("gate", "talk", cwd=site).code == 0


# -- many at once, and clocks -----------------------------------------------------------------------------------------


def test_fifty_gates_at_once_load_once(begin: Start, tmp_path: Path) -> None:
    site = site_with(tmp_path, pause="import time; time.sleep(1)")
    gates = [begin("gate", "talk", cwd=site) for _ in range(50)]
    ended = [g.communicate(timeout=120) for g in gates]
    assert [g.returncode for g in gates] == [0] * 50, ended
    assert loads(tmp_path / "env" / "python") == 1


def test_a_gate_that_waits_too_long_for_another_says_for_whom(start: Start, doctor: Doctor, tmp_path: Path) -> None:
    site = site_with(tmp_path, "sleep 600")
    first = start("gate", "talk", "--timeout", "60s", cwd=site)
    _child(first.pid)
    time.sleep(1.5)
    code, said, took = timed(doctor, site, "--timeout", "3s")
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)
    assert code == 3
    assert "is still checking role talk" in said
    assert took < 3 + LATER_S


def test_a_clock_set_back_makes_no_result_younger(doctor: Doctor, tmp_path: Path) -> None:
    site = site_with(tmp_path)
    state = tmp_path / "state"
    run = {"cwd": site, "STATE_DIRECTORY": str(state)}
    doctor("gate", "talk", **run)
    path = next((state / "gate").glob("talk-*.json"))
    record = json.loads(path.read_text())
    # Found a day before its boot; found in an hour.
    for shift, why in ((-90_000.0, "1 d 1 h old"), (3_600.0, "of a later moment than now")):
        path.write_text(json.dumps({**record, "taken_s": record["taken_s"] + shift}))
        done = doctor("gate", "talk", **run)
        assert "nothing changed since" not in done.out
        assert f"re-checked: the recorded result is {why}" in done.err


def test_another_boot_makes_every_result_void(doctor: Doctor, tmp_path: Path) -> None:
    site = site_with(tmp_path)
    run = {"cwd": site, "STATE_DIRECTORY": str(tmp_path / "state")}
    doctor("gate", "talk", **run)
    for path in (tmp_path / "state" / "gate").glob("*.json"):
        record = json.loads(path.read_text())
        record["environment"]["boot"] = "0000"
        path.write_text(json.dumps(record))
    done = doctor("gate", "talk", **run)
    assert (done.code, loads(tmp_path / "env" / "python")) == (0, 2)
    assert "the machine was rebooted" in done.err


# -- the place where results are kept ---------------------------------------------------------------------------------


@contextlib.contextmanager
def tmpfs(path: Path, *options: str) -> Iterator[Path]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(["size=64k", *options]), "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def test_a_full_state_directory_costs_time_and_nothing_else(doctor: Doctor, tmp_path: Path) -> None:
    site = site_with(tmp_path)
    with tmpfs(tmp_path / "state") as state:
        with contextlib.suppress(OSError), open(state / "filler", "wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        for _ in range(2):
            done = doctor("gate", "talk", cwd=site, STATE_DIRECTORY=str(state))
            assert (done.code, done.out) == (0, "open: talk: m0 is ready\n")
            assert "cannot be kept for the next gate" in done.err
    assert loads(tmp_path / "env" / "python") == 2


def test_a_read_only_state_directory_costs_time_and_nothing_else(doctor: Doctor, tmp_path: Path) -> None:
    site = site_with(tmp_path)
    with tmpfs(tmp_path / "state", "ro") as state:
        done = doctor("gate", "talk", cwd=site, STATE_DIRECTORY=str(state))
    assert done.code == 0
    assert "the gate runs without its lock" in done.err


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\x00" * 500, b"[]", b'{"schema": 1}', b'{"schema": 1, "key": null, "watched": 3}'],
    ids=["empty", "torn", "zeros", "a list", "nothing in it", "nonsense in it"],
)
def test_a_damaged_record_is_no_record(doctor: Doctor, tmp_path: Path, content: bytes) -> None:
    site = site_with(tmp_path)
    run = {"cwd": site, "STATE_DIRECTORY": str(tmp_path / "state")}
    doctor("gate", "talk", "--level", "static", **run)
    for path in (tmp_path / "state" / "gate").glob("*.json"):
        path.write_bytes(content)
    done = doctor("gate", "talk", "--level", "static", **run)
    assert (done.code, done.out) == (0, "open: talk: m0 is ready\n")


@pytest.mark.parametrize("field,value", [("body", {}), ("watched", {}), ("level", "static"), ("directory", "/x")])
def test_a_record_with_a_part_missing_opens_nothing(doctor: Doctor, tmp_path: Path, field: str, value: object) -> None:
    site = site_with(tmp_path)
    run = {"cwd": site, "STATE_DIRECTORY": str(tmp_path / "state")}
    doctor("gate", "talk", **run)
    for path in (tmp_path / "state" / "gate").glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    (site / "zoo" / "m0" / MODEL).unlink()
    assert doctor("gate", "talk", **run).code == 1


def test_a_frozen_disk_under_the_state_directory_does_not_hold_the_gate(start: Start, tmp_path: Path) -> None:
    """A write to a frozen file system waits in the kernel, where no signal reaches it: as a dead network disk does."""
    site = site_with(tmp_path)
    image, mount = tmp_path / "image", tmp_path / "mount"
    mount.mkdir()
    subprocess.run(["truncate", "-s", "16M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    try:
        subprocess.run(["fsfreeze", "-f", mount], check=True)
        began = time.monotonic()
        gate = start("gate", "talk", "--timeout", "4s", cwd=site, STATE_DIRECTORY=str(mount))
        out, _ = gate.communicate(timeout=30)
        took = time.monotonic() - began
    finally:
        subprocess.run(["fsfreeze", "-u", mount], check=False)
        time.sleep(0.3)
        subprocess.run(["umount", "-l", mount], check=True)
    assert took < 4 + LATER_S
    assert gate.returncode == 3
    assert out.startswith(b"unknown: talk: no answer within 4.0 s, in the stage ")
    assert b"which waits in the kernel" in out
    assert b"cannot be killed and was left behind" in out


# -- bare surroundings ------------------------------------------------------------------------------------------------


def test_a_gate_under_cron_has_nothing_and_needs_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    site = site_with(tmp_path)
    code = f"{sys.executable} -m sage_doctor gate talk --manifest {site}/sage-doctor.toml -- /bin/echo started"
    bare = {"HOME": environment["HOME"], "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "x"}
    for _ in range(2):
        done = subprocess.run(
            ["env", "-i", *(f"{k}={v}" for k, v in bare.items()), f"PYTHONPATH={environment['PYTHONPATH']}",
             "/bin/sh", "-c", code],
            cwd="/", capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr


def test_neither_home_nor_path_nor_open_descriptors_are_needed(tmp_path: Path, environment: dict[str, str]) -> None:
    site = site_with(tmp_path)
    words = f"{sys.executable} -m sage_doctor gate talk --level static"
    for closed in ("", "<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        done = subprocess.run(
            ["/bin/sh", "-c", f"unset HOME PATH; {words} {closed}; echo code $? > {tmp_path}/code"],
            cwd=site, env={"PYTHONPATH": environment["PYTHONPATH"], "STATE_DIRECTORY": str(tmp_path / "state")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (tmp_path / "code").read_text() == "code 0\n", (closed, done)


def test_a_working_directory_that_is_gone_is_told(tmp_path: Path, environment: dict[str, str]) -> None:
    site = site_with(tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    words = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m sage_doctor gate talk -m {site}/sage-doctor.toml"
    done = subprocess.run(["/bin/sh", "-c", words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the working directory no longer exists" in done.stderr


def test_a_model_that_changes_while_it_is_examined_opens_nothing(start: Start, tmp_path: Path) -> None:
    site = site_with(tmp_path, pause="import time; time.sleep(2)")
    gate = start("gate", "talk", "-o", f"json:{tmp_path}/report.json", cwd=site)
    _wait_until(lambda: loads(tmp_path / "env" / "python") > 0, gate)
    (site / "zoo" / "m0" / MODEL).write_bytes(b"in the midst of a copy")
    out, _ = gate.communicate(timeout=30)
    assert gate.returncode == 3
    assert out.endswith(b"model.safetensors has another size during the examination; run the gate again\n")
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "unknown"


def _wait_until(happened: Callable[[], bool], gate: subprocess.Popen[bytes]) -> None:
    """Wait for what a gate brings about; it must not end before."""
    while not happened():
        assert gate.poll() is None, gate.communicate()
        time.sleep(0.02)


def _child(pid: int) -> int:
    """Return the process that decides for a gate, once it is there."""
    for _ in range(500):
        found = below(pid)
        if found:
            return found[0]
        time.sleep(0.01)
    raise AssertionError("the gate started nobody")
