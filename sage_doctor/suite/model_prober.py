"""Probes of one examination: each model is loaded once, for all checks, and never more than memory allows."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sage_doctor.errors import DoctorError, NotApplicable
from sage_doctor.findings.device import device_finding
from sage_doctor.report import Finding, at_least, finding_from_json
from sage_doctor.subjects.device import BEST, devices_to_examine, session_device
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.needs import memory_needed
from sage_doctor.subjects.selection import Request, Selection
from sage_doctor.subjects.service import why_not_loaded
from sage_doctor.suite.load_time import IMPORTS_S, too_short
from sage_doctor.system.activity import OnProgress, ignore
from sage_doctor.system.file_lock import file_lock
from sage_doctor.system.frozen import frozen
from sage_doctor.text import BYTES, format_duration, printable

if TYPE_CHECKING:
    from sage_doctor.probe.outcome import Device, ProbeOutcome
    from sage_doctor.probe.protocol import ProbeRequest

DEFAULT_DEADLINE_S = 600.0
# A first call may compile kernels and wake a sleeping card; a driver that needs longer counts as hung.
DEVICE_DEADLINE_S = 120.0
DEFAULT_PROMPT = "Who are you?"
_ACTIVITIES = {
    "start": "starting Python",
    "import": "importing packages",
    "device": "looking at the device",
    "allocate": "allocating on the device",
    "compute": "computing on the device",
    "compare": "comparing names and shapes",
    "load": "loading the weights",
    "load-base": "loading the base's weights",
    "load-adapter": "loading the adapter",
    "tokenizer": "loading the tokenizer",
    "forward": "first forward pass",
    "warm-up": "warming up",
    "generate": "generating",
    "done": "ending",
}
# A probe must end while the report can still say in which stage it hung.
LEFT_FOR_REPORT_S = 3.0


@frozen
class DeviceProbe:
    """What a probe without a model found out about a device: what is wrong with it, and its memory in bytes."""

    finding: Finding | None = None
    memory_total: int = 0
    memory_free: int = 0


class ModelProber:
    """Hands out the outcome of each model's probe, running it when it is first asked for."""

    def __init__(self, selection: Selection, request: Request, on_progress: OnProgress = ignore) -> None:
        self.level = selection.level
        self._request = request
        self._on_progress = on_progress
        self._outcomes: dict[str, ProbeOutcome] = {}
        self._devices: dict[str, DeviceProbe] = {}
        self._too_short: dict[str, str] = {}

    def __call__(self, model: Model) -> ProbeOutcome:
        """Return how loading (and at level generate, generating with) this model went. Never raises for the model.

        Raises `NotApplicable` where memory is short and a service stands in: no second copy may be loaded then; and for
        a table of vectors, of which transformers loads nothing. Raises `DoctorError` where the run's deadline left too
        little time for a load.
        """
        reason = why_not_loaded(model)
        if reason is not None:
            raise NotApplicable(reason)
        if model.name not in self._outcomes:
            with self._memory_for(model):
                self._outcomes[model.name] = self._run(model)
        if self._too_short.get(model.name):
            raise DoctorError(self._too_short[model.name])
        return self._outcomes[model.name]

    def examined(self, host: Host, device: str) -> DeviceProbe:
        """Return what is known of a device, from one probe of it in the whole run, worker processes included."""
        if device not in self._devices:
            self._devices[device] = self._shared(host, device)
        return self._devices[device]

    def broken_device(self, model: Model) -> str | None:
        """Return the code of the error that was found on the device this model is loaded on, or None."""
        device = session_device(model.host, model)
        if device not in devices_to_examine(model.host, [model]):
            return None
        found = self.examined(model.host, device).finding
        return found.code if found is not None and found.severity == "error" else None

    def _shared(self, host: Host, device: str) -> DeviceProbe:
        if self._request.run_directory is None:
            return self._examine(host, device)
        note = Path(self._request.run_directory) / f"device-{device.replace(':', '-')}.json"
        with file_lock(note.with_suffix(".lock"), wait_s=self._left()):  # its holder runs a probe that has a deadline
            if note.exists():
                said = json.loads(note.read_text(encoding="ascii"))
                found = finding_from_json(said.pop("finding")) if said["finding"] else said.pop("finding")
                return DeviceProbe(finding=found, **said)
            examined = self._examine(host, device)
            note.write_text(json.dumps(asdict(examined)), encoding="ascii")
            return examined

    def _examine(self, host: Host, device: str) -> DeviceProbe:
        from sage_doctor.probe.handle import run_probe  # noqa: PLC0415
        from sage_doctor.probe.protocol import ProbeRequest  # noqa: PLC0415

        left_s = self._left()
        outcome = run_probe(
            ProbeRequest(level="device", device=None if device == BEST else device),
            python=host.python or Path(sys.executable),
            deadline_s=min(DEVICE_DEADLINE_S, left_s),
            stage_s=self._request.stage_s,
            on_progress=self._told_of("this machine"),
        )
        if outcome.ending == "deadline" and outcome.duration_s >= left_s and left_s < IMPORTS_S:
            raise DoctorError(
                f"the deadline left {format_duration(left_s)} to examine the device, which is too short to tell"
            )
        seen: Device | None = outcome.device
        return DeviceProbe(
            finding=device_finding(host, device, outcome),
            memory_total=seen.memory_total if seen is not None else 0,
            memory_free=seen.memory_free if seen is not None else 0,
        )

    def _left(self) -> float:
        deadline = self._request.deadline
        return DEFAULT_DEADLINE_S if deadline is None else max(1.0, deadline - time.monotonic() - LEFT_FOR_REPORT_S)

    def _run(self, model: Model) -> ProbeOutcome:
        from sage_doctor.probe.handle import run_probe  # noqa: PLC0415 - a static run needs no probe, and no time for it

        python, left_s = model.host.python or Path(sys.executable), self._left()
        outcome = run_probe(
            self._request_for(model),
            python=python,
            deadline_s=left_s,
            stage_s=self._request.stage_s,
            on_progress=self._told_of(printable(model.title, limit=60)),
        )
        if outcome.ending == "deadline" and outcome.duration_s >= left_s:
            self._too_short[model.name] = too_short(model, left_s)
        return outcome

    def _told_of(self, title: str) -> OnProgress:
        """Return what passes the stages of a probe on, in words."""

        def on_stage(stage: str, done: int = 0, total: int = 0, unit: str = BYTES, /) -> None:
            self._on_progress(f"{title}: {_ACTIVITIES.get(stage, stage)}", done, total, unit)

        return on_stage

    def _request_for(self, model: Model) -> ProbeRequest:
        from sage_doctor.probe.protocol import ProbeRequest  # noqa: PLC0415

        spec = model.spec
        base = model.base.model if model.kind == "adapter" else None
        return ProbeRequest(
            level="generate" if at_least(self.level, "generate") else "load",
            kind=model.kind,
            path=str(model.path),
            base=str(base.path) if base is not None else None,
            dtype=spec.dtype if spec is not None else "auto",
            device=spec.device if spec is not None else None,
            accelerator=cast("None", model.host.accelerator),
            prompt=(spec.prompt if spec is not None and spec.prompt else DEFAULT_PROMPT),
            prompted=spec is not None and spec.prompt is not None,
            max_new_tokens=spec.max_new_tokens if spec is not None else 32,
        )

    @contextlib.contextmanager
    def _memory_for(self, model: Model) -> Iterator[None]:
        from sage_doctor.probe.memory_ledger import admit  # noqa: PLC0415

        directory = self._request.run_directory
        available = model.host.machine.effective_available
        if directory is None or available is None:
            yield
            return
        with admit(
            Path(directory), need_bytes=memory_needed(model), available_bytes=available, deadline_s=self._left()
        ) as admitted:
            if not admitted:
                raise DoctorError("other models held the memory until the deadline, so this one was not loaded")
            yield
