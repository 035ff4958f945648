"""What arrives over HTTP is read as servers send it: any end of a line, and compressed in each way."""

from __future__ import annotations

import gzip
import http.client
import io
import time
import zlib
from typing import Any

import pytest

from sage_doctor.services.endpoint import Endpoint, ServiceError
from sage_doctor.services.http_request import Reply
from sage_doctor.services.timed_socket import Deadline

BODY = b'event: error\r\ndata: {"a": 1}\r\n\r\ndata: [DONE]\r\n'
LINES = ["event: error", 'data: {"a": 1}', "", "data: [DONE]"]


class Wire(io.BytesIO):
    def makefile(self, *_: Any) -> Wire:
        return self


def reply(body: bytes, encoding: str = "", *, step: int = 1 << 16) -> Reply:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\n\r\n".encode()
    response = http.client.HTTPResponse(Wire(head + body))  # type: ignore[arg-type]
    response.begin()
    read1 = response.read1
    response.read1 = lambda n=-1: read1(min(n, step))  # type: ignore[method-assign]
    now = time.monotonic()
    return Reply(response, Deadline(now + 60, 60, now + 60), Endpoint(url="http://127.0.0.1:1"))


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"], ids=["crlf", "lf", "cr"])
@pytest.mark.parametrize("step", [1, 7, 1 << 16])
def test_lines_end_as_server_sent_events_may(end: bytes, step: int) -> None:
    assert list(reply(BODY.replace(b"\r\n", end), step=step).lines()) == LINES


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    "encoding, pack", [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)]
)
def test_what_is_compressed_is_unpacked(encoding: str, pack: Any) -> None:
    assert list(reply(pack(BODY), encoding).lines()) == LINES


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_is_not_compressed_as_it_says_is_refused(encoding: str) -> None:
    with pytest.raises(ServiceError, match="not compressed as it says"):
        reply(b"\xff{}", encoding).body()
