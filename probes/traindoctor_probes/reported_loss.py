"""Is the loss that is reported the loss that was trained on?

## What it measures
The training losses that the user's own code prints, logs or shows in a progress bar, beside those
that were differentiated in the time they speak of: their mean, their sum, the last of them, how
many were NaN. What is differentiated is compared with the loss function's own value, so that a
division by the accumulation is known.

## Why it matters
Runs are compared, stopped and published by these numbers. A NaN that is left out of the mean hides
that the run is lost; a mean over the wrong divisor is off by the batch size, and changes with it.

## Known limits
Only what is called a loss, and no validation's, and only figures that every report of a line agrees
with, to five digits in all. Whatever else it may be (a smoothed loss, one of several terms, a
median) is left alone, and so are sums, and losses that are not one loss function's mean. Of a loss
function of the user's own, that it is a mean is read in its code, and the finding is likely.

## References
transformers documentation, `TrainingArguments.logging_nan_inf_filter`.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Sequence

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import Experiment, LongRun, OneStep, ReadSource
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Series,
    Severity,
)
from traindoctor.probing.syntax import function_at, subtrees
from traindoctor.probing.wording import counted, figure, location
from traindoctor.trace import Place, ReportRow, SourceRow, Trace
from traindoctor_probes._reports import (
    ACCUMULATION,
    ONE_DIVIDED,
    Shown,
    agreeing,
    digits,
    honest,
    mistaken,
    tolerance,
)

LEAST_REPORTS = 2
LEAST_DIGITS = 5.0  # that all reports of a series have together
LEAST_DIGITS_EACH = 1.5
NEAR = (0.8, 1.25)  # of what was expected: too close to be told from other means

DIFFERS = Rule(
    code="TD806",
    name="reported-loss-differs",
    severity=Severity.ERROR,
    title="`{name}` is reported as {value}, and was {expected}",
    what="The loss that the code reports is not the one that was differentiated.",
    why="Decisions are made by the reported number: when to stop, which run is better, whether it "
    "learns at all.",
    known_limits="Only what every report of a line agrees with is named; a report that is wrong in "
    "another way is not seen.",
    remedies=(
        Remedy(
            "Add up loss times batch size, and divide by the samples that were added up",
            recommended=True,
            pros="Right whatever the batch size, and for a smaller last batch.",
            before="total += loss.item()\nprint(total / len(dataset))",
            after="total += loss.item() * len(batch)\nnum_samples += len(batch)\n"
            "print(total / num_samples)",
        ),
    ),
)
FILTERED = (
    Remedy(
        "Let the NaN be seen, and stop on it",
        recommended=True,
        before="if not torch.isnan(loss):\n    total += loss.item()",
        after="if not torch.isfinite(loss):\n    raise RuntimeError(f'the loss is {loss.item()}')",
    ),
    Remedy(
        "Turn the trainer's filter off",
        after="TrainingArguments(output_dir, logging_nan_inf_filter=False)",
    ),
)
ACCUMULATED = (
    Remedy(
        "Report the loss before it is divided",
        recommended=True,
        before="loss = loss / accumulation_steps\nloss.backward()\ntotal += loss.item()",
        after="(loss / accumulation_steps).backward()\ntotal += loss.item()",
    ),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at each line that reports a training loss."""
    run = ask(LongRun())
    run.require(backwards=1)
    series: dict[tuple[Place, str], list[ReportRow]] = {}
    reports = [row for row in run.reports if not row.is_validation]
    for row in reports:
        series.setdefault((row.place, row.name), []).append(row)
    hiding = [row for row in reports if hides_nan(row)]
    if hiding:  # one is enough: whoever else makes a mean of them does so after this one
        first = min(hiding, key=lambda row: row.backward)
        yield filtered(first, series[first.place, first.name])
        return
    for rows in series.values():
        readable = [row for row in rows if digits([row]) >= LEAST_DIGITS_EACH]
        if len(readable) >= LEAST_REPORTS and digits(readable) >= LEAST_DIGITS:
            yield from compared(ask, run, rows)


def hides_nan(row: ReportRow) -> bool:
    """Tell a number that speaks of losses of which some were NaN, and does not say so."""
    window = row.since_report
    if not window.num_nan or not math.isfinite(row.value) or row.value == window.last:
        return False
    if row.channel == "Trainer.log":
        return row.name in ("loss", "train_loss")
    if window.mean is None:
        return False
    share = 1 - window.num_nan / window.num_losses
    means = (window.mean, share * window.mean)
    return any(abs(row.value - mean) <= tolerance(row, mean) for mean in means)


def compared(ask: Ask, run: Trace, rows: list[ReportRow]) -> Iterator[Finding]:
    """Report a series that shows a figure which only a mistake makes."""
    source = ask(ReadSource()).source
    try:
        step = ask(OneStep())
    except ExperimentFailed:
        return
    scale, is_proven = scale_of(step), True
    if scale is None and not step.criteria and is_mean(source) and not accumulates(run):
        scale, is_proven = 1.0, False
    if scale is None:
        return
    if agreeing(rows, [honest(row, scale, run.setup.num_batches) for row in rows]):
        return
    divisors = constants(source, rows[0].place)
    made = [mistaken(row, scale, divisors) for row in rows]
    values = [{name: shown.value for name, shown in each.items()} for each in made]
    for name in agreeing(rows, values):
        shown = [each[name] for each in made]
        if all(not NEAR[0] < item.value / item.expected < NEAR[1] for item in shown):
            yield differs(rows, name, shown[0], scale, is_proven)
            return


def scale_of(step: Trace) -> float | None:
    """Return the one loss function's value over what was differentiated, if that is plain.

    1 for the loss itself, n for a loss that was divided by an accumulation of n; None where the
    loss is made of several terms, or is no mean.
    """
    first = next((row for row in step.backwards if row.loss), None)
    batch = first.batch if first is not None else None
    values = [row for row in step.criteria if row.value is not None and row.batch == batch]
    if first is None or len(values) != 1 or values[0].reduction != "mean":
        return None
    ratio = (values[0].value or 0.0) / (first.loss or 1.0)
    whole = round(ratio)
    return float(whole) if whole >= 1 and math.isclose(ratio, whole, rel_tol=1e-4) else None


def is_mean(source: tuple[SourceRow, ...]) -> bool:
    """Tell whether the losses of the user's own are means, as far as their functions say."""
    own = [
        ast.unparse(node)
        for row in source
        for node in subtrees(row, ast.FunctionDef)
        if re.search("loss|criterion|objective", node.name)
        and not any(isinstance(i, ast.Attribute) and i.attr == "backward" for i in ast.walk(node))
    ]
    return bool(own) and all(".mean(" in text and "sum" not in text for text in own)


def accumulates(run: Trace) -> bool:
    """Tell whether steps are taken on several backward passes."""
    return any(row.num_backwards > 1 for row in run.pulses)


def constants(source: tuple[SourceRow, ...], place: Place) -> list[int]:
    """Return the whole numbers that a function divides by."""
    function = function_at(source, place)
    return [
        node.right.value
        for node in (ast.walk(function) if function else ())
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div)
        and isinstance(node.right, ast.Constant)
        and isinstance(node.right.value, int)
        and node.right.value > 1
    ]


def filtered(row: ReportRow, rows: Sequence[ReportRow]) -> Finding:
    """Return the finding for NaN that was left out."""
    window = row.since_report
    return DIFFERS.finding(
        f"`{row.name}` was reported as {figure(row.value)} for {window.num_losses} backward "
        f"passes, of which {window.num_nan} were on a loss of NaN.",
        mechanism="Whoever makes the mean leaves NaN out of it, or puts an older number in its "
        "place. The backward pass did not: a NaN in the loss is a NaN in every gradient.",
        location=location(row.place),
        evidence=[
            Evidence("reported", row.value, "NaN"),
            Evidence("losses of NaN in that time", window.num_nan, 0),
            Evidence("backward passes in that time", window.num_losses),
        ],
        series=[_reported(rows)],
        remedies=FILTERED,
        subject=row.name,
        name=row.name,
        value=figure(row.value),
        expected=f"NaN in {window.num_nan} of {window.num_losses} batches",
    )


def differs(
    rows: Sequence[ReportRow], what: str, shown: Shown, scale: float, is_proven: bool
) -> Finding:
    """Return the finding for a figure that is off by a factor."""
    row, factor = rows[0], shown.value / shown.expected
    is_accumulation = what in (ACCUMULATION, ONE_DIVIDED)
    return DIFFERS.finding(
        f"All {counted(len(rows), 'report')} of `{row.name}` show {what}: {figure(row.value, 4)} "
        f"where the loss was {figure(shown.expected, 4)}, {figure(factor)} of it.",
        severity=Severity.WARNING if is_accumulation else None,
        confidence=None if is_proven else Confidence.LIKELY,
        mechanism=f"What is differentiated is the loss over {figure(scale)}, so that the gradients "
        "of as many batches add up to a mean; what is reported is the same small part."
        if is_accumulation
        else "The loss of a batch is a mean over its samples already.",
        location=location(row.place),
        evidence=[
            Evidence("first report", row.value, shown.expected),
            Evidence("reported over the loss", factor, 1),
            Evidence("reports that agree", len(rows)),
            Evidence("losses behind the first report", row.since_report.num_losses),
        ],
        series=[_reported(rows)],
        remedies=ACCUMULATED if is_accumulation else None,
        subject=row.name,
        name=row.name,
        value=figure(row.value, 4),
        expected=figure(shown.expected, 4),
    )


def _reported(rows: Sequence[ReportRow]) -> Series:
    steps, values = tuple(float(row.backward) for row in rows), tuple(row.value for row in rows)
    return Series("reported loss", steps, values)


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (LongRun(),)


probe = Probe(
    name="reported-loss",
    doc=__doc__,
    rules=(DIFFERS,),
    examine=examine,
    experiments=experiments,
)
