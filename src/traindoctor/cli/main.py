"""The console entry: the commands, and the one place where errors become exit codes."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from traindoctor import __version__
from traindoctor.cli import beginnings, examine, lint, manual, records, watch
from traindoctor.cli.streams import open_streams, silence
from traindoctor.errors import TargetError, TrainDoctorError, UsageError

EXIT_INTERNAL, EXIT_INTERRUPTED = 3, 130
MOST_FRAMES = 6

# Without rich's markup, help costs what importing typer costs.
app = typer.Typer(
    name="traindoctor",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
examine.register(app)
watch.register(app)
records.register(app)
lint.register(app)
beginnings.register(app)
manual.register(app)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"traindoctor {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Example: traindoctor check train.py:setup",
)
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Find out why a training run does not learn, and name the line."""


def main() -> None:
    """Run the command line and exit."""
    open_streams()
    try:
        _check_folder()
        app()
    except TrainDoctorError as error:
        _complain(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("traindoctor: interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has left, as `| head` does
        silence()
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        _confess(error)
        sys.exit(EXIT_INTERNAL)


def _check_folder() -> None:
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UsageError("the working directory is gone; change to one that is there") from None


def _complain(error: TrainDoctorError) -> None:
    from traindoctor.report.renderers.page import harmless

    print(f"traindoctor: {harmless(str(error))}", file=sys.stderr)
    if isinstance(error, TargetError) and error.details:
        print(harmless(error.details), file=sys.stderr)


def _confess(error: Exception) -> None:
    """Say what to send to whoever mends traindoctor."""
    import platform
    import traceback

    lines = traceback.format_exception(error, limit=-MOST_FRAMES)
    print(
        "traindoctor: this is a bug in traindoctor, not in your training; please report it with\n",
        f"traindoctor {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"command: {' '.join(sys.argv)}",
        "".join(lines),
        sep="\n",
        file=sys.stderr,
    )
