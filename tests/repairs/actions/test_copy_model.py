"""A model copied from another machine: a real sshd on loopback, real rsync, and the doctor on both sides.

Without sshd, ssh or rsync this file is not collected (`conftest.py`).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from sage_doctor.cli import app
from sage_doctor.errors import UsageError
from tests.model_directories import MODEL, write_adapter, write_full, write_tensors
from tests.repairs.conftest import Fixer, contents
from tests.repairs.sshd import Sshd, remote_program, running

ROOT = Path(__file__).resolve().parents[3]
KILLS = min(50, int(os.environ.get("SAGE_DOCTOR_TEST_KILLS", "1")))  # `make soak` sets more
MANIFEST = """schema = 1
[vars]
zoo = "{here}/zoo of thor"
[machines.thor]
match.hostname = "thor"
roles = ["talk"]
[machines.{name}]
match.hostname = "{host}"
roles = ["talk", "stand"]
vars = {{ zoo = "{there}" }}
[roles.talk]
models = ["merged"]
[roles.stand]
models = ["stance"]
[models.merged]
kind = "merged"
path = "{{zoo}}/merged"
merge = {{ base = "small", adapter = "stance" }}
[models.stance]
kind = "adapter"
path = "{{zoo}}/stance"
base = "small"
[models.small]
kind = "full"
path = "{{zoo}}/base"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running(tmp_path_factory.mktemp("sshd")) as made:
        yield made


@pytest.fixture
def there(server: Sshd, tmp_path: Path, fixer: Fixer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model on sprout, with blanks, quotes and a line end in names; thor has none. Returns its directory."""
    monkeypatch.setenv("PATH", f"{server.clients}:{os.environ['PATH']}")
    monkeypatch.setenv("SAGE_MACHINE", "thor")
    healthy(server, "")
    zoo = tmp_path / "sprout's zoo"
    write_full(zoo / "merged")
    (zoo / "merged" / ".git").mkdir()
    (zoo / "merged" / ".git" / "config").write_text("not a part of the model")
    (zoo / "merged" / "notes of sprout").mkdir()
    (zoo / "merged" / "notes of sprout" / "new\nline $(touch x).txt").write_text("1")
    world(fixer, zoo)
    return zoo / "merged"


def world(fixer: Fixer, zoo: Path, name: str = "sprout", host: str = "sprout") -> Path:
    """Write the manifest, and return where thor has the model."""
    fixer.manifest(MANIFEST.format(here=fixer.root, there=zoo, name=name, host=host))
    (fixer.root / "zoo of thor").mkdir(exist_ok=True)
    (fixer.root / "zoo of thor" / "about").write_text("an empty directory may be a disk that is not mounted")
    return fixer.root / "zoo of thor" / "merged"


def healthy(server: Sshd, *codes: str) -> None:
    """Let the doctor over there find errors with these codes."""
    found = [{"code": c, "severity": "error", "subject": "m"} for c in codes if c]
    report = json.dumps({"findings": found, "checks": [{"subject": "m"}], "exit_code": int(bool(found))})
    remote_program(server, "sage-doctor", f"printf %s '{report}'\n")


def lock(fixer: Fixer, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record the model of sprout in the lock, as sprout would."""
    shutil.copytree(there, fixer.root / "zoo of thor" / "merged")
    monkeypatch.chdir(fixer.root)
    assert app.run(["lock", "merged"]) == 0
    shutil.rmtree(fixer.root / "zoo of thor" / "merged")


def staged(target: Path) -> list[str]:
    return sorted(p.name for p in target.parent.glob(".*"))


def test_the_incident_a_model_that_another_machine_has(
    fixer: Fixer, server: Sshd, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote_program(server, "sage-doctor", f'PYTHONPATH={ROOT} exec {sys.executable} -m sage_doctor "$@"\n')
    target = fixer.root / "zoo of thor" / "merged"
    lock(fixer, there, monkeypatch)
    assert fixer.statuses("talk") == [("copy-model", "repaired")]
    said = " ".join(str(fixer.plans[0]).split())
    assert "by sage-doctor.lock" in said
    assert "the doctor on sprout finds no error in it (level static)" in said
    assert f"sprout:{there}" in said
    got, want = contents(target), contents(there)
    assert {n: c.split()[-1] for n, c in got.items()} == {
        n: c.split()[-1] for n, c in want.items() if not n.startswith(".git")
    } | {"notes of sprout": got["notes of sprout"]}
    assert staged(target) == []
    assert fixer.statuses("talk") == []

    # A part that broke later: what is there is not copied again, and the user's own file stays.
    (target / MODEL).write_bytes((target / MODEL).read_bytes()[:-8])
    (target / "mine.txt").write_text("mine")
    before = (target / "config.json").stat().st_ino
    assert fixer.statuses("talk") == [("copy-model", "repaired")]
    assert "copy 1 file from sprout" in " ".join(str(fixer.plans[1]).split())
    assert (target / "config.json").stat().st_ino == before
    assert (target / "mine.txt").read_text() == "mine"
    assert (target / MODEL).read_bytes() == (there / MODEL).read_bytes()


def test_a_copy_that_the_checks_reject_is_undone(
    fixer: Fixer, there: Path, failing_verification: Sequence[str]
) -> None:
    target = fixer.root / "zoo of thor" / "merged"
    write_full(target)
    (target / MODEL).write_bytes(b"")
    before = contents(target)
    assert fixer.statuses("talk") == [("copy-model", "rolled-back")]
    assert failing_verification
    assert contents(target) == before
    assert staged(target) == []
    assert there.is_dir()


@pytest.mark.parametrize(
    "host,says",
    [
        ("stranger", "Permission denied (publickey)"),
        ("mute", "Connection refused"),
        ("-oProxyCommand=touch stolen", "not a host name"),
    ],
)
def test_a_machine_that_cannot_be_asked_gives_nothing(fixer: Fixer, there: Path, host: str, says: str) -> None:
    target = world(fixer, there.parent, name="other", host=host)
    [attempt] = fixer("talk").attempts
    assert (attempt.repair, attempt.status) == ("copy-model", "refused")
    assert says in attempt.reason
    assert not target.exists()
    assert not (fixer.root / "stolen").exists()


def test_what_is_not_known_to_be_healthy_is_said_and_what_is_not_healthy_is_not_taken(
    fixer: Fixer, server: Sshd, there: Path
) -> None:
    healthy(server, "weights-truncated")
    [attempt] = fixer("talk").attempts
    assert (attempt.status, "finds it unhealthy: weights-truncated" in attempt.reason) == ("refused", True)
    (server.programs / "sage-doctor").unlink()
    [attempt] = fixer("talk", dry_run=True).attempts
    said = " ".join(str(attempt.plan).split())
    assert "whether it is healthy on sprout is not known" in said
    assert "as sprout computes them, which show a faithful copy and no more" in said
    assert there.is_dir()


def test_where_files_differ_it_is_a_question(fixer: Fixer, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = fixer.root / "zoo of thor" / "merged"
    write_full(target, rope_theta=20000.0)
    (target / MODEL).unlink()
    [attempt] = fixer("talk").attempts
    assert "config.json here differs from sprout, and nothing says which is right" in attempt.reason
    shutil.move(target, target.with_name("saved"))
    lock(fixer, there, monkeypatch)
    shutil.move(target.with_name("saved"), target)
    write_tensors(there / MODEL, {"model.norm.weight": (8,)})
    [attempt] = fixer("talk").attempts
    assert "sprout: it has another version than sage-doctor.lock says (model.safetensors)" in attempt.reason
    write_full(there)
    assert fixer.statuses("talk") == [("copy-model", "repaired")]  # the lock has answered
    assert (target / "config.json").read_bytes() == (there / "config.json").read_bytes()


def test_a_model_that_changes_meanwhile_is_not_put_in_place(fixer: Fixer, there: Path) -> None:
    target = fixer.root / "zoo of thor" / "merged"

    def change(_plan: object) -> None:
        raw = bytearray((there / MODEL).read_bytes())
        raw[-1] ^= 1
        (there / MODEL).write_bytes(raw)

    [attempt] = fixer("talk", before_consent=change).attempts
    assert (attempt.status, "model.safetensors from sprout" in attempt.reason) == ("failed", True)
    assert not target.exists()
    assert fixer.statuses("talk") == [("copy-model", "repaired")]
    assert staged(target) == []


def test_a_disk_that_fills_up_is_left_as_it_was(fixer: Fixer, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = fixer.root / "zoo of thor" / "merged"
    small = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(target.parent)], check=False, capture_output=True
    )
    if small.returncode:
        pytest.skip("a small disk takes a mount, which this user may not make")
    try:
        (target.parent / "about").write_text("")
        (there / "big.bin.txt").write_bytes(os.urandom(2_000_000))
        [attempt] = fixer("talk").attempts
        assert "free; the copy needs 2.0 MB more" in attempt.reason
        usage = shutil.disk_usage(target.parent)
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1 << 40))
        [attempt] = fixer("talk").attempts
        assert "was full before everything had arrived" in attempt.reason
        assert os.listdir(target.parent) == ["about"]
    finally:
        subprocess.run(["umount", str(target.parent)], check=True)


def test_sync_brings_the_models_of_a_role_and_copies_nothing_twice(
    fixer: Fixer, there: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    zoo = fixer.root / "zoo of thor"
    write_adapter(there.parent / "stance", write_full(there.parent / "base"))
    monkeypatch.chdir(fixer.root)
    assert app.run(["sync", "stand", "--from", "sprout"]) == 1
    assert "no terminal to ask at; --yes applies it" in capfd.readouterr().out
    assert os.listdir(zoo) == ["about"]
    assert app.run(["sync", "stand", "--from", "sprout", "--yes"]) == 0
    assert capfd.readouterr().out.count("copied (verified)") == 2
    assert {n: (zoo / n).read_bytes() for n in ("stance/adapter_model.safetensors", f"base/{MODEL}")} == {
        n: (there.parent / n).read_bytes() for n in ("stance/adapter_model.safetensors", f"base/{MODEL}")
    }
    write_adapter(there.parent / "stance", there.parent / "base", r=1)
    assert app.run(["sync", "stand", "--from", "sprout", "--yes"]) == 1
    said = " ".join(capfd.readouterr().out.split())
    assert "sync: small here already, with the same hashes" in said
    assert "adapter_config.json here differs from sprout, and nothing says which is right" in said
    (there / "config.json").write_text("{")  # over there it is not whole: what was copied is taken back
    assert app.run(["sync", "merged", "--from", "sprout", "--yes"]) == 1
    assert "rolled back: config-invalid" in capfd.readouterr().out
    assert sorted(os.listdir(zoo)) == ["about", "base", "stance"]
    with pytest.raises(UsageError, match="not a machine of the manifest"):
        app.run(["sync", "stand", "--from=-oProxyCommand=x"])
    with pytest.raises(UsageError, match="this is thor; name the machine that has the models"):
        app.run(["sync", "stand", "--from", "thor"])


def test_a_login_shell_that_greets_rsync_is_named(fixer: Fixer, server: Sshd, there: Path) -> None:
    remote_program(server, "rsync", 'echo Welcome to sprout; exec /usr/bin/rsync "$@"\n')
    try:
        [attempt] = fixer("talk").attempts
    finally:
        (server.programs / "rsync").unlink()
    assert (attempt.status, "the login shell there prints something" in attempt.reason) == ("failed", True)
    assert there.is_dir()


def test_a_copy_that_was_killed_goes_on(fixer: Fixer, server: Sshd, there: Path, tmp_path: Path) -> None:
    target, log = fixer.root / "zoo of thor" / "merged", tmp_path / "rsync.log"
    write_tensors(there / MODEL, {"model.embed_tokens.weight": (16, 8), "model.layers.0.x": (1000, 2000)})
    with open(there / MODEL, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(7_900_000))
    size = (there / MODEL).stat().st_size
    whole = shutil.which("rsync", path="/usr/bin:/bin:/usr/local/bin")
    slow = server.clients / "rsync"
    slow.write_text(
        f'#!/bin/sh\nexec {whole} --log-file={log} --log-file-format="%b %n" ${{SLOW:+--bwlimit=3000}} "$@"\n'
    )
    slow.chmod(0o755)
    command = [sys.executable, "-m", "sage_doctor", "fix", "talk", "--yes", "-l", "static"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path / "state")}
    old = sorted(os.listdir(target.parent))
    try:
        process = _start(command, fixer.root, {**environ, "SLOW": "1"})
        until = time.monotonic() + 60
        while _arrived(target) < 4_000_000 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        _kill(process)
        assert not target.exists()
        assert _arrived(target) >= 4_000_000
        log.write_text("")
        done = subprocess.run(command, cwd=fixer.root, env=environ, capture_output=True, text=True, check=False)
        assert "fixed (verified)" in done.stdout, done.stdout + done.stderr
        sent = sum(int(line.split()[3]) for line in log.read_text().splitlines() if line.endswith(MODEL))
        assert 0 < sent < size - 3_000_000
        new = contents(target)
        for number in range(KILLS - 1):  # at any moment: also while it is compared, exchanged and checked
            if target.exists():
                shutil.rmtree(target)
            process = _start(command, fixer.root, {**environ, "SLOW": "1"} if number % 2 else environ)
            time.sleep(random.uniform(0.3, 3.0))
            _kill(process)
            assert not target.exists() or contents(target) == new
        subprocess.run(command, cwd=fixer.root, env=environ, capture_output=True, check=False)
        assert contents(target) == new
        assert sorted(os.listdir(target.parent)) == sorted([*old, target.name])
    finally:
        slow.unlink()


def _start(command: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=cwd, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def _arrived(target: Path) -> int:
    return sum(p.stat().st_size for p in target.parent.glob(f".merged.sage-fix-0-0/{MODEL}"))
