"""Real faults in a real child: a package named torch that misbehaves, and interpreters that are none."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from sage_doctor.probe.handle import environment, run_probe
from sage_doctor.probe.limits import ProcessLimits
from sage_doctor.probe.outcome import ProbeOutcome
from sage_doctor.probe.protocol import ProbeRequest
from sage_doctor.probe.transcript import TAIL_BYTES

REQUEST = ProbeRequest(level="load", kind="full", path="/nowhere")
ROOT = Path(__file__).parents[2]


def probe(tmp_path: Path, torch: str, *, deadline_s: float = 60, request: ProbeRequest = REQUEST) -> ProbeOutcome:
    """Probe with a `torch` that runs this code when it is imported."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "torch.py").write_text(textwrap.dedent(torch))
    environ = {**os.environ, "PYTHONPATH": str(packages)}
    return run_probe(request, python=Path(sys.executable), deadline_s=deadline_s, environ=environ)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A killed process that nobody has waited for yet is a zombie, not alive.
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def gone(pid: int) -> bool:
    for _ in range(200):
        if not alive(pid):
            return True
        time.sleep(0.05)
    return False


def test_a_hang_ends_at_the_deadline_and_names_stage_and_frame(tmp_path: Path) -> None:
    outcome = probe(tmp_path, "import time\n\ndef wedged():\n    time.sleep(600)\n\nwedged()\n", deadline_s=2)
    assert outcome.ending == "deadline"
    assert outcome.stage == "import"
    assert "hung in stage import" in outcome.message
    assert outcome.where[0].endswith("packages/torch.py:4 in wedged")
    assert [s.name for s in outcome.stages] == ["start", "import"]
    assert outcome.stages[-1].seconds > 0
    assert outcome.signal == ""


def test_a_hang_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    code = """
        import faulthandler, signal, time
        faulthandler.unregister(signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(600)
    """
    outcome = probe(tmp_path, code, deadline_s=2)
    assert outcome.ending == "deadline"
    assert outcome.exit_code == -signal.SIGKILL
    assert outcome.abandoned_pid is None


def test_a_crash_is_named_by_its_signal_and_frame(tmp_path: Path) -> None:
    outcome = probe(
        tmp_path, "import os, signal\n\ndef broken():\n    os.kill(os.getpid(), signal.SIGSEGV)\n\nbroken()\n"
    )
    assert (outcome.ending, outcome.signal, outcome.stage) == ("signal", "SIGSEGV", "import")
    assert outcome.where[0].endswith("in broken")


def test_a_crash_behind_a_shell_is_still_a_signal(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 139\n")
    python.chmod(0o755)
    outcome = run_probe(REQUEST, python=python, deadline_s=60)
    assert (outcome.ending, outcome.signal, outcome.exit_code) == ("signal", "SIGSEGV", 139)


def test_an_abort_for_want_of_memory_is_out_of_memory(tmp_path: Path) -> None:
    code = "import os, sys\nsys.stderr.write('what():  std::bad_alloc\\n')\nsys.stderr.flush()\nos.abort()\n"
    assert probe(tmp_path, code).ending == "out-of-memory"


def test_leaving_without_a_word_is_not_success(tmp_path: Path) -> None:
    outcome = probe(tmp_path, "import os\nos._exit(0)\n")
    assert outcome.ending == "protocol"
    assert outcome.exit_code == 0
    assert "without a message" in outcome.message


@pytest.mark.parametrize(
    "said",
    [
        b"garbage\\n",
        b"[]\\n",
        b'{\\"event\\": \\"forward\\", \\"nan\\": -1, \\"infinite\\": 0, \\"total\\": 1}\\n',
        b'{\\"event\\": \\"memory\\", \\"peak_resident_bytes\\": NaN, \\"peak_device_bytes\\": 0}\\n',
        b'{\\"event\\": \\"stage\\", \\"name\\": \\"\\\\u001b[2J\\"}\\n',
    ],
)
def test_garbage_on_the_line_ends_the_probe(tmp_path: Path, said: bytes) -> None:
    code = f'import os, sys, time\nos.write(int(sys.argv[2]), b"{said.decode()}")\ntime.sleep(600)\n'
    outcome = probe(tmp_path, code)
    assert outcome.ending == "protocol"
    assert "an invalid answer" in outcome.message


def test_an_endless_line_ends_the_probe(tmp_path: Path) -> None:
    code = "import os, sys\nwhile True:\n    os.write(int(sys.argv[2]), b'x' * 65536)\n"
    assert probe(tmp_path, code).ending == "protocol"


def test_megabytes_of_chatter_neither_block_nor_stay(tmp_path: Path) -> None:
    code = """
        import sys
        for i in range(8):
            sys.stdout.write("a" * (1 << 20)); sys.stderr.write("b" * (1 << 20))
        sys.stdout.write("the end"); sys.stdout.flush()
        raise RuntimeError("enough")
    """
    outcome = probe(tmp_path, code)
    assert outcome.ending == "import-error"
    assert len(outcome.output_tail) <= TAIL_BYTES
    assert "the end" in outcome.output_tail


def test_a_grandchild_that_holds_the_pipes_neither_blocks_nor_survives(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"""
        import os, subprocess, sys
        child = subprocess.Popen(["sleep", "600"], pass_fds=(int(sys.argv[2]),))
        open({str(note)!r}, "w").write(str(child.pid))
        os._exit(0)
    """
    outcome = probe(tmp_path, code)
    assert outcome.ending == "protocol"
    assert gone(int(note.read_text()))


def test_a_question_on_standard_input_gets_no_answer_and_does_not_hang(tmp_path: Path) -> None:
    outcome = probe(tmp_path, 'input("Do you wish to run the custom code? [y/N] ")\n')
    assert outcome.failure is not None
    assert outcome.failure.type == "EOFError"


def test_a_package_that_is_not_there_is_an_import_error(tmp_path: Path) -> None:
    outcome = probe(tmp_path, "import no_such_module\n")
    assert outcome.ending == "import-error"
    assert outcome.failure is not None
    assert outcome.failure.module == "no_such_module"
    assert "no_such_module" in outcome.message


def test_a_library_that_does_not_load_is_an_import_error_of_its_package(tmp_path: Path) -> None:
    outcome = probe(tmp_path, 'raise OSError("libcudart.so.12: cannot open shared object file")\n')
    assert outcome.ending == "import-error"
    assert outcome.failure is not None
    assert (outcome.failure.module, outcome.failure.type) == ("torch", "OSError")


def test_an_interpreter_without_packages_lacks_torch(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -I "$@"\n')
    python.chmod(0o755)
    outcome = run_probe(REQUEST, python=python, deadline_s=60)
    assert outcome.ending == "import-error"
    assert outcome.failure is not None
    assert outcome.failure.module == "torch"


def test_nothing_beside_the_script_shadows_a_package(tmp_path: Path) -> None:
    code = """
        import sys
        raise RuntimeError([p for p in sys.path if p.endswith("sage_doctor/probe")])
    """
    assert probe(tmp_path, code).message.endswith("RuntimeError: []")


def test_the_child_runs_offline_from_a_neutral_place_and_first_in_line_for_the_oom_killer(tmp_path: Path) -> None:
    code = """
        import os
        names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TORCH_FORCE_WEIGHTS_ONLY_LOAD")
        score = int(open("/proc/self/oom_score_adj").read()) if os.path.exists("/proc/self/oom_score_adj") else 500
        raise RuntimeError([os.getcwd(), [os.environ[n] for n in names], score >= 500, os.getpgid(0) == os.getpid()])
    """
    assert probe(tmp_path, code).message.endswith("['/', ['1', '1', '1'], True, True]")


def test_a_request_larger_than_a_pipe_arrives_whole(tmp_path: Path) -> None:
    code = """
        import sys
        frame = sys._getframe()
        while "request" not in frame.f_locals:
            frame = frame.f_back
        raise RuntimeError(len(frame.f_locals["request"]["prompt"]))
    """
    request = ProbeRequest(level="generate", kind="full", path="/nowhere", prompt="x" * 300_000)
    assert probe(tmp_path, code, request=request).message.endswith(": 300000")


def test_an_interpreter_that_cannot_start_is_told_apart(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    nonsense = tmp_path / "nonsense"
    nonsense.write_bytes(b"\x7fELF nonsense")
    nonsense.chmod(0o755)
    dangling = tmp_path / "dangling"
    dangling.write_text("#!/no/such/interpreter\n")
    dangling.chmod(0o755)
    quits = tmp_path / "quits"
    quits.write_text("#!/bin/sh\necho no version installed >&2\nexit 127\n")
    quits.chmod(0o755)
    expected = {
        tmp_path / "missing": "no such file",
        plain: "permission denied",
        tmp_path: "is a directory",
        nonsense: "exec format error",
        dangling: "first line names an interpreter",
        quits: "no version installed",
        Path("a\0b"): "null byte",
    }
    for python, words in expected.items():
        outcome = run_probe(REQUEST, python=python, deadline_s=60)
        assert outcome.ending == "spawn-failed", python
        assert words in outcome.message


def test_settings_that_contradict_ours_are_not_inherited() -> None:
    made = environment({"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "HF_HUB_OFFLINE": "0", "KEPT": "yes"})
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in made
    assert made["HF_HUB_OFFLINE"] == "1"
    assert made["KEPT"] == "yes"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("behind_a_shell", [False, True])
def test_the_child_does_not_outlive_its_parent(tmp_path: Path, number: int, behind_a_shell: bool) -> None:
    note = tmp_path / "pid"
    (tmp_path / "torch.py").write_text(
        f"import os, time\nopen({str(note) + '.new'!r}, 'w').write(str(os.getpid()))\n"
        f"os.rename({str(note) + '.new'!r}, {str(note)!r})\ntime.sleep(600)\n"
    )
    python = Path(sys.executable)
    if behind_a_shell:
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
        python.chmod(0o755)
    code = (
        "from pathlib import Path\nfrom sage_doctor.probe.handle import ProbeRequest, run_probe\n"
        "run_probe(ProbeRequest(level='load', kind='full', path='/nowhere'),"
        f"python=Path({str(python)!r}), deadline_s=600)"
    )
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    with subprocess.Popen([sys.executable, "-c", code], env=environ, cwd="/", stderr=subprocess.PIPE) as parent:
        for _ in range(600):
            if note.exists():
                break
            time.sleep(0.05)
        parent.send_signal(number)
        _, printed = parent.communicate(timeout=60)
    assert gone(int(note.read_text()))
    assert (b"KeyboardInterrupt" in printed) == (number == signal.SIGINT)


def limited(kind: int, value: int, tmp_path: Path, torch: str) -> ProbeOutcome:
    """Probe under a limit that the child inherits."""
    old = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, old[1]))
    try:
        return probe(tmp_path, torch)
    finally:
        resource.setrlimit(kind, old)


def test_a_limit_of_address_space_is_named(tmp_path: Path) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    outcome = limited(resource.RLIMIT_AS, used + (1 << 30), tmp_path, "x = bytearray(1 << 34)\n")
    assert (outcome.ending, outcome.limit) == ("out-of-memory", "address-space")
    assert outcome.limits.address_space == used + (1 << 30)


def test_a_limit_of_data_is_named(tmp_path: Path) -> None:
    outcome = limited(resource.RLIMIT_DATA, 1 << 30, tmp_path, "x = bytearray(1 << 34)\n")
    assert (outcome.ending, outcome.limit, outcome.limits.data) == ("out-of-memory", "data", 1 << 30)


def test_a_limit_of_cpu_time_is_named(tmp_path: Path) -> None:
    outcome = probe(tmp_path, "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass\n")
    assert (outcome.ending, outcome.signal, outcome.limit) == ("signal", "SIGXCPU", "cpu-time")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGHUP"])
def test_a_signal_from_outside_is_no_limit(tmp_path: Path, name: str) -> None:
    outcome = probe(tmp_path, f"import os, signal\nos.kill(os.getpid(), signal.{name})\n")
    assert (outcome.ending, outcome.signal, outcome.limit) == ("signal", name, "")


@pytest.mark.parametrize(
    "number, cpu_s, limit",
    [(signal.SIGKILL, 60.1, "cpu-time"), (signal.SIGKILL, 3.0, ""), (signal.SIGXCPU, 3.0, "cpu-time"), (0, 60.0, "")],
)
def test_a_hard_limit_kills_without_a_word(number: int, cpu_s: float, limit: str) -> None:
    assert ProcessLimits(cpu_s=60).overrun(number, cpu_s, "") == limit
