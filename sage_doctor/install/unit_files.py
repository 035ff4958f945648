"""The texts of systemd's unit files: a service and a timer for each role, and a drop-in for each session's unit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from sage_doctor.install.order import BOOT_DELAY_S, Order

SPARE_S: Final = 30  # beyond the gate's own deadline, to stop its child and to report
STATE: Final = "sage-doctor"  # below /var/lib
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.")


def unit_name(role: str, suffix: str) -> str:
    r"""Return the name of a role's unit; what may not stand in one is written `\xNN`, as systemd-escape does."""
    escaped = "".join(c if c in _PLAIN or c == "-" else "".join(f"\\x{b:02x}" for b in c.encode()) for c in role)
    return f"sage-doctor-gate@{escaped}.{suffix}"


def word(text: str) -> str:
    """Return `text` as one word of a unit file: in double quotes, its specifiers and escapes taken literally."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return plain if plain == text and not set(text) & set(" '\t;#") and text.isascii() and text else f'"{plain}"'


def command(words: Sequence[str], environment: Iterable[tuple[str, str]] = ()) -> str:
    """Return a command for ExecStart= and its kin. The colon keeps `$` from standing for a variable.

    Where `environment` is given, `env` sets it for this command alone.
    """
    settings = [f"{name}={value}" for name, value in environment]
    if set(words[0]) & set("\"'\\" + ("=" if settings else "")):
        # systemd refuses programs with a quote or a backslash in their path, and env takes one with `=` for a setting
        words = ["/bin/sh", "-c", 'exec "$0" "$@"', *words]
    return ":" + " ".join(word(w) for w in (*(["/usr/bin/env", *settings] if settings else []), *words))


def service(order: Order, role: str, *, system: bool) -> str:
    """Return the service that runs the gate of a role.

    Its priority is low but not lowest, because budgets apply to what the gate measures. `OOMPolicy=continue` lets the
    gate outlive and report a child that the kernel kills for memory.
    """
    where = [f"User={order.user.replace('%', '%%')}", f"StateDirectory={STATE}"] if system else []
    environment = {"HOME": str(order.home), **order.environment}
    lines = [
        "[Unit]",
        f"Description=sage-doctor gate of role {role.replace('%', '%%')}",
        *(f"RequiresMountsFor={word(str(path))}" for path in order.mounts.get(role, ())),
        "",
        "[Service]",
        "Type=oneshot",
        *where,
        *(f"Environment={word(f'{name}={value}')}" for name, value in environment.items()),
        f"ExecStart={command(order.gate(role, order.run_timeout_s))}",
        f"TimeoutStartSec={order.run_timeout_s + SPARE_S}",
        "OOMPolicy=continue",
        "Nice=5",
        "IOSchedulingClass=best-effort",
        "IOSchedulingPriority=6",
        f"SyslogIdentifier={STATE}",
    ]
    return "\n".join(lines) + "\n"


def timer(order: Order, role: str) -> str:
    """Return the timer that starts the service of the same name."""
    when = [("OnBootSec", f"{BOOT_DELAY_S}s")] if order.on_boot else []
    when += order.schedule.timer_settings() if order.schedule is not None else ()
    if not order.on_boot and any(key == "OnCalendar" for key, _ in when):
        when.append(("Persistent", "true"))  # makes up for a time when the machine was off; after a boot, that is now
    lines = [
        "[Unit]",
        f"Description=Schedule of the sage-doctor gate of role {role.replace('%', '%%')}",
        "",
        "[Timer]",
        *(f"{key}={value}" for key, value in when),
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return "\n".join(lines) + "\n"


def drop_in(order: Order, *, system: bool, start_timeout: bool) -> str:
    """Return the drop-in that starts a session's unit only if every role of the order is healthy.

    The gate's other exit codes skip the unit without making it fail. `start_timeout` says whether the unit needs a
    longer start timeout than the gate's deadline.
    """
    own = [("STATE_DIRECTORY", str(Path("/var/lib") / STATE))] if system else []
    own += [
        (n, v) for n, v in order.environment.items() if n == "SAGE_MACHINE" or (n == "XDG_STATE_HOME" and not system)
    ]
    total = (order.session_timeout_s + SPARE_S) * len(order.roles)
    lines = [
        "[Unit]",
        *(f"After={unit_name(role, 'service')}" for role in order.roles),
        "",
        "[Service]",
        *(f"ExecCondition={command(order.gate(role, order.session_timeout_s), own)}" for role in order.roles),
        *([f"TimeoutStartSec={total}"] if start_timeout else []),
    ]
    return "\n".join(lines) + "\n"
