"""What mends a JSON file that is there whole, and that a reader refuses for its encoding or for one slip of a hand."""

from __future__ import annotations

import codecs
import dataclasses

from sage_doctor.readers.json_object import parse_json_object
from sage_doctor.report import Fix
from sage_doctor.subjects.model import Model
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start
from sage_doctor.text import printable, shell_quote

_MOST_BYTES = 32 * 1024 * 1024
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def corrected(model: Model, name: str, line: int, back: Fix) -> Fix:
    """Return how to mend the file `name`, which is no valid JSON at `line`; `back` where it must be had again."""
    path = model.path / name
    if model.hub is not None:
        return back  # a file of the cache is what was published, or broken: never edited
    try:
        raw = read_start(path, min(inspect_path(path).size, _MOST_BYTES))
    except UnreadableFile:
        return back
    encoding = next((e for mark, e in _MARKS.items() if raw.startswith(mark)), None)
    if encoding is not None:
        try:
            plain = raw.decode(encoding).encode()
        except UnicodeDecodeError:
            return back
        if parse_json_object(name, plain).value is None:
            return back
        code = (
            "import sys; p, e = sys.argv[1:]; t = open(p, encoding=e).read(); open(p, 'w', encoding='utf-8').write(t)"
        )
        command = f"{shell_quote(model.host.session.executable)} -c {shell_quote(code)} {shell_quote(path)} {encoding}"
        what = "without the byte-order mark" if encoding == "utf-8-sig" else "as UTF-8"
        return Fix(summary=f"Save {printable(name)} again {what}: nothing else is wrong with it.", commands=(command,))
    text = raw.rstrip()
    if not line or not text.startswith(b"{") or not text.endswith(b"}"):
        return back
    return dataclasses.replace(
        back,
        summary=f"Correct {printable(name)} by hand at line {line} or just before it (JSON has no comments, no comma "
        f"after the last entry, and double quotes only). If it cannot be corrected: {back.summary}",
    )
