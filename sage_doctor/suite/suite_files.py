"""Where the suite lies: beside the package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "_suite"
_ROOT = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent

CHECKS = _ROOT / "checks"
FIXTURES = _ROOT / "fixtures"

# The order in which families of checks run on one subject, causes before consequences.
FAMILIES = (
    "environment",
    "runners",
    "sessions",
    "paths",
    "hub_cache",
    "permissions",
    "weights",
    "config",
    "tokenizers",
    "adapters",
    "adapter_tensors",
    "packages",
    "memory",
    "integrity",
    "lock",
    "load",
    "generate",
    "services",
    "history",
)
