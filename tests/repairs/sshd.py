"""A real sshd on loopback: own port, host key, configuration and authorized key; nothing of the system's is touched."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
CAN_RUN = SSHD is not None and all(shutil.which(n) for n in ("ssh", "ssh-keygen", "rsync"))


@dataclass(frozen=True)
class Sshd:
    """The server, and a directory to put first in PATH: its `ssh` is the real one with a configuration of its own.

    In that configuration `sprout` is this server, `mute` a port at which nobody answers, and `stranger` this server
    with a key that it refuses. `programs` is first in the PATH of what is run over there.
    """

    root: Path
    clients: Path
    programs: Path


@contextmanager
def running(root: Path) -> Iterator[Sshd]:
    """Run the server below `root`."""
    made = Sshd(root=root, clients=root / "clients", programs=root / "programs")
    for directory in (root, made.clients, made.programs):
        directory.mkdir(mode=0o700, exist_ok=True)
    for name in ("host", "user", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)], check=True)
    (root / "authorized").write_bytes((root / "user.pub").read_bytes())
    (root / "banner").write_text("*** Property of the lab. All access is logged. ***\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (root / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {root}/host\nAuthorizedKeysFile {root}/authorized\nStrictModes no\n"
        f"PidFile none\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nBanner {root}/banner\n"
        f"PermitRootLogin prohibit-password\nPrintMotd no\nSetEnv PATH={made.programs}:/usr/bin:/bin SHLVL=2\n"
    )
    # SHLVL: a login shell that reads its .bashrc for sshd takes a third of a second, and another PATH
    key = (root / "host.pub").read_text().split()
    (root / "known_hosts").write_text(f"sprout {key[0]} {key[1]}\n")
    common = f"HostName 127.0.0.1\n  HostKeyAlias sprout\n  User {getpass.getuser()}\n  IdentitiesOnly yes\n"
    common += f"  UserKnownHostsFile {root}/known_hosts\n"
    (root / "ssh_config").write_text(
        f"Host sprout\n  Port {port}\n  IdentityFile {root}/user\n  {common}"
        f"Host stranger\n  Port {port}\n  IdentityFile {root}/other\n  {common}"
        f"Host newcomer\n  Port {port}\n  IdentityFile {root}/user\n  HostKeyAlias nobody-knows\n  {common}"
        f"Host mute\n  Port 1\n  IdentityFile {root}/user\n  {common}"
    )
    _program(made.clients / "ssh", f'exec {shutil.which("ssh")} -F {root}/ssh_config "$@"\n')
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)  # sshd refuses to start without this empty directory
    assert SSHD is not None
    with open(root / "log", "wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(root / "sshd_config")], stderr=log)
    try:
        _wait(port, server, root / "log")
        yield made
    finally:
        server.kill()
        server.wait()


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"sshd did not start: {log.read_text(errors='replace')}")


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)


def remote_program(server: Sshd, name: str, text: str) -> None:
    """Give the other machine a program, a shell script."""
    _program(server.programs / name, text)
