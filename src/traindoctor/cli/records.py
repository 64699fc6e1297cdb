"""`render` and `compare`: what can be done with reports that were kept. No torch is needed."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer


class ComparisonForm(str, Enum):
    """How a comparison is shown."""

    TEXT = "text"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: traindoctor render report.json --format html -o report.html")(
        render
    )
    app.command(epilog="Example: traindoctor compare before.json after.json")(compare)


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
    from traindoctor.config import with_flags
    from traindoctor.report.kept import load_report
    from traindoctor.report.outcome import USAGE

    # The settings of a project say where an examination's report goes, not this copy of it.
    config = with_flags({"format": form, "output": output, "report": copies})
    delivery = Delivery(config, int(verbose) - int(quiet))
    delivery.check()
    if not delivery.deliver(load_report(record)):
        raise typer.Exit(USAGE)


def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A report as JSON.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="A later one.")],
    form: Annotated[
        ComparisonForm, typer.Option("--format", help="text or json.")
    ] = ComparisonForm.TEXT,
    fail_on: Annotated[
        str, typer.Option("--fail-on", metavar="SEVERITY", help="Exit 1 if this or worse is new.")
    ] = "error",
) -> None:
    """Say what is new, fixed and still there, and what moved.

    Findings are the same if their rule and place are; values and line numbers may differ.
    """
    from traindoctor.cli.delivery import print_text
    from traindoctor.codec import dumps
    from traindoctor.config import with_flags
    from traindoctor.report.comparison import compare as compared
    from traindoctor.report.kept import load_report
    from traindoctor.report.outcome import FOUND, reaches
    from traindoctor.report.renderers.comparison_view import render_comparison

    threshold = with_flags({"fail_on": fail_on}).fail_on
    made = compared(load_report(old), load_report(new))
    if form is ComparisonForm.JSON:
        typer.echo(dumps(made, indent=2))
    else:
        print_text(lambda look: render_comparison(made, look))
    if reaches(made.new, threshold):
        raise typer.Exit(FOUND)
