"""Do training and validation loss part?

## What it measures
Each validation loss that the user's code reports (prints, logs, shows), beside the mean of the
training losses since the report before: where it was lowest, how far it has risen since, and where
the training loss went meanwhile.

## Why it matters
From the step on where they part, the model learns what holds for the training data alone. Every
step after it makes the model worse for anything new.

## Known limits
Validation losses are known by their names in what is printed or logged, the first 64 of each line.
One that is small or noisy is given the benefit of the doubt: it must have risen by a quarter and by
five times its noise, and the three last reports must all lie above the lowest, by a margin. Mostly
of use to `watch`.

## References
Prechelt, "Early Stopping, but When?", 1998.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from traindoctor.experiments import Experiment, LongRun
from traindoctor.probing import (
    Ask,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Series,
    Severity,
)
from traindoctor.probing.wording import figure, first_location
from traindoctor.trace import Place, ReportRow, Trace

LEAST_REPORTS = 8
LEAST_SINCE = 4  # reports since the lowest one
RISEN, MARGIN = 1.25, 1.1  # times the lowest validation loss: the last three's median, and each
FALLEN = 0.95  # times the training loss of then
LAST = 3
BEYOND_NOISE = 5.0  # standard deviations

DEPARTS = Rule(
    code="TD116",
    name="validation-departs",
    severity=Severity.WARNING,
    title="`{name}` rose from {lowest} to {now} since step {step}, and the training loss fell",
    what="The validation loss rises while the training loss falls.",
    why="What is learned from there on holds for the training data alone.",
    known_limits="Knows the losses that are printed or logged by name.",
    remedies=(
        Remedy(
            "Keep the weights of the lowest validation loss",
            recommended=True,
            after="if val_loss < best:\n    best = val_loss\n"
            '    torch.save(model.state_dict(), "best.pt")',
        ),
        Remedy(
            "Use more data, or augment it",
            pros="Helps where the model has more parameters than the data has to say.",
        ),
        Remedy(
            "Use a smaller model, dropout or weight decay",
            cons="Slows down what holds for new data as well.",
        ),
    ),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Follow each line that reports a validation loss."""
    run = ask(LongRun())
    series: dict[tuple[Place, str], list[ReportRow]] = {}
    for row in run.reports:
        if row.is_validation and math.isfinite(row.value):
            series.setdefault((row.place, row.name), []).append(row)
    for rows in series.values():
        lowest = min(rows, key=lambda row: row.value)
        if len(rows) >= LEAST_REPORTS and has_parted(rows, lowest):
            yield finding(run, rows, lowest)
            return


def has_parted(rows: list[ReportRow], lowest: ReportRow) -> bool:
    """Tell whether validation rises since its lowest, and training falls."""
    since = rows[rows.index(lowest) + 1 :]
    before, after = lowest.since_report.mean, trained(rows)
    if len(since) < LEAST_SINCE or lowest.value <= 0 or before is None or after is None:
        return False
    last = [row.value for row in since[-LAST:]]
    is_higher = statistics.median(last) >= RISEN * lowest.value
    is_clear = is_beyond_noise([row.value for row in rows], rows.index(lowest))
    higher = is_higher and is_clear and min(last) >= MARGIN * lowest.value
    return higher and after <= FALLEN * before


def is_beyond_noise(values: list[float], lowest: int) -> bool:
    """Tell whether the last values lie above those around the lowest by more than noise does.

    The noise is read off the second differences, which a smooth course leaves near zero: of
    independent noise they have six times its variance.
    """
    bends = [a - 2 * b + c for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    noise = statistics.median(map(abs, bends)) / 0.6745 / math.sqrt(6)
    around = statistics.median(values[max(lowest - 1, 0) : lowest + 2])
    return statistics.median(values[-LAST:]) - around >= BEYOND_NOISE * noise


def trained(rows: list[ReportRow]) -> float | None:
    """Return the training loss of the last reports."""
    means = [row.since_report.mean for row in rows[-LAST:]]
    known = [mean for mean in means if mean is not None]
    return statistics.fmean(known) if len(known) == LAST else None


def finding(run: Trace, rows: list[ReportRow], lowest: ReportRow) -> Finding:
    """Return the finding, with both curves over backward passes."""
    now = statistics.median(row.value for row in rows[-LAST:])
    before, after = lowest.since_report.mean, trained(rows)
    steps = tuple(row.backward for row in rows)
    return DEPARTS.finding(
        f"`{rows[0].name}` was lowest, {figure(lowest.value)}, after {lowest.backward} backward "
        f"passes, and is {figure(now)} after {rows[-1].backward}. The training loss went from "
        f"{figure(before)} to {figure(after)} meanwhile.",
        mechanism="The model goes on to fit the training samples, their noise included, once it "
        "has learned what they have in common with others.",
        location=first_location([lowest.place, run.setup.factory]),
        evidence=[
            Evidence("lowest validation loss", lowest.value),
            Evidence("validation loss now", now, lowest.value),
            Evidence("training loss then", before),
            Evidence("training loss now", after),
            Evidence("backward passes at the lowest", lowest.backward),
        ],
        series=[
            Series("validation loss", steps, tuple(row.value for row in rows)),
            Series("training loss", steps, tuple(row.since_report.mean or 0.0 for row in rows)),
        ],
        name=rows[0].name,
        lowest=figure(lowest.value),
        now=figure(now),
        step=lowest.backward,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (LongRun(),)


probe = Probe(
    name="validation-course",
    doc=__doc__,
    rules=(DEPARTS,),
    examine=examine,
    experiments=experiments,
)
