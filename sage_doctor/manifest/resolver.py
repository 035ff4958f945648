"""Resolving texts of the manifest: variables to values, texts to locations, and what cannot be resolved to problems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sage_doctor.manifest import locations
from sage_doctor.manifest.machines import report_unresolved
from sage_doctor.manifest.problems import Problems
from sage_doctor.manifest.specs import ModelPath
from sage_doctor.manifest.tables import RawValue
from sage_doctor.manifest.variables import Scope, Unresolved
from sage_doctor.text import printable

T = TypeVar("T")


@dataclass(frozen=True)
class Resolver:
    """Resolves texts for one machine. Each method returns None for a text without a value there.

    If it is `needed`, that is a problem. If not, a value that exists on other machines only is not a problem; the
    reason is added to `missing` if that is given.
    """

    scope: Scope
    directory: Path
    problems: Problems

    def text(self, value: RawValue, *, needed: bool = True, missing: list[str] | None = None) -> str | None:
        """Return the text with its variables filled in."""
        try:
            return self.scope.expand(value.text)
        except Unresolved as unresolved:
            if unresolved.local_only and not needed:
                if missing is not None:
                    missing.append(str(unresolved))
            else:
                report_unresolved(unresolved, value, self.scope, self.problems)
            return None

    def model(self, value: RawValue, *, needed: bool = True, missing: list[str] | None = None) -> ModelPath | None:
        """Return the text as the location of a model."""
        return self._place(locations.model_path, value, needed=needed, missing=missing)

    def path(self, value: RawValue, *, needed: bool = True) -> Path | None:
        """Return the text as an absolute path."""
        return self._place(locations.absolute, value, needed=needed)

    def glob(self, value: RawValue, *, needed: bool = True) -> str | None:
        """Return the text as a glob, without the manifest's directory: its name may contain a `[`."""
        return self._place(locations.glob, value, needed=needed)

    def url(self, value: RawValue, *, needed: bool = True, missing: list[str] | None = None) -> str | None:
        """Return the text as the address of a service."""
        text = self.text(value, needed=needed, missing=missing)
        if text is not None and locations.holds_credentials(text):
            self.problems.add(
                value.key,
                f"{value.label} contains a user or password; name the variable with the key as api_key_env",
            )
            return None
        try:
            return locations.service_url(text) if text is not None else None
        except locations.InvalidLocation as bad:
            self.problems.add(value.key, f"{value.label} '{printable(text or '', limit=200)}' {bad}")
            return None

    def interpreter(self, value: RawValue, *, needed: bool = True) -> Path | None:
        """Return the text as the path of a Python interpreter."""
        return self._place(locations.interpreter, value, needed=needed)

    def _place(
        self,
        make: Callable[[Path, str], T],
        value: RawValue,
        *,
        needed: bool = True,
        missing: list[str] | None = None,
    ) -> T | None:
        text = self.text(value, needed=needed, missing=missing)
        if text is None:
            return None
        try:
            if not text:
                raise locations.InvalidLocation("is empty once its variables are filled in")
            return make(self.directory, text)
        except locations.InvalidLocation as bad:
            self.problems.add(value.key, f"{value.label} '{printable(text, limit=200)}' {bad}")
            return None
