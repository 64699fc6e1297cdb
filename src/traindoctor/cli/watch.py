"""`watch` and `report`: a script is run as it is, recorded, and judged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from traindoctor.cli.flags import Flags, with_flags

# A script's own words are the script's, however much they look like ours.
SCRIPTS_OWN = {"allow_interspersed_args": False}
NO_FACTORY = ("target", "arg", "model", "data", "timeout", "budget", "restore")


def register(app: typer.Typer) -> None:
    """Add the commands to an app."""
    app.command(
        epilog="Example: traindoctor watch --report report.md train.py --lr 3e-4",
        context_settings=SCRIPTS_OWN,
    )(with_flags(watch, without=NO_FACTORY))
    app.command(epilog="Example: traindoctor report run.trace --report report.md")(
        with_flags(report, without=NO_FACTORY)
    )


def watch(
    flags: Flags,
    *,
    script: Annotated[str, typer.Argument(help="The script, or with -m a module.")],
    arguments: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="[SCRIPT'S OWN]...", help="What it is given.", show_default=False),
    ] = None,
    module: Annotated[bool, typer.Option("-m", help="Run a module, as `python -m` does.")] = False,
    stop_on: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="critical", show_default=False, help="End the run when it is found."),
    ] = None,
    nproc: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(metavar="N", show_default=False, help="Run it as N processes, by torchrun."),
    ] = None,
    budget: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the run's time for watching.")
    ] = 0.02,
    trace: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", show_default=False, help="Keep what was recorded there."),
    ] = None,
    factory: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", show_default=False, help="Begin a factory for `check` there."),
    ] = None,
) -> None:
    """Run a script as it is, and judge what it does.

    The run is the script's: its output, its arguments, its exit status. The report goes to stderr.
    Several processes, by --nproc or under torchrun, make one report.
    """
    from traindoctor.cli.watching import Watching

    watching = Watching(
        flags,
        script,
        tuple(arguments or ()),
        module,
        budget=budget,
        trace=trace,
        stop_on=stop_on,
        nproc=nproc,
        factory=factory,
    )
    raise typer.Exit(watching.run())


def report(
    flags: Flags,
    *,
    traces: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Argument(
            metavar="[TRACE]...", help="What `watch --trace` kept, or a run left that was cut off."
        ),
    ] = None,
) -> None:
    """Report on a run that was recorded.

    Without a trace, the last run that left one behind. Several are joined: runs of one script, in
    their order, each of which went on from the checkpoint of the one before.
    """
    from traindoctor.cli.recorded import report_on

    raise typer.Exit(report_on(flags, traces or []))
