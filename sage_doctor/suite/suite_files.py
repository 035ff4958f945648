"""Where the suite lies: beside the package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "_suite"
_ROOT = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent

CHECKS = _ROOT / "checks"
FIXTURES = _ROOT / "fixtures"
