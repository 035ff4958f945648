"""What the safetensors library says of files. Run by path, by an interpreter that has it, and by that one's version.

Standard library, safetensors and numpy only, Python 3.8 or newer, and nothing of sage-doctor. Standard input holds a
JSON list of paths. The first line printed is about the library, each further one about a file, so that the file that
ends the process is the one after the last line.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from typing import Any, Iterable  # noqa: UP035 - Python 3.8


def digest_of_names(names: Iterable[str]) -> str:
    """Return one digest for the names of a file's tensors, whatever their order."""
    return hashlib.sha256(json.dumps(sorted(names)).encode("ascii")).hexdigest()


def verdict(path: str) -> dict[str, Any]:
    """Return the names that the library finds in a file, as a digest, or why it refuses the file."""
    from safetensors import safe_open  # noqa: PLC0415 - another interpreter's, see above

    try:
        with safe_open(path, framework="numpy") as file:
            return {"names": digest_of_names(file.keys())}
    except ImportError as error:  # numpy is broken, which says nothing of the file
        return {"unavailable": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    except BaseException as error:  # noqa: BLE001 - a panic of the library is no Exception
        return {"refused": f"{type(error).__name__}: {error}"}


def say(answer: dict[str, Any]) -> None:
    """Print one line, at once."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Answer for the paths on standard input."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [p for p in sys.path if os.path.abspath(p) != here]  # no module beside this one is meant
    try:
        import safetensors  # noqa: PLC0415
        from safetensors import safe_open  # noqa: F401, PLC0415
    except Exception as error:  # noqa: BLE001 - a broken installation raises anything, and says nothing of the files
        say({"unavailable": f"{type(error).__name__}: {error}"})
        return
    if importlib.util.find_spec("numpy") is None:
        say({"unavailable": "numpy, without which the library opens nothing, is not installed"})
        return
    say({"version": getattr(safetensors, "__version__", "")})
    for path in json.load(sys.stdin):
        say(verdict(path))


if __name__ == "__main__":
    main()
