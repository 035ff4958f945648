"""The scripts that start sessions, and the units that start the scripts."""

from __future__ import annotations

from sage_doctor.findings.entry import Entry

ENTRIES = (
    Entry(
        code="runner-missing",
        severity="error",
        title="A session runner is not there",
        cause="A role of this machine names a script, and no file matches it here: not pulled, renamed, or the path is "
        "relative to another directory.",
        cure="Update the checkout, or correct `runners` in the manifest.",
        shows=(r"can't open file '.{1,300}?\.py': \[Errno 2\]",),
    ),
    Entry(
        code="runner-unverified",
        severity="info",
        title="The runner's paths could not be judged",
        cause="The script builds its model path while it runs, or cannot be parsed, so reading it does not tell which "
        "model it will ask for.",
        cure="Nothing needs to be done. With `sage_doctor.resolve` in the runner, the manifest decides the path.",
    ),
    Entry(
        code="runner-hardcoded-path",
        severity="error",
        title="A runner names a path that does not exist here",
        cause="The script carries an absolute path from the machine it was written on. It works there and fails "
        "everywhere else.",
        cure="`sage-doctor fix --rewrite-paths` shows how it can be written to hold on every machine, and does it. By "
        'hand: `resolve("MODEL")` from sage_doctor, or `sage-doctor where MODEL` in a shell script.',
        may_show=(r"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/(home|Users)/",),
    ),
    Entry(
        code="runner-path-here-only",
        severity="info",
        title="A runner names a path that only this machine has",
        cause="The script runs on other machines as well, and carries an absolute path of this one: often the other "
        "machine's path was replaced by hand, and the fault has moved there.",
        cure="`sage-doctor fix --rewrite-paths` writes it so that it holds on every machine.",
    ),
    Entry(
        code="runner-path-gone",
        severity="warning",
        title="A script names a file that was removed",
        cause="The path lies in this checkout, git knows that it was once there, and it is not any more: it was moved "
        "or deleted, and the script was left behind.",
        cure="Name what took its place, or bring it back from the commit before the one that is named.",
    ),
    Entry(
        code="runner-roots-disagree",
        severity="warning",
        title="Scripts call one directory by several machines' paths",
        cause="Some scripts name the checkout by one machine's path and some by another's, so that no machine can run "
        "all of them. It happens where they are mended by hand, one after the other.",
        cure="`sage-doctor fix --rewrite-paths`, or let each script start from its own place: "
        "`Path(__file__).resolve().parents[N]`.",
    ),
    Entry(
        code="script-interpreter-missing",
        severity="warning",
        title="The script's interpreter is not there",
        cause="The first line of an executable script names a program that this machine does not have, often another "
        "machine's environment. Started by itself, the script fails at once.",
        cure="Write `#!/usr/bin/env python3` (or bash), or start it by an interpreter that is named.",
        shows=(r"cannot execute: required file not found", r"env: [^'\\\r]{1,100}: No such file"),
    ),
    Entry(
        code="script-crlf",
        severity="error",
        title="The script has Windows line ends",
        cause="The first line ends in a carriage return, so that the system looks for an interpreter with that "
        "invisible character in its name. Timers report nothing more than a failed start.",
        cure="Convert the line ends (`sed -i 's/\\r$//' FILE`) and add `*.sh text eol=lf` to .gitattributes.",
        shows=(r"\^M: (bad interpreter|No such file)", r"bad interpreter", r"'?(bash|sh|python3?)\\r'?:", r"\$'\\r'"),
    ),
    Entry(
        code="script-not-executable",
        severity="error",
        title="The script is not executable",
        cause="A unit or timer starts the file directly, and its mode does not allow that: copying over a file share "
        "or an archive loses the mode.",
        cure="`chmod +x FILE`, and `git update-index --chmod=+x FILE` so that it stays.",
        shows=(r"status=203/EXEC", r"(\.sh|\.py): Permission denied", r"Failed to (execute|spawn).{0,200}?Permission"),
    ),
    Entry(
        code="unit-path-missing",
        severity="error",
        title="A unit names a path that does not exist",
        cause="A systemd unit, launchd job or crontab line refers to a program, directory or environment file that is "
        "not on this machine. It fails at every start, and only its own log says so.",
        cure="Correct the path in the unit, reload it (`systemctl daemon-reload`), and start it once by hand.",
        shows=(
            r"status=20[09]/(CHDIR|STDOUT)|Changing to the requested working directory failed",
            r"Failed to load environment files",
            r"Failed to locate executable|Failed at step (EXEC|CHDIR)|status=203/EXEC",
        ),
    ),
)
