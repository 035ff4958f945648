"""Real servers in processes of their own, and what the doctor says of each on its way from the start to its end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from sage_doctor.report import Finding
from sage_doctor.suite import service_prober
from tests.checks.cases import Bench

# It ends with this process, however that ends: then its input is closed.
_ENDS_WITH_US = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
"""
CHECKS = ("check_service_reachable", "check_service_model", "check_service_generates")


class RealServer:
    """A running server. It can be stopped and continued, and killed."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, root: Path) -> None:
        self._process = process
        self._root = root
        self._asked = 0
        self._port = port
        self.url = f"http://127.0.0.1:{port}"

    def signal(self, number: int) -> None:
        """Send a signal; after SIGKILL wait for its end."""
        self._process.send_signal(number)
        if number == signal.SIGKILL:
            self._process.wait(timeout=30)

    def wait_until_it_listens(self) -> None:
        """Wait for the first connection that it accepts."""
        until = time.monotonic() + 120
        while True:
            assert self._process.poll() is None, (self._root / "server.log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            assert time.monotonic() < until
            time.sleep(0.1)

    def findings(self, model: str, *, budget: str = "load_s = 15", list_s: float = 10.0) -> list[Finding]:
        """Return what the checks find, each in the order of a run; none is asked after one that found an error.

        `list_s` is how long a list of models may take: one that was stopped never answers.
        """
        for check in CHECKS:
            self._asked += 1
            root = self._root / str(self._asked)
            root.mkdir()
            bench = Bench(root=root)
            text = f'[models.s]\nkind = "service"\nurl = "{self.url}"\nmodel = "{model}"\n'
            bench.manifest(f"{text}max_new_tokens = 6\nbudget = {{ {budget} }}\n", "s")
            with mock.patch.object(service_prober, "_LIST_S", list_s):
                outcome = bench.run(check)
            assert outcome.result.status != "error", outcome.result.reason
            if outcome.findings:
                return list(outcome.findings)
        return []

    def codes(self, model: str, *, budget: str = "load_s = 15", list_s: float = 10.0) -> list[str]:
        """Return the codes of what the checks find."""
        return [f.code for f in self.findings(model, budget=budget, list_s=list_s)]


@contextmanager
def started(program: str, *arguments: str, port: int, root: Path, **environ: str) -> Iterator[RealServer]:
    """Run a program in this interpreter, and end it afterwards."""
    with (root / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _ENDS_WITH_US + program, *arguments],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, "HF_HUB_OFFLINE": "1", **environ},
        )
        try:
            yield RealServer(process, port, root)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)
            assert process.stdin is not None
            process.stdin.close()
