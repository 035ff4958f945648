import gzip
import io
import pickle
import zipfile

import pytest

from sage_doctor.readers.signature import describe_content


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    return buffer.getvalue()


KNOWN = [
    ("a Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\n"),
    ("a GGUF model", b"GGUF\x03\0\0\0"),
    ("a zip archive (the form of a PyTorch pickle)", zipped()),
    ("a gzip archive", gzip.compress(b"weights", mtime=0)),
    ("a Python pickle", pickle.dumps({"a": 1}, protocol=2)),
    ("a Python pickle", pickle.dumps({"a": 1}, protocol=4)),
    ("an HTML page", b"\xef\xbb\xbf\n  <!DOCTYPE HTML><html>"),
    ("an HTML page", b"<html>"),
    ("an XML document", b'<?xml version="1.0"?><Error/>'),
    ("a JSON text", b'{"error": "Entry not found"}'),
    ("a JSON text", b'\n[{"error": 1}]'),
    ("a text", b"Entry not found\n"),
    ("a file of zero bytes", bytes(8)),
]


@pytest.mark.parametrize("what, start", KNOWN)
def test_known_forms(what: str, start: bytes) -> None:
    assert describe_content(start[:512], len(start)) == what


@pytest.mark.parametrize("start", [b"", b"\0\0", b"x", b"\x0a\x0dhello\x12\x07", bytes(range(256))])
def test_what_nothing_tells(start: bytes) -> None:
    assert describe_content(start, len(start)) == ""
