"""What a traceback of Python says by itself: which code raised, where, and what it was doing."""

from __future__ import annotations

import builtins
import re
from typing import Final

from sage_doctor.findings.declaration import RAISED
from sage_doctor.text import printable

# As Python writes a frame, as IPython does, and as older ones and rich do; what a page makes of a path may be around.
_FRAME = re.compile(
    r"File \"(?P<file>[^\"\n]{1,400})\", line (?P<line>\d{1,7})(?:, in (?P<function>[^\s(]{1,100}))?"
    r"|File [(\[]?(?P<file2>[^\s:\]]{1,400}\.py)\]?[^\s:]{0,400}:(?P<line2>\d{1,7})[^\s,]{0,400}, in "
    r"(?P<function2>[\w.<>]{1,100})"
    r"|^\W{0,10}(?P<file3>[^\s\]│]{1,400}\.py)(?:\]\([^)\s]{1,400}\))?(?::(?P<line3>\d{1,7}))? in "
    r"(?P<function3>[\w.<>]{1,100})",
    re.MULTILINE,
)
_PACKAGE = re.compile(r"(?:.*[/\\])?(?:site|dist)-packages[/\\]{1,2}(?P<name>[\w-]{1,80})")
_NAMES: Final = sorted(
    name
    for name, one in vars(builtins).items()
    if isinstance(one, type) and issubclass(one, Exception) and not issubclass(one, Warning)
)
# Any exception: Python's own by their names, and those that a package keeps where packages do.
MESSAGES: Final = (
    *(rf"{RAISED}\b{name}\b(: |$)" for name in _NAMES if name not in ("EnvironmentError", "IOError")),
    *(rf"{RAISED}\b{module}\.\w{{1,80}}(: |$)" for module in ("exceptions", "errors", "_errors")),
)


def told(before: str, message: str) -> str:
    """Return the sentence that says who raised an exception, from the text before it and its line from its class on."""
    frames = list(_FRAME.finditer(before))
    if not frames:
        return ""
    found = {k.rstrip("23"): v for k, v in frames[-1].groupdict().items() if v}
    file = found["file"]
    package = _PACKAGE.match(file)
    if "transformers_modules" in file:
        who = "The model's own code"
    else:
        who = f"The package {package['name']}" if package else "The program"
    where = file.replace("\\", "/").rpartition("/")[2] + (f", line {found['line']}" if "line" in found else "")
    doing = f", in {found['function']}" if "function" in found else ""
    return printable(f"{who} raised {message.partition(':')[0]} ({where}{doing})", limit=300)
