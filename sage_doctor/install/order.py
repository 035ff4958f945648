"""What to install: for which roles, with which command, for which user, and when."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Final

from sage_doctor.errors import UsageError
from sage_doctor.install.schedule import Schedule
from sage_doctor.manifest.names import nearest
from sage_doctor.manifest.specs import Manifest, ModelPath
from sage_doctor.system.frozen import frozen
from sage_doctor.text import join_limited, printable, shell_quote

TIMEOUT_S: Final = 900  # for a run of its own: a large model may load for minutes after a reboot
SESSION_TIMEOUT_S: Final = 75  # before a session: systemd gives a unit 90 seconds to start
ROLE: Final = "{role}"  # in the path of a report
BOOT_DELAY_S: Final = 120  # mounts, drivers and clocks settle first

# sage-doctor reads these, and no scheduler passes them on from the installing shell.
_CARRIED = ("SAGE_MACHINE", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "XDG_STATE_HOME")
_NAMED_IN_MANIFEST = re.compile(r"\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


@frozen
class Order:
    """The complete order.

    `program` are the words that start the doctor from any directory and environment. `environment` holds the variables
    that it needs besides HOME. `mounts` are the places on disk that must be mounted, by role. `user` is who runs it,
    with the home `home`; `state` is that user's state directory. `timeout_s` is None for the defaults. `outputs` are
    the formats and absolute paths of the reports that each gate writes; `{role}` in a path is the gate's role.
    """

    roles: tuple[str, ...]
    manifest: Path
    program: tuple[str, ...]
    user: str
    home: Path
    state: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    on_boot: bool = True
    schedule: Schedule | None = None
    session_units: tuple[str, ...] = ()
    timeout_s: int | None = None
    outputs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what a scheduler's file cannot contain. Raises `UsageError`."""
        words = [str(self.manifest), str(self.home), str(self.state), *self.program, *self.environment.values()]
        words += [path for _, path in self.outputs]
        for word in [*words, *(str(p) for paths in self.mounts.values() for p in paths)]:
            if any(unicodedata.category(c) in ("Cc", "Cs") for c in word):
                raise UsageError(
                    f"{shell_quote(word)} contains a control character or a byte that is not UTF-8, which a "
                    "scheduler's file cannot contain; rename it, or install from another path"
                )

    @property
    def run_timeout_s(self) -> int:
        """The deadline of a scheduled run, in seconds."""
        return self.timeout_s or TIMEOUT_S

    @property
    def session_timeout_s(self) -> int:
        """The deadline of a run that a session waits for, in seconds."""
        return self.timeout_s or SESSION_TIMEOUT_S

    def gate(self, role: str, timeout_s: int, *words: str) -> tuple[str, ...]:
        """Return the command that asks whether `role` can run: exit code 0 is yes, every other one is no."""
        reports = [w for name, path in self.outputs for w in ("-o", f"{name}:{path.replace(ROLE, role)}")]
        told = ("--manifest", str(self.manifest), "--timeout", str(timeout_s))
        return (*self.program, "gate", role, *told, *reports, *words)


def chosen_roles(manifest: Manifest, asked: Iterable[str]) -> tuple[str, ...]:
    """Return the roles to install for: those asked for, else all of this machine. Raises `UsageError`."""
    where = printable(str(manifest.path))
    if not manifest.roles:
        raise UsageError(f"{where} has no roles; add [roles.NAME] with models = [...]")
    if manifest.machines and manifest.machine is None:
        raise UsageError(
            f"{where} has no machine that matches this host; give one of its [machines] a matching match.hostname, or "
            "set SAGE_MACHINE"
        )
    here = manifest.needed_roles()
    for role in asked:
        if role not in manifest.roles:
            near = nearest(role, manifest.roles)
            hint = (
                f"did you mean {shell_quote(near)}?"
                if near
                else f"roles: {join_limited(list(manifest.roles), most=12)}"
            )
            raise UsageError(f"role {shell_quote(role)} not found in {where}; {hint}")
        if role not in here:
            name = manifest.machine.name if manifest.machine else "this machine"
            raise UsageError(
                f"{shell_quote(role)} is not a role of {printable(name)}, whose roles are: "
                f"{join_limited(list(here), most=12) or 'none'}; "
                f"add it to the machine's roles in {where}"
            )
    chosen = tuple(dict.fromkeys(asked)) or here
    if not chosen:
        raise UsageError(f"this machine has no role in {where}: nothing to install")
    return chosen


def carried(environ: Mapping[str, str], manifest_text: str) -> dict[str, str]:
    """Return the variables that the gate needs and no scheduler passes on, with their current values."""
    names = [*_CARRIED, *_NAMED_IN_MANIFEST.findall(manifest_text)]
    return {name: environ[name] for name in dict.fromkeys(names) if environ.get(name)}


def mounts_of(manifest: Manifest, role: str, cache: Path) -> tuple[Path, ...]:
    """Return the manifest and the paths of a role's models; `cache` is the Hugging Face cache."""
    found: dict[Path, None] = {manifest.path: None}
    for name in manifest.roles[role].models:
        spec = manifest.models.get(name)
        if spec is None:
            continue
        base = manifest.models.get(spec.base) if spec.base is not None else None
        places: tuple[ModelPath | None, ...] = (spec.path, spec.base_path, base.path if base else None)
        for place in places:
            if place is not None:
                found[place.path if place.path is not None else cache] = None
    return tuple(found)
