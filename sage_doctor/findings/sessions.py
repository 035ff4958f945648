"""What sessions leave behind: traces, and the state that one hands on to the next."""

from __future__ import annotations

from sage_doctor.findings.declaration import Declaration, declare

TITLE = "Sessions"
DECLARATIONS = declare(
    Declaration(
        code="heartbeat-stale",
        severity="warning",
        title="No session has left a trace for too long",
        cause="The newest output is older than the schedule allows: the scheduler stopped, the machine slept, or every "
        "run fails before it writes anything. It is a warning so that a gate does not keep out the session that would "
        "end it.",
        remediation="See when the timer last ran and how it ended: `systemctl list-timers` and `journalctl -u UNIT`.",
    ),
    Declaration(
        code="state-invalid",
        severity="error",
        title="A state file cannot be read",
        cause="The file that carries a session's state to the next is missing, torn, or not what sessions put there: "
        "one was killed while it wrote, two wrote at once, or the file was moved.",
        remediation="Restore the last good version from version control or a backup before the next session overwrites "
        "it.",
    ),
    Declaration(
        code="state-regressed",
        severity="error",
        title="A counter in the state has gone backwards",
        cause="A number that only ever grows is smaller than it was: an old copy was restored or pulled. The next "
        "sessions would overwrite the records of earlier ones.",
        remediation="Start no session. Find the newer state, in version control or on another machine, and restore it. "
        "Where the counter was set back on purpose, `sage-doctor accept` makes the present value the highest one.",
    ),
    Declaration(
        code="state-unrecorded",
        severity="info",
        title="How far a counter had come is not on record",
        cause="The doctor keeps the highest value of each counter in its state directory, and cannot write or read it "
        "there, or what it found was damaged. A state that goes backwards may then go unnoticed.",
        remediation="Let the doctor write to its state directory, or name another with STATE_DIRECTORY or "
        "XDG_STATE_HOME.",
    ),
)
