"""llama.cpp's own server, with a real model: loading, answering, stopped and killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_doctor.demo.smollm2 import find_gguf

from .real_servers import RealServer, started
from .running import closed_port

SERVE = """
import xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.hostnames, p.port = sys.argv[1], ["127.0.0.1"], int(sys.argv[2])
p.model_alias = type(p.model_alias)(["smol", "tiny"])
p.n_ctx, p.n_parallel, p.warmup, p.cpuparams.n_threads = 256, 1, False, 1
server = xllamacpp.Server(p)
threading.Event().wait()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    """A server that has only begun to load its model."""
    port = closed_port()
    with started(SERVE, str(find_gguf()), str(port), port=port, root=tmp_path) as found:
        yield found


def test_from_its_start_to_its_end(server: RealServer) -> None:
    server.wait_until_it_listens()
    assert server.codes("tiny") == []  # an alias; it says "Loading model" until it has done so
    (ignored,) = server.findings("qwen2.5")
    assert (ignored.code, ignored.severity) == ("service-name-ignored", "warning")
    assert 'model = "smol"' in ignored.fix.summary

    server.signal(signal.SIGSTOP)
    assert server.codes("tiny", list_s=1.5) == ["service-hung"]
    server.signal(signal.SIGCONT)
    assert server.codes("tiny") == []

    server.signal(signal.SIGKILL)
    assert server.codes("tiny") == ["service-down"]
