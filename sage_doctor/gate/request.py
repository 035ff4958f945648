"""What a gate is asked, and how long it may take to answer."""

from __future__ import annotations

from typing import Final, Literal

from sage_doctor.report import Level
from sage_doctor.system.frozen import frozen

DEFAULT_TIMEOUT_S: Final = 120.0
DEFAULT_MAX_AGE_S: Final = 24 * 3600.0


@frozen
class GateRequest:
    """One request to a gate.

    `manifest` is its path as given, None for the nearest one. `timeout_s` bounds the whole decision and `stage_s` one
    stage of it. `max_age_s` is how long a result holds. None is for what the manifest says, else for the default.
    `fresh` asks for a result that is younger than the request, `on_change` whether the verdict is news.
    `history` is whether earlier runs may be read and this one recorded.
    """

    role: str
    manifest: str | None = None
    cwd: str = ""
    level: Level = "generate"
    timeout_s: float | None = None
    stage_s: float | None = None
    max_age_s: float | None = None
    fresh: bool = False
    on_change: bool = False
    history: bool = True
    fail_on: Literal["error", "warning"] = "error"
