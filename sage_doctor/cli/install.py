"""`sage-doctor install`: run the gate from cron, systemd or launchd, after a reboot and before sessions.

Shows every change first and asks. Exits with 0 if everything is installed, 1 if declined, 2 for wrong usage, and 3 if
something could not be written, or was edited by hand and is therefore kept.
"""

from __future__ import annotations

import argparse
import os
import pwd
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sage_doctor.cli.dialogue import agreed, say
from sage_doctor.cli.options import add_manifest, duration
from sage_doctor.errors import UsageError
from sage_doctor.system.state_directory import home_of, state_directory
from sage_doctor.text import printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.install.installation import Installation
    from sage_doctor.install.order import Order
    from sage_doctor.manifest.specs import Manifest

SCHEDULERS: Final = ("cron", "systemd", "launchd")
_DECLINED: Final = 1
_KEPT: Final = 3


EXAMPLES = (
    ("install systemd --dry-run", "what would be written"),
    ("install systemd --session-unit raising.service", "sessions start only if their role is healthy"),
    ("install cron --every 6h", "check every six hours and after a reboot"),
    ("install systemd --uninstall", "take it back"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("scheduler", choices=SCHEDULERS, metavar="SCHEDULER", help="cron, systemd or launchd")
    parser.add_argument(
        "--role",
        action="append",
        default=[],
        metavar="ROLE",
        help="a role to check (default: all roles of this machine)",
    )
    add_manifest(parser)
    parser.add_argument(
        "--session-unit",
        action="append",
        default=[],
        metavar="UNIT",
        help="systemd: a service that starts only if the roles are healthy",
    )
    parser.add_argument(
        "--on-boot", action="store_true", help="check after a reboot (default without --every and --session-unit)"
    )
    parser.add_argument("--every", metavar="SCHEDULE", help="check every 30m or 6h, or at 03:30,15:30")
    parser.add_argument("--timeout", type=_timeout, metavar="TIME", help="deadline of each gate run")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FORMAT:PATH",
        action="append",
        default=[],
        help="let each gate write its report there; {role} in PATH is its role",
    )
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--user", action="store_true", help="install for your user (default, unless you are root)")
    whose.add_argument("--system", action="store_true", help="install for the machine (default for root)")
    parser.add_argument(
        "--run-as", metavar="USER", help="with --system: the user that runs the gate (default: who called sudo)"
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="show the changes, change nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--uninstall", action="store_true", help="remove what was installed")


def run(options: argparse.Namespace) -> int:
    """Show, ask, write, and list what is left to do. Raises `DoctorError`."""
    if options.user and options.system:  # set by the environment
        raise UsageError("--user and --system exclude each other")
    system = options.system or (os.getuid() == 0 and not options.user)
    if options.scheduler == "cron" and (options.system or options.run_as):
        raise UsageError("cron: install writes the crontab of the current user; run it as the user of the sessions")
    if options.run_as and not system:
        raise UsageError("--run-as needs --system")
    installation = _uninstallation(options, system) if options.uninstall else _installation(options, system)
    return _carry_out(installation, options)


def _carry_out(installation: Installation, options: argparse.Namespace) -> int:
    kept = [f"kept: {sentence}" for sentence in installation.kept]
    code = _KEPT if kept else 0
    if installation.idle:
        done = (
            "nothing to do"
            if kept
            else "nothing to remove"
            if options.uninstall
            else "already installed, nothing to do"
        )
        say(*kept, done)
        _say_rest(installation)
        return code
    say(*installation.lines(), *kept)
    if options.dry_run:
        say("Nothing was changed.")
        return code
    if not options.yes and not agreed("Apply these changes?"):
        reason = "" if sys.stdin.isatty() else ": no terminal to ask at; use --yes"
        say(f"Nothing was changed{reason}.")
        return _DECLINED
    installation.apply()
    say("removed" if options.uninstall else "installed")
    _say_rest(installation)
    if not options.uninstall:
        say(*installation.advice)
    return code


def _say_rest(installation: Installation) -> None:
    """Print the commands to run by hand if the scheduler is not reachable from here."""
    if installation.commands and not installation.reachable:
        say(
            "the scheduler is not reachable from here; run these where it is:",
            *(f"  {c}" for c in installation.commands),
        )


def _account(options: argparse.Namespace, *, system: bool) -> tuple[str, Path]:
    """Return who runs the gate, and that user's home. Raises `UsageError`."""
    own = pwd.getpwuid(os.getuid()).pw_name
    name = (options.run_as or os.environ.get("SUDO_USER") or own) if system else own
    if name == own:
        return name, home_of(os.environ)
    try:
        return name, Path(pwd.getpwnam(name).pw_dir)
    except KeyError as error:
        raise UsageError(f"user {shell_quote(name)} not found on this machine") from error


def _installation(options: argparse.Namespace, system: bool) -> Installation:
    from sage_doctor.install import crontab, launchd, systemd  # noqa: PLC0415 - --help needs none of it
    from sage_doctor.install.bare_environment import lacking  # noqa: PLC0415

    order, manifest = _order(options, system=system)
    if options.scheduler == "cron":
        planned = crontab.plan_install(order)
    elif options.scheduler == "systemd":
        location = systemd.location_of(system=system, environ=os.environ, home=order.home)
        planned = systemd.plan_install(order, location)
    else:
        if not options.dry_run:
            launchd.require_launchd()
        planned = launchd.plan_install(order, launchd.location_of(system=system, home=order.home))
    return replace(planned, notes=(*planned.notes, *lacking(order, manifest, os.environ, options.scheduler)))


def _uninstallation(options: argparse.Namespace, system: bool) -> Installation:
    from sage_doctor.install import crontab, launchd, systemd  # noqa: PLC0415 - --help needs none of it

    home = home_of(os.environ)
    if options.session_unit and options.scheduler != "systemd":
        raise UsageError("--session-unit is for systemd only")
    if options.scheduler == "cron":
        return crontab.plan_uninstall(options.role, state_directory(os.environ))
    if options.scheduler == "systemd":
        location = systemd.location_of(system=system, environ=os.environ, home=home)
        return systemd.plan_uninstall(options.role, options.session_unit, location)
    return launchd.plan_uninstall(options.role, launchd.location_of(system=system, home=home))


def _order(options: argparse.Namespace, *, system: bool) -> tuple[Order, Manifest]:
    from sage_doctor.facts.hub_cache import cache_root  # noqa: PLC0415 - --help needs none of it
    from sage_doctor.install.bare_environment import own_program, prove  # noqa: PLC0415
    from sage_doctor.install.order import Order, carried, chosen_roles, mounts_of  # noqa: PLC0415
    from sage_doctor.install.schedule import parse_schedule  # noqa: PLC0415
    from sage_doctor.manifest.load import FILE_NAME, find_manifest, load_for_host  # noqa: PLC0415

    user, home = _account(options, system=system)
    schedule = parse_schedule(options.every, options.scheduler) if options.every else None
    path = Path(os.path.abspath(options.manifest)) if options.manifest else find_manifest(Path.cwd(), os.environ)
    if path is None:
        raise UsageError(f"no {FILE_NAME} in this directory or above; name one with --manifest")
    os.environ["HOME"] = str(home)  # `~` in the manifest is the home of the user that will run the gate
    manifest = load_for_host(path)
    roles = chosen_roles(manifest, options.role)
    outputs = _outputs(options, roles)
    environment = carried(os.environ, path.read_text(encoding="utf-8-sig"))
    program = own_program(sys.argv[0])
    order = Order(
        roles=roles,
        manifest=manifest.path,
        program=program,
        user=user,
        home=home,
        state=state_directory({k: v for k, v in os.environ.items() if k != "STATE_DIRECTORY"}, home),
        environment=environment,
        mounts={role: mounts_of(manifest, role, cache_root(os.environ, home)) for role in roles},
        on_boot=options.on_boot or not (schedule or options.session_unit),
        schedule=schedule,
        session_units=tuple(options.session_unit),
        timeout_s=options.timeout,
        outputs=outputs,
    )
    prove(program, home, environment)
    return order, manifest


def _outputs(options: argparse.Namespace, roles: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the formats and absolute paths of `-o`. Raises `UsageError` where two gates would write one file."""
    if not options.output:
        return ()
    from sage_doctor.cli.outputs import outputs_of  # noqa: PLC0415 - brings the renderers
    from sage_doctor.install.order import ROLE  # noqa: PLC0415

    outputs = tuple((name, os.path.abspath(path)) for name, path in outputs_of(options))
    for name, path in outputs:
        if len(roles) > 1 and ROLE not in path:
            raise UsageError(
                f"-o {name}:{printable(path)} would be written by the gates of {len(roles)} roles: put {ROLE} into the "
                "path, or choose one role with --role"
            )
    return outputs


def _timeout(text: str) -> int:
    value = duration(text)
    if not 1 <= value <= 86400 or value != int(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds, from 1s to 1d")
    return int(value)
