"""Reads the type of a file from its first bytes: a weight file's name often hides something else."""

from __future__ import annotations

SAFETENSORS = "a safetensors file"
TORCH_ARCHIVE = "a zip archive (the form of a PyTorch pickle)"
PICKLE = "a Python pickle"
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer"),
    (b"GGUF", "a GGUF model"),
    (b"PK\x03\x04", TORCH_ARCHIVE),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x80\x02", PICKLE),
    (b"\x80\x03", PICKLE),
    (b"\x80\x04", PICKLE),
    (b"\x80\x05", PICKLE),
    (b"\x7fELF", "a program"),
)
_MOSTLY_TEXT = 0.97


def describe_content(start: bytes, size: int) -> str:
    """Return what a file with these first bytes is (`an HTML page`), or an empty string where nothing tells."""
    for magic, what in _STARTS:
        if start.startswith(magic):
            return what
    if size >= 8 and not start.strip(b"\0"):
        return "a file of zero bytes"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "an HTML page" if not text.startswith(b"<?xml") else "an XML document"
    if len(start) >= 8 and _texty(start):
        return "a JSON text" if text[:1] in (b"{", b"[") else "a text"
    return ""


def _texty(start: bytes) -> bool:
    plain = sum(1 for b in start if 0x20 <= b < 0x7F or b in b"\t\r\n")
    return plain / len(start) >= _MOSTLY_TEXT
