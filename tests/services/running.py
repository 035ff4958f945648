"""The behaving server, started once in each process of tests, and gone with it: it ends when its input is closed."""

from __future__ import annotations

import functools
import json
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

_KEPT: list[subprocess.Popen[str]] = []


@functools.cache
def base() -> str:
    """Return the server's URL without a path."""
    command, root = [sys.executable, "-m", "tests.services.behaving"], Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    _KEPT.append(process)
    assert process.stdout is not None
    return f"http://127.0.0.1:{int(process.stdout.readline())}"


def seen() -> list[str]:
    """Return the requests so far, as `POST /well/v1/chat/completions`."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(base() + "/x/seen", timeout=30) as reply:
        found: list[str] = json.load(reply)["seen"]
    return found


def closed_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
