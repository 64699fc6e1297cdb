"""Does the schedule of the learning rate fit the training?

## What it measures
Each learning rate scheduler: what it is set to, where it is built and stepped, how many optimizer
steps lie between two of its own, and the rate of every step. Its length is compared with the
training's: epochs, batches of an epoch, optimizer steps.

## Why it matters
A schedule counts its own steps. Planned in epochs and stepped each batch, it is over after a few
batches, and the rest of the training has no learning rate; planned in batches and stepped each
epoch, it never leaves its beginning. Built anew where a run is resumed, it goes through its
beginning again.

## Known limits
A training's length is known where the setup tells `epochs` and its loader has a length, where the
schedule is built inside the observed loop, or where a watched script has come to its end; else only
rates that were seen to be 0 are reported. A schedule that is longer or shorter than the training
for no reason that its numbers show is left alone, and so are cycles, ReduceLROnPlateau's moments,
and lambdas other than geometric decays and straight rises. A rate of 0 in one or two first steps is
a warm-up's beginning. That a schedule begins anew is told from the traces of both runs
(`traindoctor report TRACE1 TRACE2`), where it had left its first rates, and `torch.load` read a
checkpoint with an optimizer's state whose weights went into the model. A rate that is set by hand
and never changes may be meant; it is told where an attribute that is named like a counter, such as
`self.step`, is set to 0 or 1 once and never again.

## References
torch.optim documentation, "How to adjust learning rate".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traindoctor.experiments import Experiment, ReadSource, ShortRun
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
from traindoctor.probing.values import written_rates
from traindoctor.probing.wording import counted, figure, first_location, location
from traindoctor.trace import SchedulerRow, StepRow, Trace
from traindoctor_probes._handling import require_instruments
from traindoctor_probes._resumed_schedules import anew, begun_anew
from traindoctor_probes._schedule_lengths import (
    Case,
    decayed,
    endless_warm_up,
    rushed,
    settings_text,
    wrong_unit,
)
from traindoctor_probes._scheduler_steps import ahead, is_ahead, is_overrun, never_stepped, overrun
from traindoctor_probes._schedules import STEP, Plan, highest, pace_of, plans
from traindoctor_probes._stuck_counters import standing

ZERO = Rule(
    code="TD406",
    name="learning-rate-zero",
    severity=Severity.ERROR,
    title="The learning rate is {level} for {share}: {why}",
    what="Steps that were to train are taken at a rate of zero, or next to it.",
    why="Batches are computed and nothing is learned from them.",
    known_limits="The planned end of a schedule is silent, and so are a warm-up's first two steps. "
    "What lies beyond the observed steps is computed from the scheduler's settings and the pace at "
    "which it was stepped.",
    remedies=(
        Remedy(
            "Plan the schedule in the unit in which it is stepped",
            recommended=True,
            before="scheduler = LinearLR(optimizer, 1.0, 0.0, total_iters=epochs)",
            after="scheduler = LinearLR(optimizer, 1.0, 0.0, total_iters=epochs * len(loader))",
        ),
        Remedy(
            "Step it once an epoch",
            pros="The schedule may stay as it is.",
            before="for batch in loader:\n    train(batch)\n    scheduler.step()",
            after="for batch in loader:\n    train(batch)\nscheduler.step()",
        ),
    ),
    explains=("TD103", "TD405", "TD407", "TD409", "TD6"),
)
MISPLACED = Rule(
    code="TD407",
    name="scheduler-misplaced",
    severity=Severity.WARNING,
    title="{name} is {how}",
    what="A learning rate scheduler is never stepped, stepped before the optimizer, stepped at "
    "another pace than it was planned for, or begun anew in a run that goes on from a checkpoint.",
    why="The rate does not follow its schedule: it stays at the beginning, or has gone through it "
    "long before the training ends.",
    known_limits="A scheduler whose `step` stands under a condition is not called unstepped, nor "
    "one that another scheduler of the same optimizer stands in for. Steps that are told their "
    "epoch are right wherever they stand. ReduceLROnPlateau without a metric is an exception.",
    remedies=(
        Remedy(
            "Step the scheduler after the optimizer, once for each unit that it counts",
            recommended=True,
            before="for batch in loader:\n    train(batch)\nscheduler.step()",
            after="for batch in loader:\n    train(batch)\n    scheduler.step()",
        ),
    ),
    explains=("TD409", "TD807"),
)
TOO_MANY = "Tried to step"  # what OneCycleLR raises beyond its total
ABOVE_ZERO = Remedy(
    "Let the schedule leave zero after its first step",
    recommended=True,
    before="scheduler = LambdaLR(optimizer, lambda step: min(1, step // warm_up))",
    after="scheduler = LambdaLR(optimizer, lambda step: min(1, (step + 1) / warm_up))",
)
NEXT_TO_ZERO = 1e-5  # of the highest rate
RUN_OF_ZEROS, SHARE_OF_ZEROS = 3, 0.1


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at each scheduler of the loop, then at the rates that were seen."""
    run = ask(ShortRun())
    require_instruments(run, "schedulers")
    run.require(steps=1)
    rows = [row for row in run.schedulers if row.parent is None and row.optimizer is not None]
    judged: set[int | None] = set()
    told: set[str] = set()  # one line may build a schedule for each of several trainings
    for row in rows:
        for finding in examined(ask, run, row):
            judged.add(row.optimizer)
            if str(finding.location) not in told:
                yield finding
            told.add(str(finding.location))
    for number in sorted({step.optimizer for step in run.steps} - judged):
        steps = [step for step in run.steps if step.optimizer == number]
        setters = [row for row in rows if row.optimizer == number and row.num_steps]
        found = list(at_zero(ask, run, steps, setters))
        if not found and not setters:
            found = list(standing(ZERO, ask, steps, rates_seen(run, steps)))
        for finding in found:
            if str(finding.location) not in told:
                yield finding
            told.add(str(finding.location))


def examined(ask: Ask, run: Trace, row: SchedulerRow) -> Iterator[Finding]:
    """Yield what one scheduler is found guilty of, at most one thing."""
    raised = next((e for e in run.exceptions if e.message.startswith(TOO_MANY)), None)
    if raised is not None and is_overrun(run, row):
        yield overrun(MISPLACED, run, row, raised)
        return
    if run.setup.kind == "Trainer":
        case = endless_warm_up(run, row, [trainers_plan(run, row)])
        if case:
            yield of_length(run, row, case)
        return
    if not run.setup.trains_by_hand:  # however rarely it is stepped, it comes no further than here
        case = endless_warm_up(run, row, plans(run, row, STEP))
        if case:
            yield of_length(run, row, case)
        return
    if row.num_steps and not row.step_place:
        return
    before = begun_anew(run, row)
    if before:
        yield anew(MISPLACED, run, row, before)
        return
    if not row.num_steps:
        yield from never_stepped(MISPLACED, ask, run, row)
        return
    pace = pace_of(run, row)
    found = plans(run, row, pace) if pace and not row.is_wrapped else []
    case = (
        wrong_unit(row, found)
        or decayed(row, found)
        or rushed(row, found)
        or endless_warm_up(run, row, found)
    )
    if case:
        yield of_length(run, row, case)
    elif is_ahead(row):
        yield ahead(MISPLACED, run, row)


def trainers_plan(run: Trace, row: SchedulerRow) -> Plan:
    """Return the plan of a Trainer, which steps its schedule at each optimizer step."""
    total = int(row.settings.get("num_training_steps", 0))
    return Plan(1, total, 1, STEP)


def of_length(run: Trace, row: SchedulerRow, case: Case) -> Finding:
    """Return the finding for a schedule that does not fit the training."""
    rule = ZERO if case.is_zero else MISPLACED
    evidence = [
        Evidence("steps of the scheduler that were seen", row.num_steps),
        Evidence("optimizer steps meanwhile", row.num_optimizer_steps),
        Evidence("set to", settings_text(row)),
        Evidence("epochs of the training", run.setup.epochs),
        Evidence("batches of an epoch", run.setup.num_batches),
        Evidence(
            "lowest and highest rate seen",
            f"{figure(row.lowest_rate)} to {figure(row.highest_rate)}",
        ),
    ]
    return rule.finding(
        case.message,
        confidence=case.confidence,
        severity=case.severity,
        mechanism=case.mechanism,
        location=first_location([row.place, row.step_place, run.setup.trainer_place]),
        also_at=[location(row.step_place)] if row.step_place and row.place else [],
        evidence=evidence,
        series=[Series("learning rate", tuple(range(len(row.rates))), row.rates)],
        subject=f"optimizer {row.optimizer}",
        level="next to nothing",
        share=f"{case.lost:.0%} of the training",
        why=f"{row.class_name} is {case.how}",
        name=row.class_name,
        how=case.how,
    )


def at_zero(
    ask: Ask, run: Trace, steps: Sequence[StepRow], setters: Sequence[SchedulerRow]
) -> Iterator[Finding]:
    """Yield the finding for rates that were seen to be zero while the training went on."""
    rates = rates_seen(run, steps)
    known = [highest(row) for row in setters]
    top = max([*(rate for rate, _ in rates), *known], default=0.0)
    total = sum(count for _, count in rates)
    leading = 0
    for rate, count in rates:
        if rate:
            break
        leading += count
    gone = sum(count for rate, count in rates if rate <= NEXT_TO_ZERO * top) - leading
    first_epoch = sum(run.batches[0].epoch == b.epoch for b in run.batches) if run.batches else 0
    is_late_start = leading >= max(RUN_OF_ZEROS, min(first_epoch, total))
    is_gone = gone >= RUN_OF_ZEROS and gone >= SHARE_OF_ZEROS * total
    if top == 0 or not (is_late_start or is_gone):
        return
    row = setters[0] if setters else None
    by_hand = () if row else written_rates(ask(ReadSource()).source)
    set_to = f" ({settings_text(row)})" if row and row.settings else ""
    who = f"{row.class_name}{set_to}" if row else "Code of the loop's own"
    number = leading if is_late_start else gone
    when = "first" if is_late_start else "later"
    yield ZERO.finding(
        f"{number} of {counted(total, 'step')} were taken at a rate of "
        f"{figure(min(rate for rate, _ in rates))}, the {when} ones, where {figure(top)} is the "
        f"highest. {who} sets it.",
        mechanism="Every update is multiplied by the learning rate, the weight decay too: at zero "
        "an optimizer does all its work and adds nothing.",
        location=first_location(
            [*([row.place, row.step_place] if row else by_hand), steps[0].place]
        ),
        also_at=[location(row.step_place)] if row and row.place and row.step_place else [],
        evidence=[
            Evidence("steps at a rate of zero, or next to it", number, 0),
            Evidence("steps observed", total),
            Evidence("highest rate", top),
            *([Evidence("steps of the scheduler", row.num_steps)] if row else []),
        ],
        series=[Series("learning rate", tuple(range(len(rates))), tuple(r for r, _ in rates))],
        remedies=[ABOVE_ZERO] if is_late_start else None,
        subject=f"optimizer {steps[0].optimizer}",
        level="0" if is_late_start else "next to nothing",
        share=f"{number} of {counted(total, 'step')}",
        why=f"{row.class_name} sets it" if row else "the loop sets it",
    )


def rates_seen(run: Trace, steps: Sequence[StepRow]) -> list[tuple[float, int]]:
    """Return the largest rate of each step, or group of steps, and how many steps that are."""
    pulses = [row for row in run.pulses if row.optimizer == steps[0].optimizer]
    if pulses:
        return [(max(row.last_learning_rates, default=1.0), row.num_steps) for row in pulses]
    return [(max(step.learning_rates), 1) for step in steps if step.learning_rates]


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


probe = Probe(
    name="learning-rate-schedule",
    doc=__doc__,
    rules=(ZERO, MISPLACED),
    examine=examine,
    experiments=experiments,
)
