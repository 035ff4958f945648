"""Reads the texts in a PyTorch pickle without unpickling it: its opcodes are listed, none is carried out."""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from pathlib import Path

from sage_doctor.system.frozen import frozen

_MOST_BYTES = 32 * 1024 * 1024
_MOST_OPCODES = 4_000_000
_MOST_DIRECTORY = 8 * 1024 * 1024  # of the archive: a line for each tensor
_TENSOR = re.compile(r"[A-Za-z_]\w*(?:\.\w+)+", re.ASCII)
_TEXTS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
# Keys under which trainers keep the weights beside what else they keep.
_HOLDERS = ("state_dict", "model_state_dict", "model", "module", "state", "model_state", "net", "ema", "params")


@frozen
class PickleNames:
    """The names of tensors in a pickle, and the key of the whole they lie under; empty where they lie at the top."""

    tensors: tuple[str, ...] = ()
    holder: str = ""


class _Bounded(io.FileIO):
    """A file of which no more is read at once: `zipfile` reads the whole list of members before it is asked."""

    most = _MOST_DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        """Read. Raises `ValueError` for more than may be read."""
        if size is not None and size > self.most:
            raise ValueError("too much")
        return super().read(-1 if size is None else size) or b""


def read_pickle_names(path: Path) -> PickleNames | None:
    """Return the names in the `.bin` file at `path`; None where it is not one that torch since 1.6 writes."""
    try:
        with _Bounded(path) as file, zipfile.ZipFile(file) as archive:
            file.most = _MOST_BYTES
            data = [m for m in archive.infolist() if m.filename.endswith("/data.pkl") and m.filename.count("/") == 1]
            if len(data) != 1 or data[0].file_size > _MOST_BYTES:
                return None
            if data[0].compress_type != zipfile.ZIP_STORED:  # torch never compresses, so that it can be mapped
                return None
            raw = archive.read(data[0])
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError):
        return None
    texts: list[str] = []
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(raw)):
            if count > _MOST_OPCODES:
                return None
            if opcode.name in _TEXTS and isinstance(argument, str):
                texts.append(argument)
    except (ValueError, IndexError, UnicodeDecodeError, OverflowError, KeyError):
        return None
    places = [n for n, text in enumerate(texts) if _TENSOR.fullmatch(text)]
    before = texts[: places[0]] if places else []
    holder = next((t for t in reversed(before) if t in _HOLDERS), "")
    return PickleNames(tensors=tuple(dict.fromkeys(texts[n] for n in places)), holder=holder)
