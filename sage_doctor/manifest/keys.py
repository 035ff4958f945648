"""Every key of the manifest, described once.

The parser takes types and the names for suggestions from here, `json_schema` the schema for editors, and
`tools/manifest_reference.py` the tables of `docs/manifest.md`.
"""

from __future__ import annotations

from typing import Any, Final

from sage_doctor.manifest.key_table import Key, KeyTable
from sage_doctor.manifest.model_keys import BUDGET, DESCRIPTION, IGNORE, MODEL, OVERRIDE, requires

SCHEMA: Final = 1


def _accelerator(about: str, **more: Any) -> Key:
    return Key("accelerator", "choice", about, choices=("cuda", "mps", "cpu"), example="cuda", **more)


def _python(about: str, example: str, **more: Any) -> Key:
    return Key("python", "place", about, pattern="[/{~]", example=example, **more)


def _vars(about: str, **more: Any) -> Key:
    return Key("vars", "vars", about, example={"zoo": "~/model-zoo"}, **more)


_WATCHED_ROLES: Final = Key(
    "roles",
    "texts",
    "Only machines with one of these roles are examined. Without this key: every machine.",
    example=["raising"],
)
_GLOB: Final = {
    "type": "texts",
    "pattern": r"(?![/~])(?!([\s\S]*/)?\.\.(/|$))[^\u0000]*",
    "expected": "a glob starts from the manifest's directory and stays below it",
}
MATCH: Final = KeyTable(
    "match",
    "match",
    tuple(
        Key(name, "text or texts", about, example=example)
        for name, about, example in (
            ("hostname", "Globs for the hostname, with or without its domain; letter case does not matter.", "thor*"),
            (
                "device_tree",
                "Globs for the board's model in /proc/device-tree/model; letter case does not matter.",
                ["*AGX Thor*"],
            ),
        )
    ),
)
MACHINE: Final = KeyTable(
    "[machines.X]",
    "machine",
    (
        Key("match", "table", "How a host is recognised as this machine: one matching glob is enough.", table=MATCH),
        Key("roles", "texts", "What this machine is meant to run. Without this key: every role.", example=["raising"]),
        _python("The interpreter that runs the sessions on this machine.", "/usr/bin/python3"),
        _accelerator("The device type that sessions must run on."),
        requires("Packages that sessions need on this machine, besides those of the top level."),
        Key(
            "home",
            "text",
            "The home directory on this machine: the value of `{home}`, and how its paths are recognised "
            "on other machines.",
            pattern=r"/[^\u0000]*",
            expected="a path from the root, such as '/home/me'",
            example="/home/dp",
        ),
        _vars("Variables on this machine."),
        Key("budget", "table", "What any model may cost on this machine.", table=BUDGET, example={"load_s": 90}),
        Key("models", "tables", "Settings of single models on this machine.", table=OVERRIDE),
    ),
)
ROLE: Final = KeyTable(
    "[roles.X]",
    "role",
    (
        Key("models", "texts", "The models this role runs.", example=["introspective-qwen"]),
        Key(
            "runners",
            "places",
            "Globs of the scripts that run them.",
            example=["sage/raising/scripts/run_session_*.py"],
        ),
        _accelerator("The device type this role must run on; examined even if the role names no models."),
        Key(
            "max_age",
            "duration",
            "How old a recorded result may be for `sage-doctor gate` to reuse it. Without this key: `gate.max_age`.",
            "24h",
        ),
        DESCRIPTION,
    ),
)
HEARTBEAT: Final = KeyTable(
    "[heartbeats.X]",
    "heartbeat",
    (
        Key(
            "path",
            "place or places",
            "Globs of the files that sessions write.",
            example="sage/raising/sessions/session_*.json",
            required="a glob of the files that sessions write",
        ),
        Key(
            "max_age",
            "duration",
            "How old the newest of these files may be.",
            "26h",
            required='a length of time such as "90s", "15m", "26h", "3d" or "1d 12h"',
        ),
        _WATCHED_ROLES,
        DESCRIPTION,
    ),
)
STATE: Final = KeyTable(
    "[state.X]",
    "state",
    (
        Key(
            "path",
            "place",
            "The file with a JSON object that sessions hand on.",
            example="sage/raising/state/identity.json",
            required="the JSON file that sessions hand on",
        ),
        Key(
            "counter",
            "text",
            "The dotted path of a number in it that only grows; a position in a list counts from 0.",
            pattern=r"[^.]+(\.[^.]+)*",
            expected="the names that lead to a number, with dots between them",
            example="identity.session_count",
        ),
        Key(
            "min_from_glob",
            "place",
            "A glob of numbered files: `counter` must not be below the highest number in their names.",
            example="sage/raising/sessions/session_*.txt",
            old="at_least",
        ),
        _WATCHED_ROLES,
        DESCRIPTION,
    ),
)
CHECKS: Final = KeyTable(
    "[checks]",
    "checks",
    (
        Key("paths", "places", "Files or directories with checks of your own; they must exist.", example=["my-checks"]),
        IGNORE,
    ),
)
GATE: Final = KeyTable(
    "[gate]",
    "gate",
    (
        Key(
            "max_age", "duration", "How old a recorded result may be to be reused, for roles without their own.", "12h"
        ),
        Key("timeout", "duration", "How long a gate may take.", "10m"),
    ),
)
LINT: Final = KeyTable(
    "[lint]",
    "lint",
    (
        Key(
            "paths",
            about="Globs of files that are searched for paths of other machines; files that git ignores are left out.",
            example=["**/*.py", "deploy/**"],
            **_GLOB,  # type: ignore[arg-type]
        ),
        Key("ignore", about="Globs of files that are left out.", example=["archive/**"], **_GLOB),  # type: ignore[arg-type]
    ),
)
TOP: Final = KeyTable(
    "",
    "manifest",
    (
        Key(
            "schema",
            "version",
            "The version of this format.",
            example=SCHEMA,
            required=f"write `schema = {SCHEMA}` at the top",
        ),
        _python(
            "The interpreter that runs the sessions. A path, not a command name: `PATH` differs under cron.",
            "{home}/miniforge3/envs/sage/bin/python",
            per_machine=True,
        ),
        _accelerator("The device type that sessions must run on.", per_machine=True),
        requires("Packages that sessions need on every machine.", per_machine=True),
        _vars("Variables for every machine; a machine's own win.", per_machine=True),
        Key(
            "budget", "table", "What any model may cost.", table=BUDGET, example={"peak_memory_gb": 6}, per_machine=True
        ),
        Key("checks", "table", "Your own checks, and findings that are not reported.", table=CHECKS),
        Key("gate", "table", "Settings of `sage-doctor gate`.", table=GATE),
        Key("lint", "table", "Files, besides the runners, that are searched for paths of other machines.", table=LINT),
        Key("machines", "tables", "One table for each machine.", table=MACHINE),
        Key("roles", "tables", "One table for each role: what a machine with this role runs.", table=ROLE),
        Key("models", "tables", "One table for each model.", table=MODEL),
        Key(
            "heartbeats", "tables", "One table for each kind of file that sessions must keep writing.", table=HEARTBEAT
        ),
        Key("state", "tables", "One table for each file that carries a session's state to the next.", table=STATE),
    ),
)
