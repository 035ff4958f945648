"""Git, asked about a checkout that may be anybody's: nothing that lies in the checkout is run.

A repository's own configuration may name programs (hooks, a file system monitor, filters, a signature checker), and git
may ask for a password or fetch what is missing. All of that is switched off, and the user's and the system's own
configuration are left out. Only a checkout of another user is looked at with them, because nothing else can tell git
that the user trusts it (`safe.directory`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from sage_doctor.system.child import ChildResult, run

DEADLINE_S: Final = 20.0
SETTINGS: Final = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.attributesFile": os.devnull,
    "core.pager": "cat",
    "log.showSignature": "false",
    "protocol.allow": "never",
    "status.submoduleSummary": "false",
    "submodule.recurse": "false",
}
ENVIRONMENT: Final = {
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ALLOW_PROTOCOL": "",
}
_THEIRS: Final = ("GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL")
# Commands that compare contents, through a repository's filters, and look into submodules with their own.
_FILTERING: Final = {
    "diff": ("--ignore-submodules=all", "--no-ext-diff", "--no-textconv"),
    "status": ("--ignore-submodules=all",),
}


def git(
    words: Sequence[str],
    cwd: Path,
    *,
    timeout_s: float = DEADLINE_S,
    ask: bytes = b"",
    settings: Mapping[str, str] = SETTINGS,
    env: Mapping[str, str] | None = None,
    keep_end: bool = False,
    stalled: Callable[[], bool] | None = None,
) -> ChildResult | None:
    """Run git in the directory `cwd`; None where it is not installed, or cannot be run there without risk.

    `settings` are what `-c` sets. `env` is the whole environment: by default `ENVIRONMENT` and ours, without GIT_*.
    """
    if env is None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        env = {**kept, **{k: v for k, v in ENVIRONMENT.items() if k not in _THEIRS or _is_ours(cwd)}}
    if words[0] in _FILTERING:
        filters = _without_filters(cwd, timeout_s, settings, env)
        if filters is None:
            return None
        settings = {**settings, **filters}
        words = [words[0], *_FILTERING[words[0]], *words[1:]]
    command = _command(words, cwd, settings)
    return run(command, timeout_s=timeout_s, env=env, ask=ask, keep_end=keep_end, stalled=stalled)


def _command(words: Sequence[str], cwd: Path, settings: Mapping[str, str]) -> list[str]:
    return ["git", "-C", str(cwd), *(w for name, value in settings.items() for w in ("-c", f"{name}={value}")), *words]


def _is_ours(directory: Path) -> bool:
    try:
        return os.stat(directory).st_uid == os.geteuid()
    except OSError:
        return True


def _without_filters(
    cwd: Path, timeout_s: float, settings: Mapping[str, str], env: Mapping[str, str]
) -> dict[str, str] | None:
    """Return settings that switch off the filters which the configuration names; None where one cannot be."""
    asked = ("config", "--includes", "--null", "--name-only", "--get-regexp", r"^filter\..*\.")
    done = run(_command(asked, cwd, settings), timeout_s=timeout_s, env=env)
    if done is None or done.code not in (0, 1):  # 1: there are none
        return None
    found: dict[str, str] = {}
    for key in filter(None, os.fsdecode(done.out).split("\0")):
        driver = key.rpartition(".")[0]
        if "=" in driver:  # `-c` could not name it
            return None
        found |= {f"{driver}.clean": "", f"{driver}.smudge": "", f"{driver}.process": "", f"{driver}.required": "false"}
    return found
