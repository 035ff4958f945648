"""A hub on this machine: as much of its HTTP as `snapshot_download` asks for, over real connections."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "b" * 40


@dataclass
class Hub:
    """One repository, served from a directory. `asked` are the requests, as they came."""

    repo: str
    directory: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[bytes, str] | None:
        """Return body and ETag for a path, None where there is nothing."""
        if path.startswith(f"/api/models/{self.repo}/revision/"):
            return json.dumps({"id": self.repo, "sha": COMMIT, "siblings": []}).encode(), ""
        if path.startswith(f"/api/models/{self.repo}/tree/"):
            return json.dumps(self.tree()).encode(), ""
        file = self.directory / path.rsplit("/", 1)[1]
        if path.startswith(f"/{self.repo}/resolve/") and file.is_file():
            return file.read_bytes(), f'"{etag(file)}"'
        return None

    def tree(self) -> list[dict[str, object]]:
        return [
            {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": etag(p)}
            for p in sorted(self.directory.iterdir())
        ]


def etag(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve the repository until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(hub))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def handler_of(hub: Hub) -> type[BaseHTTPRequestHandler]:
    """Return what answers for a hub."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            found = hub.answer(self.path.partition("?")[0])
            if found is None:
                self.send(b"", body=body, status=404)
            else:
                self.send(found[0], body=body, etag=found[1])

        def send(self, data: bytes, *, body: bool, status: int = 200, etag: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("X-Repo-Commit", COMMIT)
            if etag:
                self.send_header("ETag", etag)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
