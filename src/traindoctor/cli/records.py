"""`render` and `compare`: what can be done with reports that were kept. No torch is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: traindoctor render report.json --format html -o report.html")(
        render
    )


def render(
    record: Annotated[Path, typer.Argument(metavar="REPORT", help="A report as JSON.")],
    form: Annotated[
        Optional[str],  # noqa: UP045  typer reads these at run time, on 3.10 too
        typer.Option("--format", metavar="FORMAT", show_default=False, help="[default: text]"),
    ] = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", metavar="FILE", show_default=False, help="Not to stdout."),
    ] = None,
    copies: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(
            "--report",
            metavar="FILE",
            show_default=False,
            help="A copy, by its ending; repeatable.",
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="All evidence.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="The verdict alone.")] = False,
) -> None:
    """Show a kept report in another format."""
    from traindoctor.cli.delivery import Delivery
    from traindoctor.config import load_config
    from traindoctor.report.kept import load_report
    from traindoctor.report.outcome import USAGE

    config = load_config(
        {"format": form, "output": output, "report": copies}, file=None, environment={}
    )
    delivery = Delivery(config, int(verbose) - int(quiet))
    delivery.check()
    if not delivery.deliver(load_report(record)):
        raise typer.Exit(USAGE)
