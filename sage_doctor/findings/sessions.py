"""What sessions leave behind, and the services they talk to."""

from __future__ import annotations

from sage_doctor.findings.entry import Entry

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
        "the counter was set back on purpose, `sage-doctor history accept` makes the present value the highest one.",
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
        cause="Nothing accepts connections where the manifest says the service is, or what answers there says that it "
        "cannot work now.",
        cure="Start the service and look at its log. After a reboot, check that it is enabled.",
        shows=(r"Connection refused", r"ConnectionRefusedError", r"Failed to establish a new connection"),
    ),
    Entry(
        code="service-answer-invalid",
        severity="error",
        title="Something else answers where the service should be",
        cause="What answers does not speak the API that sessions will use: a web or login page, another program on "
        "that port, a redirect, an answer without an end.",
        cure="See with `curl` what answers, and correct url or api in the manifest, or move the program that took the "
        "port.",
    ),
    Entry(
        code="service-key-missing",
        severity="error",
        title="The key for the service is not set",
        cause="The manifest names an environment variable that holds the service's key, and it is not set where the "
        "doctor runs. Under cron and systemd, what a shell's profile exports does not exist.",
        cure="Set the variable in the unit (EnvironmentFile=) or the crontab.",
    ),
    Entry(
        code="service-key-refused",
        severity="error",
        title="The service does not accept the key",
        cause="The service answers HTTP 401 or 403: it wants a key and got none, or another one.",
        cure="Name the variable with the key as api_key_env in the manifest, and see that it holds the right key.",
        shows=(r"Incorrect API key provided", r"invalid_api_key"),
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
        cause="It takes connections, or even lists its models, while generation hangs: the process lives, and the work "
        "behind it is stuck.",
        cure="Restart the service. If it hangs again, look at the accelerator and its driver.",
        shows=(r"Read timed out\. \(read timeout=", r"ReadTimeout\b"),
    ),
    Entry(
        code="service-error",
        severity="error",
        title="The service answers with an error",
        cause="It has the model and cannot generate with it; its own message says why. Some services send such a "
        "message as if it were an answer.",
        cure="Look at the service's log, and paste its message into `sage-doctor explain -`.",
    ),
)
