"""What every step of one gate decision needs: the request, the manifest, the records, and the deadline."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sage_doctor.gate.environment import EnvironmentFingerprint
from sage_doctor.gate.request import DEFAULT_MAX_AGE_S, GateRequest
from sage_doctor.gate.result_cache import ResultCache
from sage_doctor.manifest.specs import Manifest, RoleSpec
from sage_doctor.system.frozen import frozen
from sage_doctor.system.globbing import glob_files

OnFinding = Callable[[Mapping[str, Any]], None]


@frozen
class GateContext:
    """What every step of one decision needs. `until` is a `time.monotonic()`; `started_s` counts from boot."""

    gate_request: GateRequest
    manifest: Manifest
    environment: EnvironmentFingerprint
    records: ResultCache
    environ: Mapping[str, str]
    until: float
    started_s: float

    @property
    def key(self) -> tuple[str, ...]:
        """What a role's record is kept under: the manifest, the machine, and the settings that choose files.

        Where programs are found matters to its runners, not to a load.
        """
        machine = self.manifest.machine.name if self.manifest.machine else os.uname().nodename
        settings = [f"{name}={value}" for name, value in self.environment["settings"].items()]
        settings.append(f"PATH={self.environ.get('PATH', os.defpath)}" if self._role.runners else "")
        return (str(self.manifest.path), machine, self.gate_request.role, *settings)

    @property
    def meaning(self) -> str:
        """A digest of the manifest as it applies here and now: variables of the environment may be in its paths."""
        import hashlib  # noqa: PLC0415 - not needed for as long as nothing is recorded

        text = repr(replace(self.manifest, whole=None))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def runners(self) -> list[str]:
        """The files that are the role's runners now. Others beside them, such as logs, matter to nobody."""
        return sorted({str(p) for pattern in self._role.runners for p in glob_files(pattern, self.manifest.directory)})

    @property
    def _role(self) -> RoleSpec:
        return self.manifest.roles[self.gate_request.role]

    @property
    def max_age_s(self) -> float:
        """How long a result is valid, in seconds: as requested, else as the manifest says."""
        stated = (self.gate_request.max_age_s, self._role.max_age_s, self.manifest.gate.max_age_s)
        return next((age for age in stated if age is not None), DEFAULT_MAX_AGE_S)

    @property
    def directory(self) -> str:
        """The working directory."""
        return self.gate_request.cwd
