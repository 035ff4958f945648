"""A model as another machine has it, asked over the user's ssh: files, hashes, and what the doctor there says.

What another machine answers is checked like any input: names stay inside the model, sizes are numbers, hashes are hex.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Final

from sage_doctor.errors import DoctorError
from sage_doctor.manifest.other_machines import ModelElsewhere
from sage_doctor.readers.known_hash import is_inside
from sage_doctor.readers.merge_record import RECORD, merge_hashes
from sage_doctor.report import MACHINE
from sage_doctor.system.frozen import frozen
from sage_doctor.system.ssh import CONNECT_S, FIND_DOCTOR, run_there
from sage_doctor.text import join_limited, printable, shell_quote

_ASK_S: Final = 120.0
_READS_BYTES_S: Final = 30e6  # a slow disk
_MOST_FILES: Final = 10_000
_MOST_RECORD: Final = 2_000_000
_NO_DIRECTORY: Final = 66
_NO_DOCTOR: Final = (126, 127)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

# Names that begin with a dot are a repository's or a download's, and no part of a model.
_LIST: Final = r"""
find -L . -name '.?*' -prune -o -type f -exec sh -c 'for f do
    s=$(stat -L -c %s -- "$f" 2>/dev/null || stat -L -f %z -- "$f") || exit 1
    printf "%s\0%s\0" "$s" "$f"
done' sh {} + || exit 1
printf '\0'
"""
_SUM: Final = 'h=$(sha256sum < "$f" 2>/dev/null || shasum -a 256 < "$f") || exit 1; printf \'%s\\0\' "${h%% *}"'


@frozen
class RemoteModel:
    """A model on another machine: `sizes` of its files by name, `recorded` what its merge says the weights hash to."""

    machine: str
    host: str
    path: Path
    sizes: Mapping[str, int]
    recorded: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """What people call it: `sprout:/data/models/merged`."""
        return f"{self.host}:{printable(str(self.path))}"

    def hashes(self, names: Iterable[str]) -> dict[str, str]:
        """Return the sha256 of files in hex, computed over there. Raises `Unreachable` and `DoctorError`."""
        wanted = sorted(names)
        if not wanted:
            return {}
        words = " ".join(shell_quote(f"./{n}") for n in wanted)
        timeout_s = _ASK_S + sum(self.sizes[n] for n in wanted) / _READS_BYTES_S
        said = _run(self.host, self.path, f"for f in {words}; do {_SUM}; done", timeout_s)
        found = said.split("\0")[:-1]
        if len(found) != len(wanted) or not all(_SHA256.fullmatch(h) for h in found):
            raise DoctorError(f"{self.host} has neither sha256sum nor shasum, or they say something else")
        return dict(zip(wanted, found, strict=True))


def ask(elsewhere: ModelElsewhere) -> RemoteModel:
    """Return what a machine has of a model. Raises `Unreachable` and `DoctorError`."""
    host, path = elsewhere.host, elsewhere.path
    record = f'[ "$(wc -c < {RECORD} || echo {_MOST_RECORD})" -lt {_MOST_RECORD} ] 2>/dev/null && cat {RECORD}; true'
    listed, _, rest = _run(host, path, f"{_LIST}\n{record} 2>/dev/null", _ASK_S).partition("\0\0")
    parts = listed.split("\0") if listed[:1] != "\0" else []  # nothing but the end of the list
    sizes: dict[str, int] = {}
    for size, listed_name in zip(parts[::2], parts[1::2], strict=False):
        name = listed_name.removeprefix("./")
        if not is_inside(name) or not (size.isascii() and size.isdigit()):
            raise DoctorError(f"{host} has a file that cannot be one of a model: {printable(name, limit=200)}")
        sizes[name] = int(size)
    if len(sizes) > _MOST_FILES:
        raise DoctorError(f"{host}:{printable(str(path))} has {len(sizes)} files: that is not a model directory")
    if not sizes:
        raise DoctorError(f"{host}:{printable(str(path))} is empty")
    recorded = _recorded(rest) if RECORD in sizes else {}
    return RemoteModel(machine=elsewhere.machine, host=host, path=path, sizes=sizes, recorded=recorded)


def _recorded(text: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="sage-doctor-") as directory:
        (Path(directory) / RECORD).write_text(text, encoding="utf-8", errors="surrogateescape")
        return {name: known.hex for name, known in merge_hashes(Path(directory)).items()}


def health(model: RemoteModel) -> tuple[bool | None, str]:
    """Return whether the doctor over there finds the model healthy, None if that is not known; and a sentence."""
    path = shell_quote(model.path)
    script = f"cd {path} || exit {_NO_DIRECTORY}\n{FIND_DOCTOR}\nsage-doctor check -l static -f json {path}; exit"
    code, said = run_there(model.host, script, timeout_s=_ASK_S)
    if code in _NO_DOCTOR:
        return None, f"whether it is healthy on {model.machine} is not known: no sage-doctor was found there"
    try:
        report = json.loads(said)
        found = [f for f in report["findings"] if f["severity"] == "error" and f["subject"] != MACHINE]
        checked = [c for c in report["checks"] if c["subject"] != MACHINE]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, f"whether it is healthy on {model.machine} is not known: the sage-doctor there gave no report"
    if found:
        codes = join_limited(sorted({printable(str(f.get("code")), limit=60) for f in found}), most=3)
        return False, f"the doctor on {model.machine} finds it unhealthy: {codes}"
    if not checked or report.get("exit_code") not in (0, 1):
        return None, f"whether it is healthy on {model.machine} is not known: the sage-doctor there could not tell"
    return True, f"the doctor on {model.machine} finds no error in it (level static)"


def _run(host: str, path: Path, script: str, timeout_s: float) -> str:
    """Run a script in a directory of a host, and return what it printed."""
    code, said = run_there(
        host, f"cd {shell_quote(path)} 2>/dev/null || exit {_NO_DIRECTORY}\n{script}", timeout_s=timeout_s + CONNECT_S
    )
    if code == _NO_DIRECTORY:
        raise DoctorError(f"{host} has no directory {printable(str(path))}")
    if code != 0:
        raise DoctorError(f"{host}:{printable(str(path))} cannot be read completely")
    return os.fsdecode(said)
