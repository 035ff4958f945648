"""The hosts of an Ansible inventory, as Ansible itself reads it."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sage_doctor.errors import UsageError
from sage_doctor.system.child import ChildResult, run
from sage_doctor.text import join_limited, printable

MOST_HOSTS: Final = 2000
_PATIENCE_S: Final = 120.0  # an inventory may be a program that asks a cloud
_PART: Final = re.compile(r"\n\n|\n(?=\[?(?:WARNING|ERROR))")  # of what Ansible says
_LABEL: Final = re.compile(r"^\[?(?:WARNING|ERROR)[\]!]?:?[ *]*")
_ORIGIN: Final = re.compile(r"Origin: \S+:\d+")
COLLECTIONS: Final = Path(__file__).parents[2]  # of the package: `ansible_collections` is in it


def require_ansible() -> None:
    """Raise `UsageError` where ansible-runner or ansible-core is not installed beside this Python."""
    try:
        import ansible  # noqa: F401, PLC0415
        import ansible_runner  # noqa: F401, PLC0415
    except ImportError as error:
        raise UsageError(
            f"other machines are reached with Ansible, which is not installed here ({error.name}): "
            "pip install 'sage-doctor[fleet]'"
        ) from error


def environment(inventory: str) -> dict[str, str]:
    """Return the environment for Ansible's programs: those of this Python first, our collection, and no colours.

    An `ansible.cfg` beside the inventory counts. One in the working directory, where Ansible itself looks, does not: it
    names programs to run, and a person may stand in a model's directory.
    """
    programs = os.path.dirname(sys.executable)
    collections = os.environ.get("ANSIBLE_COLLECTIONS_PATH", os.path.expanduser("~/.ansible/collections"))
    beside = os.path.join(os.path.dirname(os.path.abspath(inventory)), "ansible.cfg")
    own = {"ANSIBLE_CONFIG": beside} if os.path.exists(inventory) and os.path.isfile(beside) else {}
    return {
        **({} if "ANSIBLE_CONFIG" in os.environ else own),
        "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_COLLECTIONS_PATH": f"{COLLECTIONS}:{collections}",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_NOCOWS": "1",
        "ANSIBLE_SSH_EXTRA_ARGS": f"{os.environ.get('ANSIBLE_SSH_EXTRA_ARGS', '')} -o BatchMode=yes".strip(),
        "ANSIBLE_SSH_USETTY": "0",  # a terminal would mix what is said on the two streams
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "ANSIBLE_INTERPRETER_PYTHON": os.environ.get("ANSIBLE_INTERPRETER_PYTHON", "auto_silent"),
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",  # a file that is passed over would be hosts that are not asked
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "LC_ALL": os.environ.get("LC_ALL", "C.UTF-8"),
    }


def read_hosts(inventory: str, limit: str | None = None) -> list[str]:
    """Return the names of the hosts in an inventory (a file, a directory, a program, or `a,b,`), in its order.

    Raises `UsageError` where it cannot be read, holds nobody, or names a host that ssh would take for an option.
    """
    if "," not in inventory and not os.path.exists(inventory):
        raise UsageError(
            f"no inventory at {printable(inventory)}: name a file, or hosts as `thor,sprout` (one as `thor,`)"
        )
    words = ["ansible-inventory", "-i", as_inventory(inventory), "--list"] + (["--limit", limit] if limit else [])
    done = run(
        [os.path.join(os.path.dirname(sys.executable), words[0]), *words[1:]],
        timeout_s=_PATIENCE_S,
        env={**os.environ, **environment(inventory)},
        cwd=Path("/"),
    )
    value = _parsed(done.out) if done is not None and done.code == 0 else None
    if value is None:
        raise UsageError(f"{printable(inventory)}: Ansible read no inventory: {_why_not(done)}")
    hosts = list(dict.fromkeys(_hosts_of(value)))
    if not hosts:
        raise UsageError(f"{printable(inventory)}: no hosts" + (f" match {printable(limit)}" if limit else ""))
    if len(hosts) > MOST_HOSTS:
        raise UsageError(f"{printable(inventory)}: {len(hosts):,} hosts; at most {MOST_HOSTS:,}")
    known = value.get("_meta", {}).get("hostvars", {})
    odd = [t for h in hosts for t in (h, *_addresses(known.get(h))) if t.startswith("-")]
    if odd:
        raise UsageError(f"{printable(inventory)}: ssh would take {join_limited(odd)} for an option; nothing was run")
    return hosts


def refuse_templates(words: Sequence[str]) -> None:
    """Raise `UsageError` for a word in which Ansible would see something to work out."""
    odd = next((w for w in words if "{{" in w or "{%" in w), None)
    if odd is not None:
        raise UsageError(f"{printable(odd)}: Ansible would take this for a template")


def as_inventory(text: str) -> str:
    """Return what Ansible takes for an inventory: a path made absolute, or hosts with a comma at the end."""
    return os.path.abspath(text) if os.path.exists(text) else f"{text.rstrip(',')},"


def _why_not(done: ChildResult | None) -> str:
    """Return why Ansible read no inventory: what the first way to read it met, where, and which file that is."""
    if done is None:
        return "ansible-inventory is not installed beside this Python"
    if done.timed_out:
        return f"no answer within {_PATIENCE_S:.0f} s"
    said = done.err.decode("utf-8", "replace").strip()
    parts = [_LABEL.sub("", part.partition("Traceback")[0]) for part in _PART.split(said)]
    told = dict.fromkeys([parts[0], *_ORIGIN.findall(said)[:1], parts[-1]])
    return printable(" ".join(" ".join(told).split()) or "Ansible gave no reason", limit=600)


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(raw[raw.index(b"{") :])
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _hosts_of(value: Mapping[str, Any]) -> list[str]:
    groups = [g for name, g in value.items() if name != "_meta" and isinstance(g, dict)]
    return [h for g in groups for h in g.get("hosts", []) if isinstance(h, str)]


def _addresses(values: Any) -> Sequence[str]:
    table = values if isinstance(values, dict) else {}
    return [str(table[k]) for k in ("ansible_host", "ansible_ssh_host", "ansible_user") if k in table]
