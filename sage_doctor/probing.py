"""Probes of one examination: each model is loaded once, for all checks, and never more than memory allows."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sage_doctor.errors import DoctorError, NotApplicable
from sage_doctor.memory_need import memory_needed
from sage_doctor.model import Model
from sage_doctor.report import at_least
from sage_doctor.selection import Request, Selection
from sage_doctor.service import handed_over

if TYPE_CHECKING:
    from sage_doctor.probe import ProbeOutcome, ProbeRequest

DEFAULT_DEADLINE_S = 600.0
DEFAULT_PROMPT = "Who are you?"
# A probe must end while the report can still say in which stage it hung.
LEFT_FOR_REPORT_S = 3.0


class Probing:
    """Hands out the outcome of each model's probe, running it when it is first asked for."""

    def __init__(self, selection: Selection, request: Request) -> None:
        self._level = selection.level
        self._request = request
        self._outcomes: dict[str, ProbeOutcome] = {}

    def __call__(self, model: Model) -> ProbeOutcome:
        """Return how loading (and at level generate, generating with) this model went. Never raises for the model.

        Raises `NotApplicable` where memory is short and a service stands in: no second copy may be loaded then.
        """
        reason = handed_over(model)
        if reason is not None:
            raise NotApplicable(reason)
        if model.name not in self._outcomes:
            with self._memory_for(model):
                self._outcomes[model.name] = self._run(model)
        return self._outcomes[model.name]

    def _run(self, model: Model) -> ProbeOutcome:
        from sage_doctor.probe import run_probe  # noqa: PLC0415 - a static run needs no probe, and no time for it

        left = DEFAULT_DEADLINE_S
        if self._request.deadline is not None:
            left = max(1.0, self._request.deadline - time.time() - LEFT_FOR_REPORT_S)
        python = model.host.python or Path(sys.executable)
        return run_probe(self._request_for(model), python=python, deadline_s=left, stage_s=self._request.stage_s)

    def _request_for(self, model: Model) -> ProbeRequest:
        from sage_doctor.probe import ProbeRequest  # noqa: PLC0415

        spec = model.spec
        base = model.base.model if model.kind == "adapter" else None
        return ProbeRequest(
            level="generate" if at_least(self._level, "generate") else "load",
            kind=model.kind,
            path=str(model.path),
            base=str(base.path) if base is not None else None,
            dtype=spec.dtype if spec is not None else "auto",
            device=spec.device if spec is not None else None,
            accelerator=cast("None", model.host.accelerator),
            prompt=(spec.prompt if spec is not None and spec.prompt else DEFAULT_PROMPT),
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
        deadline = self._request.deadline
        left = DEFAULT_DEADLINE_S if deadline is None else max(1.0, deadline - time.time() - LEFT_FOR_REPORT_S)
        with admit(
            Path(directory), need_bytes=memory_needed(model), available_bytes=available, deadline_s=left
        ) as admission:
            if not admission.admitted:
                raise DoctorError("other models held the memory until the deadline, so this one was not loaded")
            yield
