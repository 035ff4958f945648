"""Hashes of large files: computed in parallel, and cached while the fingerprint of the file stays the same."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.known_hash import Algorithm, algorithm_of
from sage_doctor.system.atomic_write import replace_file
from sage_doctor.system.fingerprint import Fingerprint
from sage_doctor.system.path_info import UnreadableFile
from sage_doctor.system.trust import is_trusted

Progress = Callable[[int], None]

_BLOCK = 1 << 22  # hashed in three milliseconds, for which no other thread is kept waiting
_VERSION = 2
_MOST_ENTRIES = 10_000
_CACHE_BYTES = 16 * 1024 * 1024
# A file changed twice within the clock's grain keeps its times; like Git, trust only times that lie well back.
_RACY_NS = 2_000_000_000


def hash_files(
    requests: Iterable[tuple[Path, Algorithm]],
    *,
    cache: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[tuple[Path, Algorithm], str | UnreadableFile]:
    """Return the hash of each file in hex, or why it could not be read. Never raises for what a disk may hold.

    `cache` is the file that remembers; None remembers nothing. `progress` is called from any thread
    with the number of bytes just dealt with, read or remembered.
    """
    wanted = list(dict.fromkeys(requests))
    remembered = _HashCache(cache)

    def one(request: tuple[Path, Algorithm]) -> str | UnreadableFile:
        try:
            return _hash(*request, remembered, progress)
        except UnreadableFile as error:
            return error

    if not wanted:
        return {}
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - a static run hashes nothing

    with ThreadPoolExecutor(max_workers=min(len(wanted), workers or os.cpu_count() or 1)) as pool:
        results = dict(zip(wanted, pool.map(one, wanted), strict=True))
    remembered.save()
    return results


def hash_file(path: Path, algorithm: Algorithm = "sha256") -> str:
    """Return the hash of one file in hex, without a cache. Raises `UnreadableFile`."""
    return _hash(path, algorithm, _HashCache(None), None)


def _hash(path: Path, algorithm: Algorithm, remembered: _HashCache, progress: Progress | None) -> str:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise UnreadableFile(_reason(error)) from error
    try:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise UnreadableFile("not a file")
        known = remembered.find(path, before, algorithm)
        if known is not None:
            if progress is not None:
                progress(before.st_size)
            return known
        started = time.time_ns()
        digest = _digest(handle, before.st_size, algorithm, progress)
        if Fingerprint.of(before) != Fingerprint.of(os.fstat(handle)):
            raise UnreadableFile("changed while it was being read")
    finally:
        os.close(handle)
    if started - max(before.st_mtime_ns, before.st_ctime_ns) > _RACY_NS:
        remembered.add(path, before, algorithm, digest)
    return digest


def _digest(handle: int, size: int, algorithm: Algorithm, progress: Progress | None) -> str:
    digest = hashlib.sha256() if algorithm == "sha256" else hashlib.sha1(usedforsecurity=False)
    if algorithm == "git-sha1":
        digest.update(b"blob %d\0" % size)
    block = memoryview(bytearray(min(_BLOCK, size + 1)))
    try:
        with open(handle, "rb", buffering=0, closefd=False) as file:
            left = size
            while count := file.readinto(block):
                left -= count
                if left < 0:  # a file that somebody keeps writing would never end
                    raise UnreadableFile("changed while it was being read")
                digest.update(block[:count])
                if progress is not None:
                    progress(count)
    except UnreadableFile:
        raise
    except OSError as error:
        raise UnreadableFile(_reason(error)) from error
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    return os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else str(error)


class KnownHashes:
    """The sha256 of files whose fingerprint is still the one they were hashed with. Nothing is hashed."""

    def __init__(self, cache: Path) -> None:
        self._remembered = _HashCache(cache)

    def get(self, path: Path) -> str | None:
        """Return the hash of a file in hex; None where it is not known, or there is no such file."""
        try:
            return self._remembered.find(path, os.stat(path), "sha256")
        except (OSError, ValueError):
            return None


class _HashCache:
    """The hashes of earlier runs. A broken cache is an empty one; one that cannot be written is not written."""

    def __init__(self, cache: Path | None) -> None:
        self._cache = cache
        self._entries = _load(cache)
        self._added: dict[str, dict[str, object]] = {}
        self._lock = threading.Lock()

    def find(self, path: Path, status: os.stat_result, algorithm: Algorithm) -> str | None:
        entry = self._entries.get(os.path.realpath(path))
        if not isinstance(entry, dict) or entry.get("fingerprint") != [*Fingerprint.of(status)]:
            return None
        digest = entry.get(algorithm)
        return digest if isinstance(digest, str) and algorithm_of(digest) == algorithm else None

    def add(self, path: Path, status: os.stat_result, algorithm: Algorithm, digest: str) -> None:
        if self._cache is None:
            return
        name = os.path.realpath(path)
        with self._lock:  # two algorithms of one file may end at the same time
            entry = self._added.get(name) or self._entries.get(name)
            if not isinstance(entry, dict) or entry.get("fingerprint") != [*Fingerprint.of(status)]:
                entry = {"fingerprint": [*Fingerprint.of(status)]}
            self._added[name] = {**entry, algorithm: digest}

    def save(self) -> None:
        """Write what is new, over what other runs have written in the meantime, at once or not at all."""
        if self._cache is None or not self._added or not is_trusted(self._cache):
            return
        entries = {k: v for k, v in _load(self._cache).items() if k not in self._added} | self._added
        kept = dict(list(entries.items())[-_MOST_ENTRIES:])
        text = json.dumps({"version": _VERSION, "files": kept})
        with contextlib.suppress(OSError):
            self._cache.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(self._cache, text.encode("ascii"), mode=0o600, durable=False)


def _load(cache: Path | None) -> dict[str, object]:
    known = cache is not None and is_trusted(cache)  # a hash that another user wrote would vouch for any bytes
    value = read_json_object(cache, most=_CACHE_BYTES).value if cache is not None and known else None
    files = value.get("files") if value is not None and value.get("version") == _VERSION else None
    return files if isinstance(files, dict) else {}
