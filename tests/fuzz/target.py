"""One reader under atheris: `python -m tests.fuzz.target READER [options of libFuzzer]`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["sage_doctor"]):
    from tests.fuzz import readers

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, lambda raw: readers.run(name, raw))
    atheris.Fuzz()
