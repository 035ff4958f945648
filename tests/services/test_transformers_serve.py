"""`transformers serve` with a real model: starting, answering, stopped and killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_doctor.demo import smollm2

from .real_servers import RealServer, started
from .running import closed_port

SERVE = """
from transformers.cli.transformers import main
sys.argv = ["transformers", "serve", sys.argv[1], "--port", sys.argv[2], "--host", "127.0.0.1", "--device", "cpu"]
main()
"""


@pytest.fixture
def model(demo_cache: Path) -> Path:
    """The demo's real model, as a directory."""
    return next(demo_cache.rglob(smollm2.NAME))


@pytest.fixture
def server(model: Path, tmp_path: Path) -> Iterator[RealServer]:
    """A server that does not listen before it has loaded its model; there is no cache for it to list."""
    port = closed_port()
    with started(SERVE, str(model), str(port), port=port, root=tmp_path, HF_HOME=str(tmp_path)) as found:
        yield found


def test_from_its_start_to_its_end(server: RealServer, model: Path) -> None:
    server.wait_until_it_listens()
    assert server.codes(str(model)) == []
    (missing,) = server.findings("tiny")
    assert missing.code == "service-model-missing"
    assert "Server is pinned to" in missing.message

    server.signal(signal.SIGSTOP)
    assert server.codes(str(model), list_s=1.5) == ["service-hung"]
    server.signal(signal.SIGCONT)
    assert server.codes(str(model)) == []

    server.signal(signal.SIGKILL)
    assert server.codes(str(model)) == ["service-down"]
