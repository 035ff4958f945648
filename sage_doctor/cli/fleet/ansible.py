"""Runs one play on hosts with ansible-runner: forks, connections and deadlines are Ansible's."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from sage_doctor.cli.fleet.inventory import as_inventory, environment
from sage_doctor.errors import DoctorError
from sage_doctor.system.frozen import frozen
from sage_doctor.text import printable

CONNECT_S = 10  # to reach a host at all
OnResult = Callable[[str, str, Mapping[str, Any]], None]  # host, event, what the task returned


@frozen
class Play:
    """Tasks or roles for the hosts of an inventory that `limit` matches. `forks` hosts are asked at a time."""

    inventory: str
    limit: str | None = None
    tasks: Sequence[Mapping[str, Any]] = ()
    roles: Sequence[Any] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    forks: int = 10
    check: bool = False


def run_play(play: Play, on_result: OnResult) -> None:
    """Run it, and call `on_result` with each task's result as it comes.

    Raises `DoctorError` where Ansible itself does not start. An interrupt ends Ansible's processes here; what they
    started on the hosts ends by itself.
    """
    from ansible_runner.interface import init_runner  # noqa: PLC0415 - only `fleet` needs it

    heard = False
    leader: int | None = None  # the process of ansible-playbook, which is also its group

    def on_event(event: Mapping[str, Any]) -> bool:
        nonlocal heard, leader
        leader = event.get("pid") or leader
        data = event.get("event_data") or {}
        name = str(event.get("event"))
        if name in ("runner_on_ok", "runner_on_failed", "runner_on_unreachable"):
            heard = True
            on_result(str(data.get("host")), name, data.get("res") or {})
        return False  # no file of the event is kept

    body = {"hosts": "all", "gather_facts": False, "tasks": list(play.tasks), "roles": list(play.roles)}
    with tempfile.TemporaryDirectory(prefix="sage-doctor-fleet-", ignore_cleanup_errors=True) as place:
        runner = init_runner(
            private_data_dir=place,
            inventory=[as_inventory(play.inventory)],  # a text would become a file with one host
            playbook=[body],
            extravars=dict(play.variables),
            forks=play.forks,
            limit=play.limit,
            cmdline="--check --diff" if play.check else None,
            envvars={**environment(play.inventory), "ANSIBLE_TIMEOUT": str(CONNECT_S)},
            quiet=True,
            event_handler=on_event,
            cancel_callback=lambda: False,  # else it takes our signal handlers, and hears of them seconds later
        )
        if "ANSIBLE_HOST_KEY_CHECKING" not in os.environ:  # it says no where nobody says anything; Ansible says yes
            runner.config.env.pop("ANSIBLE_HOST_KEY_CHECKING", None)
        try:
            runner.run()
        except BaseException:
            if leader is not None:
                with contextlib.suppress(OSError):
                    os.killpg(leader, signal.SIGTERM)  # its workers have sessions of their own, and are told by it
            raise
        if not heard and runner.rc not in (0, None):
            said = ""
            with contextlib.suppress(OSError):
                said = runner.stdout.read()[-2000:]
            raise DoctorError(f"ansible-playbook failed: {printable(' '.join(said.split()), limit=600)}")
