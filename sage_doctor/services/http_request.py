"""One request and its answer over HTTP, bounded in time and bytes. No proxy is used and no redirect followed."""

from __future__ import annotations

import codecs
import contextlib
import http.client
import json
import re
import time
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, cast

from sage_doctor.services.endpoint import Endpoint, ServiceError, Timeouts
from sage_doctor.services.timed_socket import Deadline, connect
from sage_doctor.text import printable

MOST_BYTES = 4_000_000  # a list of ten thousand models has a fifth of it
MOST_LINE = 1_000_000
_STEP = 65_536
_TLS_ALERT = "\x15\x03"  # how a server that expects TLS answers a request without
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")  # of server-sent events; what follows the last \r is not known yet
_CUT_OFF = "closed the connection in the middle of its answer"


class Reply:
    """A response whose status line and headers have arrived."""

    def __init__(self, response: http.client.HTTPResponse, deadline: Deadline, endpoint: Endpoint) -> None:
        self._response = response
        self._deadline = deadline
        self._endpoint = endpoint
        self._received = 0
        # Not asked for, but some proxies compress all the same.
        self._encoding = (response.getheader("Content-Encoding") or "").lower()
        self._unpack = zlib.decompressobj(wbits=47) if self._encoding in ("gzip", "deflate") else None
        self.status = response.status
        self.content_type = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
        self.asks_for_password = (response.getheader("WWW-Authenticate") or "").lower().startswith("basic")
        self.location = response.getheader("Location") or ""
        self.server = printable(endpoint.without_key(response.getheader("Server") or ""), limit=60)
        self.arrived = self._started = time.monotonic()

    @property
    def succeeded(self) -> bool:
        """Whether the status is one of success; frameworks for gateways answer a POST with 201."""
        return 200 <= self.status < 300

    @property
    def still_coming(self) -> bool:
        """Whether the time for the whole answer is over while chunks were still arriving."""
        now = time.monotonic()
        return now >= self._deadline.until and (now - self.arrived) * 3 < now - self._started

    def set_idle_timeout(self, idle_s: float) -> None:
        """Wait at most that many seconds for each further chunk."""
        self._deadline.idle_s = idle_s

    def chunks(self) -> Iterator[bytes]:
        """Yield the chunks of the body; `arrived` is when the last one came. Raises `ServiceError`."""
        while True:
            with _as_service_error(self._endpoint, self._deadline):
                chunk = self._response.read1(_STEP)
            self.arrived = time.monotonic()
            self._received += len(chunk)
            if self._received > MOST_BYTES:
                raise ServiceError("foreign", f"sends more than {MOST_BYTES:,} bytes", bytes=self._received)
            if not chunk:
                if self._response.length:
                    raise ServiceError("error", _CUT_OFF, bytes=self._received)
                return
            yield self._unpacked(chunk)

    def _unpacked(self, chunk: bytes) -> bytes:
        if self._unpack is None:
            return chunk
        try:
            plain = self._unpack.decompress(chunk, MOST_BYTES)
        except zlib.error as error:
            if self._encoding == "deflate" and self._received == len(chunk):  # without zlib's header, as some send it
                self._encoding, self._unpack = "", zlib.decompressobj(wbits=-zlib.MAX_WBITS)
                return self._unpacked(chunk)
            raise ServiceError("foreign", "sends something that is not compressed as it says") from error
        self._received += len(plain)
        if self._unpack.unconsumed_tail:
            raise ServiceError("foreign", f"sends more than {MOST_BYTES:,} bytes", bytes=self._received)
        return plain

    def body(self) -> str:
        """Return the body as text, without the byte-order mark that clients pass over too. Raises `ServiceError`."""
        return b"".join(self.chunks()).decode("utf-8-sig", "replace")

    def lines(self) -> Iterator[str]:
        """Yield the lines of the body, without their ends. Raises `ServiceError`."""
        rest = b""
        for number, chunk in enumerate(self.chunks()):
            chunk = chunk.removeprefix(codecs.BOM_UTF8) if number == 0 else chunk  # noqa: PLW2901
            *whole, rest = _LINE_END.split(rest + chunk)
            for line in whole:
                yield line.decode("utf-8", "replace")
            if len(rest) > MOST_LINE:
                raise ServiceError("foreign", f"sends a line of more than {MOST_LINE:,} bytes")
        if rest:
            yield rest.decode("utf-8", "replace").rstrip("\r")


@contextlib.contextmanager
def http_request(
    endpoint: Endpoint,
    path: str,
    timeouts: Timeouts,
    *,
    all_s: float,
    idle_s: float,
    body: Mapping[str, Any] | None = None,
) -> Iterator[Reply]:
    """Send one request (POST if there is a body) and yield the response. Raises `ServiceError`.

    The whole takes no more than `all_s` seconds, and each wait within it no more than `idle_s`.
    """
    deadline = Deadline(timeouts.within(timeouts.connect_s), timeouts.connect_s, timeouts.until)
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port)
    headers = {"Accept": "application/json, text/event-stream, application/x-ndjson", "Accept-Encoding": "identity"}
    headers |= {"User-Agent": "sage-doctor", "Connection": "close"}
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    data = response = None
    if body is not None:
        data = json.dumps(body).encode("ascii")
        headers["Content-Type"] = "application/json"
    try:
        with _as_service_error(endpoint, deadline):
            connection.sock = cast("Any", connect(endpoint, deadline))
            deadline.until, deadline.idle_s = timeouts.within(all_s), idle_s
            connection.request("POST" if data is not None else "GET", path, data, headers)
            response = connection.getresponse()
        yield Reply(response, deadline, endpoint)
    finally:
        connection.close()
        if response is not None:
            response.close()


@contextlib.contextmanager
def _as_service_error(endpoint: Endpoint, deadline: Deadline) -> Iterator[None]:
    """Turn the library's exceptions into `ServiceError`. Their messages may contain anything, so few are shown."""
    try:
        yield
    except TimeoutError as error:
        if deadline.run_is_over:
            raise ServiceError("unfinished", "had not answered") from error
        raise ServiceError("silent", "accepts connections but does not answer in time") from error
    except http.client.RemoteDisconnected as error:
        raise ServiceError("down", "closes each connection without an answer", reason="closed") from error
    except http.client.IncompleteRead as error:
        raise ServiceError("error", _CUT_OFF) from error
    except http.client.HTTPException as error:
        if str(error).startswith(_TLS_ALERT):
            raise ServiceError("foreign", "speaks TLS, so the URL has to begin with https://") from error
        shown = printable(endpoint.without_key(str(error)), limit=120)
        raise ServiceError(
            "foreign", f"answers something that is not HTTP ({type(error).__name__}: {shown})"
        ) from error
    except ConnectionError as error:
        raise ServiceError(
            "down", f"broke the connection: {printable(error.strerror or 'reset')}", reason="closed"
        ) from error
    except OSError as error:
        raise ServiceError(
            "down", f"cannot be reached: {printable(error.strerror or str(error), limit=200)}"
        ) from error
    except ValueError as error:
        # A chunk size that is not a number, for example.
        raise ServiceError("foreign", "answers something that is not HTTP") from error


def error_body(reply: Reply) -> str:
    """Return the body of an error response, empty where none arrives."""
    try:
        return reply.body()
    except ServiceError:
        return ""


def error_text(reply: Reply, endpoint: Endpoint) -> str:
    """Return the text of an error response, on one line, safe to show."""
    return excerpt(error_body(reply), endpoint)


def excerpt(text: str, endpoint: Endpoint) -> str:
    """Return the beginning of an error's text, or what its JSON says, safe to show; a web page only as such."""
    start = text.lstrip()[:300].lower()
    if start.startswith(("<!doctype", "<html", "<?xml", "<head", "<body")):
        return "a web page"
    message = text
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(text)
        message = error_message(value) or (_message_in(value) if isinstance(value, dict) else None) or text
    return printable(endpoint.without_key(" ".join(message.split())), limit=300)


def _message_in(value: dict[str, Any]) -> str | None:
    return next((v for key in ("message", "msg") if isinstance(v := value.get(key), str) and v), None)


def error_message(value: object) -> str | None:
    """Return the message in an error object of any of these APIs, or None if the value is not an error."""
    if not isinstance(value, dict):
        return None
    for key in ("error", "detail"):
        found = value.get(key)
        if isinstance(found, dict):
            found = _message_in(found) or error_message(found) or json.dumps(found)
        if found:
            return found if isinstance(found, str) else json.dumps(found)
    message = value.get("message")
    # The whole of it is the error: vLLM's old form, and what llama.cpp writes behind `error:`.
    if value.get("object") == "error" or (isinstance(message, str) and ("code" in value or "error_type" in value)):
        return str(message or "an error without a message")
    return None
