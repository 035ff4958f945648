"""The commands and their options. `check` is what runs where no command is named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from sage_doctor import __version__
from sage_doctor.cli import check, demo, explain, merge, where

app = typer.Typer(
    name="sage-doctor",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "SAGE_DOCTOR"},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"sage-doctor {__version__}")
        raise typer.Exit


@app.callback()
def top(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Say whether this machine can run its local models right now, why not, and what to do."""


app.command("check")(check.check)
app.command("explain")(explain.explain)
app.command("where")(where.where)
app.command("merge")(merge.merge)
app.command("demo")(demo.demo)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code. Raises `DoctorError` and `KeyboardInterrupt`."""
    command: Any = typer.main.get_command(app)
    try:
        result = command.main(
            args=_with_command(arguments, command.commands), prog_name="sage-doctor", standalone_mode=False
        )
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort as stop:
        raise KeyboardInterrupt from stop
    except Exception as error:
        # Newer releases of Typer carry a copy of click, so its errors are known by what they can do, not by class.
        show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
        if show is None or not isinstance(code, int):
            raise
        show()
        return code
    return result if isinstance(result, int) else 0


def _with_command(arguments: list[str], commands: Iterable[str]) -> list[str]:
    """Put `check` in front of arguments that name no command."""
    first = arguments[0] if arguments else None
    return arguments if first in {*commands, "--help", "-h", "--version"} else ["check", *arguments]
