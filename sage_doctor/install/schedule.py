"""When the gate runs: an interval, times of day, or the scheduler's own expression."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from sage_doctor.errors import UsageError
from sage_doctor.manifest.durations import seconds
from sage_doctor.system import child
from sage_doctor.system.frozen import frozen
from sage_doctor.text import printable

Scheduler = Literal["cron", "systemd", "launchd"]
SHORTEST_S: Final = 60
LONGEST_S: Final = 28 * 86400
EXPECTED: Final = "a length of time such as 30m or 6h, or times of day such as 03:30,15:30"

_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_FIELD = r"[0-9A-Za-z*/,\-]+"
_CRON = re.compile(
    rf"(?:{_FIELD}[ \t]+){{4}}{_FIELD}|@(?:hourly|daily|midnight|weekly|monthly|yearly|annually)", re.ASCII
)
_CALENDAR = re.compile(r"[A-Za-z0-9*:.,/~_+\- ]{1,200}", re.ASCII)


@frozen
class Schedule:
    """A recurring time. Exactly one of the three is set.

    `every_s` counts seconds, `times` are hours and minutes of every day, `native` is the scheduler's own expression.
    """

    every_s: int | None = None
    times: tuple[tuple[int, int], ...] = ()
    native: str | None = None

    def cron_fields(self) -> tuple[str, ...]:
        """Return the five fields of each line of a crontab. Raises `UsageError` for an interval unknown to cron."""
        if self.native is not None:
            return (self.native,)
        if self.every_s is None:
            return tuple(f"{minute} {hour} * * *" for hour, minute in self.times)
        minutes, odd = divmod(self.every_s, 60)
        hours, rest = divmod(minutes, 60)
        if not odd and minutes < 60 and 60 % minutes == 0:
            return ("* * * * *" if minutes == 1 else f"*/{minutes} * * * *",)
        if not odd and not rest and hours in (1, 2, 3, 4, 6, 8, 12, 24):
            hour = {1: "*", 24: "0"}.get(hours, f"*/{hours}")
            return (f"0 {hour} * * *",)
        raise UsageError(
            "cron does not have this interval: it must divide an hour or a day (15m, 30m, 1h, 6h, 12h, 1d). Use "
            "times of day such as 03:30,15:30, or the five fields of a crontab"
        )

    def timer_settings(self) -> tuple[tuple[str, str], ...]:
        """Return the keys of a systemd timer."""
        if self.every_s is not None:
            return (("OnActiveSec", f"{self.every_s}s"), ("OnUnitActiveSec", f"{self.every_s}s"))
        calendar = [self.native] if self.native is not None else [f"*-*-* {h:02}:{m:02}:00" for h, m in self.times]
        return tuple(("OnCalendar", text) for text in calendar)

    def launchd_keys(self) -> dict[str, Any]:
        """Return the keys of a launchd job."""
        if self.every_s is not None:
            return {"StartInterval": self.every_s}
        return {"StartCalendarInterval": [{"Hour": hour, "Minute": minute} for hour, minute in self.times]}


def parse_schedule(text: str, scheduler: Scheduler) -> Schedule:
    """Return the schedule that `text` describes. Raises `UsageError` if the scheduler does not support it."""
    text = text.strip()
    shown = printable(text, limit=200)
    parts = [part.strip() for part in text.split(",")]
    found = [_TIME.fullmatch(part) for part in parts]
    if all(found):
        times = sorted({(int(match[1]), int(match[2])) for match in found if match})
        return Schedule(times=tuple(times))
    length = seconds(text)
    if length is not None:
        if not SHORTEST_S <= length <= LONGEST_S or length != int(length):
            raise UsageError(f"--every {shown}: it must be whole seconds, from a minute to four weeks")
        schedule = Schedule(every_s=int(length))
        if scheduler == "cron":
            schedule.cron_fields()  # raises now, before the user is asked
        return schedule
    if scheduler == "cron" and _CRON.fullmatch(text):
        return Schedule(native=text)
    if scheduler == "systemd" and _CALENDAR.fullmatch(text):
        _ask_systemd(text)
        return Schedule(native=text)
    own = {"cron": ", or the five fields of a crontab", "systemd": ", or what OnCalendar= takes", "launchd": ""}
    raise UsageError(f"--every {shown} is not a valid schedule: use {EXPECTED}{own[scheduler]}")


def _ask_systemd(text: str) -> None:
    done = child.run(["systemd-analyze", "calendar", "--", text], timeout_s=20)
    if done is not None and done.code not in (0, None):
        said = printable(done.err.decode("utf-8", "replace").strip().partition("\n")[0], limit=200)
        raise UsageError(
            f"--every {printable(text, limit=200)} is not a valid schedule for systemd: {said}; use {EXPECTED}"
        )
