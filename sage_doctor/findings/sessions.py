"""What sessions leave behind: traces, and the state that one hands on to the next."""

from __future__ import annotations

from sage_doctor.findings.declaration import Declaration, declare

TITLE = "Sessions"
DECLARATIONS = declare(
    Declaration(
        code="heartbeat-stale",
        severity="warning",
        title="Sessions have left no trace for too long",
        cause="The scheduler stopped, the machine slept, or every run fails before it writes anything. It is only a "
        "warning, so that a gate does not block the session that would end it.",
        remediation="See when the timer last ran and how it ended: `systemctl list-timers` and `journalctl -u UNIT`.",
    ),
    Declaration(
        code="state-invalid",
        severity="error",
        title="A state file cannot be used",
        cause="A session was killed while it wrote the file, two wrote it at once, or it was moved.",
        remediation="Restore the last good version from version control or a backup before the next session overwrites "
        "it.",
    ),
    Declaration(
        code="state-regressed",
        severity="error",
        title="A counter in the state went backwards",
        cause="An old copy of the state was restored or pulled. The next sessions would overwrite the records of "
        "earlier ones.",
        remediation="Start no session. Find the newer state, in version control or on another machine, and restore it. "
        "If the counter was reset on purpose, accept it with `sage-doctor history accept`.",
    ),
    Declaration(
        code="state-unrecorded",
        severity="info",
        title="The highest value of a counter is not recorded",
        cause="sage-doctor keeps the highest value of each counter in its state directory, and cannot write or read it "
        "there, or found it damaged. A counter that goes backwards may go unnoticed.",
        remediation="Allow writing to that directory, or set another with STATE_DIRECTORY or XDG_STATE_HOME.",
    ),
)
