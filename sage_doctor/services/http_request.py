"""One request and its answer over HTTP, bounded in time and bytes. No proxy is used and no redirect followed."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast

from sage_doctor.services.endpoint import Endpoint, Timeouts, Troubled
from sage_doctor.services.wire import Deadline, connect
from sage_doctor.text import printable

MOST_BYTES = 4_000_000  # a list of ten thousand models has a fifth of it
MOST_LINE = 1_000_000
_STEP = 65_536


class Reply:
    """An answer whose status line and headers are there. `wait` says how long what follows may take."""

    def __init__(self, response: http.client.HTTPResponse, deadline: Deadline, endpoint: Endpoint) -> None:
        self._response = response
        self._deadline = deadline
        self._endpoint = endpoint
        self._taken = 0
        self.status = response.status
        self.content_type = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
        self.location = response.getheader("Location") or ""
        self.arrived = self._begun = time.monotonic()

    @property
    def still_coming(self) -> bool:
        """Whether the time for the whole answer is over, and pieces of it were coming until then."""
        now = time.monotonic()
        return now >= self._deadline.until and (now - self.arrived) * 3 < now - self._begun

    def wait(self, idle_s: float) -> None:
        """Wait that many seconds at most for each of the pieces from now on."""
        self._deadline.idle_s = idle_s

    def pieces(self) -> Iterator[bytes]:
        """Give what comes, as it comes; `arrived` is when the last piece did. Raises `Troubled`."""
        while True:
            with _told(self._endpoint):
                piece = self._response.read1(_STEP)
            self.arrived = time.monotonic()
            self._taken += len(piece)
            if self._taken > MOST_BYTES:
                raise Troubled("foreign", f"sends more than {MOST_BYTES:,} bytes, and does not end", bytes=self._taken)
            if not piece:
                if self._response.length:
                    raise Troubled("error", "closed the connection in the midst of its answer", bytes=self._taken)
                return
            yield piece

    def body(self) -> str:
        """Return all of it as text. Raises `Troubled`."""
        return b"".join(self.pieces()).decode("utf-8", "replace")

    def lines(self) -> Iterator[str]:
        """Give its lines as they come, without their ends. Raises `Troubled`."""
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "replace").rstrip("\r")
            if len(rest) > MOST_LINE:
                raise Troubled("foreign", f"sends a line of more than {MOST_LINE:,} bytes")
        if rest:
            yield rest.decode("utf-8", "replace")


@contextlib.contextmanager
def http_request(
    endpoint: Endpoint,
    path: str,
    patience: Timeouts,
    *,
    all_s: float,
    idle_s: float,
    body: Mapping[str, Any] | None = None,
) -> Iterator[Reply]:
    """Send one request, POST where there is a body, and give the answer. Raises `Troubled`.

    The whole takes no more than `all_s` seconds, and each wait within it no more than `idle_s`.
    """
    deadline = Deadline(patience.within(patience.connect_s), patience.connect_s)
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
        with _told(endpoint):
            connection.sock = cast("Any", connect(endpoint, deadline))
            deadline.until, deadline.idle_s = patience.within(all_s), idle_s
            connection.request("POST" if data is not None else "GET", path, data, headers)
            response = connection.getresponse()
        yield Reply(response, deadline, endpoint)
    finally:
        connection.close()
        if response is not None:
            response.close()


@contextlib.contextmanager
def _told(endpoint: Endpoint) -> Iterator[None]:
    """Turn what the library raises into trouble; its messages may hold anything, so few of them are shown."""
    try:
        yield
    except TimeoutError as error:
        raise Troubled("silent", "takes connections and does not answer in time") from error
    except http.client.RemoteDisconnected as error:
        raise Troubled("down", "closes each connection without an answer") from error
    except http.client.IncompleteRead as error:
        raise Troubled("error", "closed the connection in the midst of its answer") from error
    except http.client.HTTPException as error:
        shown = printable(endpoint.without_key(str(error)), limit=120)
        raise Troubled("foreign", f"answers something that is not HTTP ({type(error).__name__}: {shown})") from error
    except ConnectionError as error:
        raise Troubled("down", f"broke the connection: {printable(error.strerror or 'reset')}") from error
    except OSError as error:
        raise Troubled("down", f"cannot be reached: {printable(error.strerror or str(error), limit=200)}") from error
    except ValueError as error:
        # A size of a chunk that is no number, and the like.
        raise Troubled("foreign", "answers something that is not HTTP") from error


def refuse(reply: Reply, endpoint: Endpoint, path: str) -> None:
    """Raise `Troubled` for a status that every request has in common; return for the others."""
    if reply.status in (401, 403):
        asked = "with the key it was sent" if endpoint.key else "without a key"
        raise Troubled("key", f"refuses to answer {asked} (HTTP {reply.status})", status=reply.status)
    if 300 <= reply.status < 400:
        to = printable(endpoint.without_key(reply.location), limit=200) or "nowhere"
        raise Troubled(
            "foreign",
            f"sends {path} on to {to} (HTTP {reply.status}), and no redirect is followed",
            status=reply.status,
        )


def said(reply: Reply, endpoint: Endpoint) -> str:
    """Return what a body that is no success says, on one line, safe to show."""
    try:
        text = reply.body()
    except Troubled:
        return ""
    return shown(text, endpoint)


def shown(text: str, endpoint: Endpoint) -> str:
    """Return the beginning of an error's text, or what its JSON says, safe to show; a web page only as such."""
    start = text.lstrip()[:300].lower()
    if start.startswith(("<!doctype", "<html", "<?xml", "<head", "<body")):
        return "a web page"
    message = text
    with contextlib.suppress(ValueError, RecursionError):
        message = error_of(json.loads(text)) or text
    return printable(endpoint.without_key(" ".join(message.split())), limit=300)


def error_of(value: object) -> str | None:
    """Return the message in an error object of any of these APIs, or None where the value is no error."""
    if not isinstance(value, dict):
        return None
    for key in ("error", "detail"):
        found = value.get(key)
        if isinstance(found, dict):
            found = found.get("message") or json.dumps(found)
        if found:
            return found if isinstance(found, str) else json.dumps(found)
    if value.get("object") == "error":
        return str(value.get("message") or "an error without a message")
    return None
