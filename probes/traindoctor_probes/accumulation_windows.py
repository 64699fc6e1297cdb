"""Is the end of an epoch used, where gradients of several batches are accumulated?

## What it measures
How many batches there are between two optimizer steps, and what happens to those left over when an
epoch is no multiple of that: is a step taken on them, are they thrown away, or added to the first
step of the next epoch? The epoch is cut so that as many are left over as of the whole data.

## Why it matters
Left-over batches that are cleared are computed for nothing, each epoch. Those that are not cleared
make the first step of each epoch larger than all others.

## Known limits
Judged where the user's own loop runs and its loader has a length, or where whole epochs are watched
and at least two windows at the seams were of one other size. A counter that runs on through the
epochs loses nothing and is silent, and so is less than one batch in a hundred. What is left when
the whole training ends is not counted. Windows of more than 30 batches are not examined.

## References
transformers.Trainer and accelerate step at the end of the data, whatever is in the window.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from traindoctor.experiments import Experiment, ReadSource, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.syntax import guards
from traindoctor.probing.wording import counted, first_location
from traindoctor.trace import HandlingRow, Place, StepRow, Trace
from traindoctor_probes._handling import require_instruments, window_of

LEFT_OVER = Rule(
    code="TD416",
    name="too-few-learning-signals",
    severity=Severity.WARNING,
    title="The last {num_left} of an epoch's batches {fate}: the accumulation window is "
    "{window} batches",
    what="An epoch's length is no multiple of the accumulation window, and what is left over is "
    "lost, or goes into the next epoch's first step.",
    why="The samples at the end of each epoch teach nothing, or a step of the next epoch is of "
    "another size than all others.",
    known_limits="Less than one batch in a hundred is silent. Loaders without a length are judged "
    "only where whole epochs are watched.",
    remedies=(
        Remedy(
            "Step at the last batch, too",
            recommended=True,
            pros="Every batch counts.",
            cons="The last step of an epoch is the mean of fewer batches.",
            before="if (index + 1) % 4 == 0:\n    optimizer.step()",
            after="if (index + 1) % 4 == 0 or index + 1 == len(loader):\n    optimizer.step()",
        ),
        Remedy(
            "Leave the remainder out, and say so",
            pros="All steps are alike; shuffling brings other samples to the end.",
            after="loader = DataLoader(dataset, batch_size=4 * batch_size, drop_last=True)",
        ),
    ),
)
MIN_SHARE = 0.01  # of an epoch's batches
MOST_BATCHES = 64  # of the two epochs each
THROWN_AWAY, ADDED = "are thrown away", "go into the next epoch's first step"


@dataclass(frozen=True, slots=True)
class Seam:
    """What was seen where two epochs meet."""

    window: int  # batches between two steps
    num_left: int  # batches at the end of an epoch without a step
    first: int  # batches since the last step at the next epoch's first
    num_lost: int  # of those left over, whose gradients were cleared


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Find the window, then look at a seam as the whole data has it."""
    run = ask(ShortRun())
    if not run.setup.trains_by_hand:
        return
    require_instruments(run)
    for row in run.handling:
        yield from watched(run, row)
    if not run.setup.has_train_loop or run.exceptions:
        return
    number = num_batches_like_the_whole(run)
    if number is None:
        return
    again = run if number == _epoch_length(run) else ask(ShortRun(num_batches=number))
    seam = seam_of(again)
    whole = run.setup.num_batches or 0
    if seam is None or seam.num_left < MIN_SHARE * whole or is_flushed(ask, again):
        return
    yield left_over(again, seam, whole)


def num_batches_like_the_whole(run: Trace) -> int | None:
    """Return an epoch's length of two windows, with as many left over as the whole data leaves."""
    window, whole = window_of(_first_optimizers(run.steps), _epochs(run)), run.setup.num_batches
    if window is None or window < 2 or not whole or whole % window == 0:
        return None
    number = 2 * window + whole % window
    return number if number <= min(MOST_BATCHES, whole) else None


def seam_of(run: Trace) -> Seam | None:
    """Return what happened between the first epoch's last step and the second's first."""
    epochs, steps = _epochs(run), _first_optimizers(run.steps)
    window = window_of(steps, epochs)
    before = [step.batch for step in steps if epochs.get(step.batch) == 0]
    after = [step.batch for step in steps if epochs.get(step.batch) == 1]
    if window is None or len(before) < 2 or not after:
        return None
    last = max((batch for batch, epoch in epochs.items() if epoch == 0), default=0)
    num_left, first = last - before[-1], after[0] - before[-1]
    if not 0 < num_left < window or first <= window:
        return None
    discarded = set(run.facts.get("discarded_backwards", ()))
    left = [row for row in run.backwards if before[-1] < row.batch <= last]
    num_lost = sum(row.index in discarded for row in left)
    return Seam(window, num_left, first, num_lost)


def is_flushed(ask: Ask, run: Trace) -> bool:
    """Tell whether the step's guard has a second case, as for the data's own last batch."""
    place = run.steps[0].place
    return any(" or " in guard.test for guard in guards(ask(ReadSource()).source, place))


def watched(run: Trace, row: HandlingRow) -> Iterator[Finding]:
    """Yield the finding for whole epochs, of which only the sizes of the windows are known."""
    if run.setup.kind != "script":
        return
    sizes = Counter(dict(row.windows))
    window, num_usual = max(sizes.items(), key=lambda item: item[1], default=(0, 0))
    others = [(size, times) for size, times in sizes.items() if size != window]
    if window < 2 or len(others) != 1:
        return
    (size, times), total = others[0], sum(size * times for size, times in sizes.items())
    num_left = size - window
    if not window < size < 2 * window or not 2 <= times <= num_usual / 2:
        return
    if num_left * times >= MIN_SHARE * total:
        yield _finding(
            f"{num_usual} steps were taken on {window} backward passes each, and {times} on "
            f"{size}: {num_left} were left over each time an epoch ended, and no step came then.",
            place=row.place,
            window=window,
            num_left=num_left,
            fate="have no step of their own",
            evidence=[
                Evidence("backward passes before a step", window),
                Evidence("and before the first step after a seam", size, window),
                Evidence("such steps", times, 0),
            ],
        )


def left_over(run: Trace, seam: Seam, whole: int) -> Finding:
    """Return the finding for what an epoch's end leaves."""
    is_lost = seam.num_lost > 0
    fate = THROWN_AWAY if is_lost else ADDED
    then = (
        f"their gradients were cleared before the next step, {seam.num_left / whole:.1%} of each "
        "epoch"
        if is_lost
        else f"the next step was taken on {seam.first} batches instead of {seam.window}"
    )
    return _finding(
        f"A step is taken every {seam.window} batches and an epoch has {whole}, which leaves "
        f"{whole % seam.window}. Where an epoch ended so, {counted(seam.num_left, 'batch')} had "
        f"no step, and {then}.",
        place=run.steps[0].place,
        window=seam.window,
        num_left=seam.num_left,
        fate=fate,
        evidence=[
            Evidence("batches between two steps", seam.window),
            Evidence("batches of an epoch", whole, f"a multiple of {seam.window}"),
            Evidence("left over without a step", seam.num_left, 0),
            Evidence("of those, cleared", seam.num_lost, 0),
            Evidence("batches before the next epoch's first step", seam.first, seam.window),
        ],
    )


def _finding(
    message: str, *, place: Place, window: int, num_left: int, fate: str, evidence: list[Evidence]
) -> Finding:
    return LEFT_OVER.finding(
        message,
        mechanism="The loop steps when its count of batches is a multiple of the window. The count "
        "begins anew with each epoch, and the epoch ends between two multiples.",
        location=first_location([place]),
        evidence=evidence,
        num_left=num_left,
        window=window,
        fate=fate,
    )


def _first_optimizers(steps: Sequence[StepRow]) -> list[StepRow]:
    return [step for step in steps if step.optimizer == steps[0].optimizer]


def _epochs(run: Trace) -> dict[int, int]:
    return {row.index: row.epoch for row in run.batches}


def _epoch_length(run: Trace) -> int:
    return sum(row.epoch == 0 for row in run.batches)


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first; a run of another length follows where there is a window."""
    return (ShortRun(),)


probe = Probe(
    name="accumulation-windows",
    doc=__doc__,
    rules=(LEFT_OVER,),
    examine=examine,
    experiments=experiments,
)
