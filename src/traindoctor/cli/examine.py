"""`check`, `overfit` and `gradflow`: one engine, three selections of probes."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from traindoctor.cli.flags import Flags, with_flags

OVERFIT, SHORT_RUN = "overfit-batch", "short-run"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog="Example: traindoctor check train.py:setup --arg layers=2 --report report.json"
    )(with_flags(check))
    app.command(epilog="Example: traindoctor overfit train.py:setup --steps 200 --lr 3e-4")(
        with_flags(overfit)
    )
    app.command(epilog="Example: traindoctor gradflow train.py:setup --batches 3 -v")(
        with_flags(gradflow)
    )


def check(flags: Flags) -> None:
    """Examine a training setup with every probe."""
    _examine("check", flags)


def overfit(
    flags: Flags,
    *,
    steps: Annotated[
        Optional[int],  # noqa: UP045  typer reads these at run time, on 3.10 too
        typer.Option(min=1, show_default=False, help="The most steps [default: 200]."),
    ] = None,
    lr: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(show_default=False, help="Learning rate [default: the setup's own]."),
    ] = None,
    target_loss: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(show_default=False, help="Learned when the loss gets there."),
    ] = None,
) -> None:
    """Train on one batch: can it be learned?

    Training goes on until the loss reaches its floor or the steps are used up.
    """
    settings = {"steps": steps, "learning_rate": lr, "target_loss": target_loss}
    _examine("overfit", flags, OVERFIT, settings)


def gradflow(
    flags: Flags,
    *,
    batches: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, show_default=False, help="How many batches [default: 6]."),
    ] = None,
) -> None:
    """Show where the gradient flows.

    One row a module in forward order; layers of one structure fold into one row.
    """
    _examine("gradflow", flags, SHORT_RUN, {"num_batches": batches}, is_sole=True)


def _examine(
    command: str,
    flags: Flags,
    experiment: str = "",
    settings: dict[str, Any] | None = None,
    *,
    is_sole: bool = False,
) -> None:
    from traindoctor.cli.examination import Examination
    from traindoctor.cli.plan import Focus

    given = {name: value for name, value in (settings or {}).items() if value is not None}
    focus = Focus(experiment=experiment, settings=given, is_sole=is_sole) if experiment else None
    raise typer.Exit(Examination(command, flags, focus).run())
