"""When: lengths of time, times of day, and the schedulers' own words."""

from __future__ import annotations

import pytest

from sage_doctor.errors import UsageError
from sage_doctor.install.schedule import Schedule, Scheduler, parse_schedule


@pytest.mark.parametrize(
    "text,fields",
    [
        ("1m", ["* * * * *"]),
        ("15m", ["*/15 * * * *"]),
        ("90m", None),
        ("7m", None),
        ("90s", None),
        ("1h", ["0 * * * *"]),
        ("6h", ["0 */6 * * *"]),
        ("7h", None),
        ("1d", ["0 0 * * *"]),
        ("2d", None),
        ("03:30", ["30 3 * * *"]),
        ("15:45, 3:30", ["30 3 * * *", "45 15 * * *"]),
        ("30 3 * * mon-fri", ["30 3 * * mon-fri"]),
        ("@daily", ["@daily"]),
        ("@reboot", None),
        ("* * * *", None),
        ("* * * * *\n* * * * * rm", None),
        ("0 3 * * * rm -rf", None),
        ("", None),
        ("24:00", None),
    ],
)
def test_cron(text: str, fields: list[str] | None) -> None:
    if fields is None:
        with pytest.raises(UsageError):
            parse_schedule(text, "cron")
    else:
        assert list(parse_schedule(text, "cron").cron_fields()) == fields


@pytest.mark.parametrize("scheduler", ["cron", "systemd", "launchd"])
@pytest.mark.parametrize("text", ["30s", "5w", "1.5s", "03:30,soon%", "6h;", "\x1b[2J", "%n"])
def test_what_is_no_schedule_to_anybody(text: str, scheduler: Scheduler) -> None:
    with pytest.raises(UsageError) as caught:
        parse_schedule(text, scheduler)
    assert str(caught.value).startswith("--every ")
    assert "\x1b" not in str(caught.value)


def test_systemd() -> None:
    assert parse_schedule("6h", "systemd").timer_settings() == (
        ("OnActiveSec", "21600s"),
        ("OnUnitActiveSec", "21600s"),
    )
    assert parse_schedule("3:30", "systemd").timer_settings() == (("OnCalendar", "*-*-* 03:30:00"),)
    assert parse_schedule("Mon..Fri *-*-* 03:30", "systemd") == Schedule(native="Mon..Fri *-*-* 03:30")


def test_launchd() -> None:
    assert parse_schedule("90s", "launchd").launchd_keys() == {"StartInterval": 90}
    keys = parse_schedule("03:30,15:45", "launchd").launchd_keys()
    assert keys == {"StartCalendarInterval": [{"Hour": 3, "Minute": 30}, {"Hour": 15, "Minute": 45}]}
