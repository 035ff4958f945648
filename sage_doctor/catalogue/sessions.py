"""What sessions leave behind, and the services they talk to."""

from __future__ import annotations

from sage_doctor.catalogue.entry import Entry

ENTRIES = (
    Entry(
        code="heartbeat-stale",
        severity="warning",
        title="No session has left a trace for too long",
        cause="The newest output is older than the schedule allows: the scheduler stopped, the machine slept, or every "
        "run fails before it writes anything. It is a warning so that a gate does not keep out the session that "
        "would end it.",
        cure="See when the timer last ran and how it ended: `systemctl list-timers` and `journalctl -u UNIT`.",
    ),
    Entry(
        code="state-invalid",
        severity="error",
        title="A state file cannot be read",
        cause="The file that carries a session's state to the next is missing, torn, or not what sessions put there: "
        "one was killed while it wrote, two wrote at once, or the file was moved.",
        cure="Restore the last good version from version control or a backup before the next session overwrites it.",
    ),
    Entry(
        code="state-regressed",
        severity="error",
        title="A counter in the state has gone backwards",
        cause="A number that only ever grows is smaller than it was: an old copy was restored or pulled. The next "
        "sessions would overwrite the records of earlier ones.",
        cure="Start no session. Find the newer state, in version control or on another machine, and restore it. Where "
        "the counter was set back on purpose, `sage-doctor accept` makes the present value the highest one.",
    ),
    Entry(
        code="state-unrecorded",
        severity="info",
        title="How far a counter had come is not on record",
        cause="The doctor keeps the highest value of each counter in its state directory, and cannot write or read it "
        "there, or what it found was damaged. A state that goes backwards may then go unnoticed.",
        cure="Let the doctor write to its state directory, or name another with STATE_DIRECTORY or XDG_STATE_HOME.",
    ),
    Entry(
        code="service-down",
        severity="error",
        title="The model service does not answer",
        cause="Nothing accepts connections where the manifest says the service is, or it answers with an error.",
        cure="Start the service and look at its log. After a reboot, check that it is enabled.",
        shows=(r"Connection refused", r"ConnectionRefusedError", r"Failed to establish a new connection"),
    ),
    Entry(
        code="service-model-missing",
        severity="error",
        title="The service runs, but does not have the model",
        cause="The service answers and does not list the model that sessions will ask it for.",
        cure="Pull or load the model into the service under the name the manifest uses.",
        shows=(r"model ['\"]?[\w.:/-]{1,120}['\"]? not found", r"model .{1,120}? does not exist"),
    ),
    Entry(
        code="service-hung",
        severity="error",
        title="The service says it is well and does not answer",
        cause="Its health page answers while generation hangs: the process lives, and the work behind it is stuck.",
        cure="Restart the service. If it hangs again, look at the accelerator and its driver.",
        shows=(r"Read timed out\. \(read timeout=", r"ReadTimeout\b"),
    ),
)
