"""Encrypted connections: which certificates are taken, and what is said about those that are not."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_doctor.report import Finding
from sage_doctor.services.endpoint import Endpoint, ServiceFailure, Timeouts
from sage_doctor.services.listing import Listing, list_models
from tests.checks.cases import Bench

HERE = Path(__file__).with_name("certificates")  # each with its key, and none of any use but here
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"data": [{"id": "tiny"}]}'


def serve(context: ssl.SSLContext | None, answer: bytes = ANSWER) -> Iterator[str]:
    """Answer every connection in a thread; yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def loop() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(client,), daemon=True).start()

        def one(client: socket.socket) -> None:
            try:
                if context is not None:
                    client = context.wrap_socket(client, server_side=True)
                client.recv(65536)
                client.sendall(answer)
            except OSError:
                pass
            finally:
                client.close()

        threading.Thread(target=loop, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server with the certificate that the test names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HERE / f"{request.param}.pem")
    yield from serve(context)


def ask(url: str) -> Listing | ServiceFailure:
    return list_models(Endpoint(url=url), Timeouts(until=time.monotonic() + 30))


def found(url: str, root: Path, **environ: str) -> Finding:
    bench = Bench(root=root, environ=environ)
    bench.manifest(f'[models.s]\nkind = "service"\nurl = "{url}"\nmodel = "tiny"\n', "s")
    (only,) = bench.run("check_service_reachable").findings
    assert only.code == "service-answer-invalid"
    return only


@pytest.mark.parametrize("address", ["ours"], indirect=True)
def test_ssl_cert_file_is_heeded(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(HERE / "ours.pem"))
    for name in (address, address.replace("127.0.0.1", "localhost")):
        assert isinstance(ask(f"https://{name}"), Listing)


@pytest.mark.parametrize("address", ["ours"], indirect=True)
def test_a_certificate_of_ones_own(address: str, tmp_path: Path) -> None:
    only = found(f"https://{address}", tmp_path)
    assert "a certificate that is not trusted here: self-signed certificate" in only.message
    assert "SSL_CERT_FILE" in only.fix.summary
    assert "now" not in only.fix.summary


@pytest.mark.parametrize("address", ["ours"], indirect=True)
def test_a_file_that_does_not_hold_it(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/ca.pem")
    only = found(f"https://{address}", tmp_path, SSL_CERT_FILE="/nonexistent/ca.pem")
    assert "It is /nonexistent/ca.pem now, which does not hold it." in only.fix.summary


@pytest.mark.parametrize("address", ["other"], indirect=True)
def test_a_certificate_for_another_name(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(HERE / "other.pem"))
    only = found(f"https://{address}", tmp_path)
    assert "IP address mismatch" in only.message
    assert "the name that the certificate is for" in only.fix.summary
    only = found(f"https://{address.replace('127.0.0.1', 'localhost')}", tmp_path)
    assert "Hostname mismatch" in only.message


@pytest.mark.parametrize("address", ["expired"], indirect=True)
def test_a_certificate_that_has_expired(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(HERE / "expired.pem"))
    only = found(f"https://{address}", tmp_path)
    assert "certificate has expired" in only.message
    assert "Renew" in only.fix.summary


def test_a_server_that_asks_for_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(HERE / "ours.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HERE / "ours.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    for address in serve(context):
        only = found(f"https://{address}", tmp_path)
        assert "breaks off the encrypted connection" in only.message
        assert "client certificate" in only.fix.summary


@pytest.mark.parametrize("answer", [ANSWER, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", b"-ERR unknown command\r\n", b""])
def test_a_server_without_tls(answer: bytes, tmp_path: Path) -> None:
    for address in serve(None, answer):
        only = found(f"https://{address}", tmp_path)
        assert "TLS" in only.message or "breaks off the encrypted connection" in only.message


def test_a_server_that_never_begins() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        timeouts = Timeouts(until=time.monotonic() + 30, connect_s=1.0)
        failure = list_models(Endpoint(url=url), timeouts)
        assert isinstance(failure, ServiceFailure)
        assert (failure.kind, "does not begin an encrypted one" in failure.message) == ("silent", True)


@pytest.mark.parametrize("address", ["ours"], indirect=True)
def test_a_server_with_tls_at_a_plain_url(address: str) -> None:
    failure = ask(f"http://{address}")
    assert isinstance(failure, ServiceFailure)
    assert (failure.kind, failure.message) in (
        ("foreign", "speaks TLS, so the URL has to begin with https://"),
        ("down", "closes each connection without an answer"),  # servers differ in whether they send the alert
        ("down", "broke the connection: Connection reset by peer"),
    )


def test_an_alert_of_tls() -> None:
    for address in serve(None, b"\x15\x03\x01\x00\x02\x02\x46"):
        failure = ask(f"http://{address}")
        assert isinstance(failure, ServiceFailure)
        assert "has to begin with https://" in failure.message
