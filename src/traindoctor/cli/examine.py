"""`check` and its kin: one engine, several selections of probes."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from traindoctor.cli.flags import Flags, with_flags
from traindoctor.errors import UsageError

OVERFIT, SHORT_RUN, MEASURE_STEP = "overfit-batch", "short-run", "measure-step"
TIMING_PROBE = "step-timing"
BATCH_RULES = "TD0"  # the family of the contract between batch and model


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: traindoctor check train.py:setup --report report.html")(
        with_flags(check)
    )
    app.command(epilog="Example: traindoctor overfit train.py:setup --steps 200 --lr 3e-4")(
        with_flags(overfit)
    )
    app.command(epilog="Example: traindoctor gradflow train.py:setup --batches 3 -v")(
        with_flags(gradflow)
    )
    app.command(epilog="Example: traindoctor steps train.py:setup --batches 12")(with_flags(steps))
    app.command(epilog="Example: traindoctor backward train.py:setup")(with_flags(backward))
    app.command(epilog="Example: traindoctor batch train.py:setup")(with_flags(batch))
    app.command(epilog="Example: traindoctor timing train.py:setup --samples 42139 --seconds 60")(
        with_flags(timing)
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
    own = {"--steps": steps, "--lr": lr, "--target-loss": target_loss}
    _examine("overfit", flags, own, experiment=OVERFIT, settings=settings)


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
    _examine_short_run("gradflow", flags, batches)


def steps(
    flags: Flags,
    *,
    batches: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, show_default=False, help="How many batches [default: 6]."),
    ] = None,
) -> None:
    """Count batches, backward passes and optimizer steps.

    With accumulation, learning rates by group, and who skipped what.
    """
    _examine_short_run("steps", flags, batches)


def backward(
    flags: Flags,
    *,
    batches: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, show_default=False, help="How many batches [default: 6]."),
    ] = None,
) -> None:
    """Show each backward pass and the graph it goes through.

    A pass that goes through an earlier batch's outputs uses a graph again.
    """
    _examine_short_run("backward", flags, batches)


def batch(flags: Flags) -> None:
    """Set a batch beside what the model takes: keys, shapes, dtypes."""
    _examine("batch", flags, rules=BATCH_RULES)


def timing(
    flags: Flags,
    *,
    samples: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, show_default=False, help="Samples of the data, as a log says."),
    ] = None,
    epochs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, show_default=False, help="Epochs that it ran [default: 1]."),
    ] = None,
    seconds: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0, show_default=False, help="Seconds that it took."),
    ] = None,
) -> None:
    """Time a step, and judge a run that a log tells of.

    Says whether so many samples in so little time are possible, and what would be plausible. Of
    a run of which only the samples or only the time are known it says what the other would be.
    """
    if seconds == 0:
        raise UsageError("--seconds 0: no run takes no time at all")
    claim = {"num_samples": samples, "epochs": epochs, "seconds": seconds, "always": True}
    options = {name: value for name, value in claim.items() if value is not None}
    own = {"--samples": samples, "--epochs": epochs, "--seconds": seconds}
    _examine("timing", flags, own, experiment=MEASURE_STEP, options={TIMING_PROBE: options})


def _examine_short_run(command: str, flags: Flags, batches: int | None) -> None:
    settings, own = {"num_batches": batches}, {"--batches": batches}
    _examine(command, flags, own, experiment=SHORT_RUN, settings=settings, is_sole=True)


def _examine(
    command: str,
    flags: Flags,
    own: dict[str, Any] | None = None,
    *,
    settings: dict[str, Any] | None = None,
    **focus: Any,
) -> None:
    from traindoctor.cli.examination import Examination
    from traindoctor.cli.plan import Focus

    given = {name: value for name, value in (settings or {}).items() if value is not None}
    typed = {name: value for name, value in (own or {}).items() if value is not None}
    words = tuple(word for name, value in typed.items() for word in (name, str(value)))
    about = Focus(settings=given, words=words, **focus) if focus else None
    raise typer.Exit(Examination(command, flags, about).run())
