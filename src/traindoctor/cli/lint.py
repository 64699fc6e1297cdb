"""`lint`: what the source shows before anything runs. Fast, and no torch is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from traindoctor.cli.flags import Flags, with_flags

NO_RUN = ("target", "arg", "model", "data", "timeout", "budget", "restore")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: traindoctor lint src train.py --format github")(
        with_flags(lint, without=NO_RUN)
    )


def lint(
    flags: Flags,
    *,
    paths: Annotated[
        Optional[list[Path]],  # noqa: UP045  typer reads these at run time, on 3.10 too
        typer.Argument(metavar="PATH", help="Files and folders [default: .]."),
    ] = None,
) -> None:
    """Read source files: the faults that show before anything runs.

    Fails from warnings up: what nobody has measured is no more than likely.
    """
    from traindoctor.cli.reading import lint_paths

    raise typer.Exit(lint_paths(flags, paths or [Path()]))
