"""The field corpus: directories built after public reports, each with its source; one module a family.

A module here holds a `TABLE`, and is found by that: nothing else lists it. Each case is examined alone, as its owner
would, and tried with the real libraries by `test_truth.py`.
"""

from __future__ import annotations

import importlib
import pkgutil

from tests.corpus.builders.case import Table


def tables() -> list[Table]:
    """Return the table of every family, by name of its module."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [importlib.import_module(f"{__name__}.{name}").TABLE for name in names]
