"""The commands and their options. `check` is what runs where no command is named."""

from __future__ import annotations

from typing import Any

import click
import typer
from typer.core import TyperGroup

from sage_doctor import __version__
from sage_doctor.cli import check, demo, explain, where


class DefaultGroup(TyperGroup):
    """A group whose command `check` may be left out: `sage-doctor thor -l static`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `check` in front of arguments that name no command."""
        first = next((a for a in args if a not in ("--",)), None)
        own = {"--help", "--version"}
        if first is None or (first not in self.commands and first not in own):
            args = ["check", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="sage-doctor",
    cls=DefaultGroup,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "SAGE_DOCTOR"},
)


def _version(value: bool) -> None:  # noqa: FBT001 - typer's callback
    if value:
        typer.echo(f"sage-doctor {__version__}")
        raise typer.Exit


@app.callback()
def top(
    _version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Say whether this machine can run its local models right now, why not, and what to do."""


app.command("check")(check.check)
app.command("explain")(explain.explain)
app.command("where")(where.where)
app.command("demo")(demo.demo)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code. Raises `DoctorError` and `KeyboardInterrupt`."""
    command: Any = typer.main.get_command(app)
    try:
        result = command.main(args=arguments, prog_name="sage-doctor", standalone_mode=False)
    except click.exceptions.Exit as leave:
        return int(leave.exit_code)
    except click.exceptions.Abort as stop:
        raise KeyboardInterrupt from stop
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return result if isinstance(result, int) else 0
