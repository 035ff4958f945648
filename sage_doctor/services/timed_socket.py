"""A socket with a deadline for each read, however slowly bytes arrive."""

from __future__ import annotations

import io
import socket
import threading
import time
from typing import Any

from sage_doctor.services.endpoint import Endpoint, ServiceError
from sage_doctor.text import printable

_MOST_ADDRESSES = 4
_NO_HANDSHAKE = "accepts connections but does not begin an encrypted one in time: does it speak TLS?"
# How OpenSSL calls what a server sends that speaks plain HTTP, or something else.
_NOT_TLS = {
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
}


class Deadline:
    """The deadline of the next read: `until`, and no later than `idle_s` after it began. Raises `TimeoutError`.

    `run_until` is when the run's own time ends: what was not answered by then says nothing about the service.
    """

    def __init__(self, until: float, idle_s: float, run_until: float) -> None:
        self.until = until
        self.idle_s = idle_s
        self.run_until = run_until

    @property
    def run_is_over(self) -> bool:
        """Whether the run's own time is over; a timeout may end a little early."""
        return time.monotonic() >= self.run_until - 0.1

    def remaining_s(self) -> float:
        """Return how long the next read may take, in seconds."""
        left = min(self.idle_s, self.until - time.monotonic())
        if left <= 0:
            raise TimeoutError("the time for the whole answer is over")
        return left


class _TimedReader(io.RawIOBase):
    """The bytes of a socket, each read bounded by the deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.remaining_s())
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        super().close()
        self._sock.close()


class TimedSocket:
    """A connected socket as `http.client` needs it, whose reads and writes end at the deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        self._read = False

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a reader. Closing it closes the connection."""
        self._read = True
        return io.BufferedReader(_TimedReader(self._sock, self._deadline))

    def sendall(self, data: bytes) -> None:
        """Send all of it before the deadline's end."""
        self._sock.settimeout(self._deadline.remaining_s())
        self._sock.sendall(data)

    def close(self) -> None:
        """Close the connection, unless a reader is open: `http.client` closes the socket before it reads the body."""
        if not self._read:
            self._sock.close()


def connect(endpoint: Endpoint, deadline: Deadline) -> TimedSocket:
    """Return a connection. Raises `ServiceError` where nothing accepts one before the deadline's end."""
    where = f"{printable(endpoint.host, limit=100)}:{endpoint.port}"
    reason = ""
    for family, address in _addresses(endpoint, deadline)[:_MOST_ADDRESSES]:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(deadline.remaining_s())
            sock.connect(address)
            return TimedSocket(_encrypted(sock, endpoint, deadline) if endpoint.tls else sock, deadline)
        except TimeoutError as error:
            sock.close()
            if deadline.run_is_over:
                raise ServiceError("unfinished", "had not accepted a connection") from error
            if str(address[0]).startswith(("127.", "::1")):
                # Only a program that takes none out of its full queue is so slow within one machine.
                raise ServiceError("silent", "listens and does not accept connections any more") from error
            reason = reason or "no connection in time"
        except OSError as error:
            sock.close()
            reason = printable(error.strerror or str(error), limit=200)
        except BaseException:
            sock.close()
            raise
    raise ServiceError("down", f"accepts no connection at {where}: {reason}", address=where, reason=reason)


def _encrypted(sock: socket.socket, endpoint: Endpoint, deadline: Deadline) -> socket.socket:
    import ssl  # noqa: PLC0415 - services on this machine speak plain HTTP

    sock.settimeout(deadline.remaining_s())
    try:
        return ssl.create_default_context().wrap_socket(sock, server_hostname=endpoint.host)
    except TimeoutError as error:
        kind, what = ("unfinished", "had not answered") if deadline.run_is_over else ("silent", _NO_HANDSHAKE)
        raise ServiceError(kind, what, tls="no handshake") from error  # type: ignore[arg-type]
    except ssl.SSLCertVerificationError as error:
        message = f"has a certificate that is not trusted here: {printable(error.verify_message, limit=200)}"
        evidence = {"reason": "certificate", "verify_code": error.verify_code, "verify_message": error.verify_message}
        raise ServiceError("tls", message, **evidence) from error
    except ssl.SSLError as error:
        if error.reason in _NOT_TLS:
            raise ServiceError("foreign", "does not speak TLS: is the URL's https right?") from error
        reason = printable((error.reason or str(error)).replace("_", " ").lower(), limit=200)
        raise ServiceError("tls", f"breaks off the encrypted connection: {reason}", reason="handshake") from error


def _addresses(endpoint: Endpoint, deadline: Deadline) -> list[tuple[Any, Any]]:
    """Return families and addresses of the host. A resolver cannot be interrupted, so a thread waits for it."""
    found: list[tuple[Any, Any]] = []
    problem: list[str] = []

    def resolve() -> None:
        try:
            answers = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            problem.append(printable(getattr(error, "strerror", None) or str(error), limit=200))
        else:
            found.extend((family, address) for family, _, _, _, address in answers)

    thread = threading.Thread(target=resolve, name="resolve", daemon=True)
    thread.start()
    thread.join(deadline.remaining_s())
    if not found:
        why = problem[0] if problem else "no answer in time"
        host = printable(endpoint.host, limit=100)
        raise ServiceError("down", f"has a host that cannot be found: {host} ({why})", host=endpoint.host)
    return found
