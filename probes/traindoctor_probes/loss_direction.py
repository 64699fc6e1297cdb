"""Does a step go down the loss function, or up?

## What it measures
The gradient that reaches each loss function in one step: the sign of d loss / d value. A
cross entropy that is to be lowered has +1. A log-likelihood written by hand is to be raised, and
has -1. Whether an optimizer is told to climb is read off its parameter groups; of one that the user
wrote, the cosine between each step and the gradient is measured. Of a longer run, the
losses: whether they fell to a million times the first one's size below zero, faster and faster. A
run that is too short for that, and came a thousand times that far, is tried at ten times its rate.

## Why it matters
With the sign turned, every step makes the model worse, and the number in the log falls all the
same: below zero, without end.

## Known limits
Only loss functions of torch's are seen, picked log-probabilities (`log_softmax`, or what
`logsumexp` was taken off), partial likelihoods (what `logcumsumexp` was taken off), and the larger
or the smaller of two opposites, as in a quantile's loss: `-((p - y) ** 2).mean()` is not. It is
silent where several optimizers train one another's losses, where loss functions are pulled both
ways, and on those that may be negative (Gaussian and Poisson likelihoods, KL terms), so
adversarial, contrastive and variational objectives are left alone, unless the loss falls without
bound; what does so for another reason than its sign, as a deep critic that nothing holds, looks the
same, and the finding is likely at most. A fall to less than a thousand times the first loss in the
few steps that `check` takes is not told, and of a watched run none to less than a million times.
Where a frozen model is called last that was right, at a loss below 0.7 of what guessing costs, an
input is trained to mislead it, and nothing is said.

## References
torch.optim, parameter `maximize`. Goodfellow et al., "Deep Learning", 2016, section 5.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import Experiment, LongRun, OneStep, ReadSource, ShortRun
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
from traindoctor.probing.wording import counted, figure, first_location
from traindoctor.trace import CriterionRow, Trace
from traindoctor_probes._courses import Course, only_course
from traindoctor_probes._own_optimizers import climbs as climbs_by_itself
from traindoctor_probes._own_optimizers import writing_line
from traindoctor_probes._runaway_courses import falls_far, falls_without_bound

LOWERED = {
    "cross_entropy",
    "nll_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "multi_margin_loss",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
    "ctc_loss",
    "opposed_maximum",
}
RAISED = {"log_likelihood", "partial_likelihood", "opposed_minimum"}
BY_HAND = {
    "log_likelihood": "a log-likelihood",
    "partial_likelihood": "a partial log-likelihood",
    "opposed_minimum": "a minimum that is never above zero",
    "opposed_maximum": "a maximum that is never below zero",
}
HASTE = 10  # times the rate: as good as more steps, where a loss has no bound
RIGHT = 0.7  # of what guessing costs: a loss below that is of a model that has learned

ASCENDING = Rule(
    code="TD106",
    name="ascending-loss",
    severity=Severity.CRITICAL,
    title="Training {verb} {function}",
    what="The sign is turned: each step makes predictions worse.",
    why="The model moves away from its targets, while the logged number may fall for ever.",
    known_limits="Silent with several optimizers; where signs are mixed or losses may be negative, "
    "unless they fall without bound.",
    remedies=(
        Remedy(
            "Turn the sign where it was turned",
            recommended=True,
            pros="One character.",
            before="loss = -F.cross_entropy(outputs, targets)",
            after="loss = F.cross_entropy(outputs, targets)",
        ),
        Remedy(
            "Negate a likelihood that is to be raised",
            pros="A sum of log-probabilities is at most 0 and grows better upwards.",
            before="loss = log_probabilities.gather(1, targets[:, None]).mean()",
            after="loss = -log_probabilities.gather(1, targets[:, None]).mean()",
        ),
        Remedy(
            "Take the larger of the two sides of a quantile's loss",
            before="loss = torch.minimum(q * error, (q - 1) * error).mean()",
            after="loss = torch.maximum(q * error, (q - 1) * error).mean()",
        ),
    ),
    explains=("TD102", "TD104", "TD105", "TD205", "TD408", "TD418", "TD6"),
)
SUBTRACTED = Remedy(
    "Let the optimizer go against the gradient",
    recommended=True,
    before='p.add_(update, alpha=group["lr"])',
    after='p.add_(update, alpha=-group["lr"])',
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at the direction of one step, and at where a few steps lead."""
    step = ask(OneStep())
    step.require(losses=1)
    if len(step.optimizers) > 1 or is_attack(step):
        return
    run = ask(ShortRun())
    by_itself = climbs_by_itself(run)
    climbs = by_itself or any(row.maximize for row in step.optimizers)
    pulled = [row for row in step.criteria if row.gradient_sign is not None]
    known = [row for row in pulled if row.function in LOWERED | RAISED]
    if not known or len(known) < len(pulled) or not all(is_wrong(row, climbs) for row in known):
        yield from boundless(ask, step)
        return
    row = known[-1]
    values = [loss.value for loss in run.losses]
    name = BY_HAND.get(row.function, f"`{row.function}`")
    label = row.function.replace("_", " ") if row.function in BY_HAND else row.function
    verb = "lowers" if row.function in RAISED else "raises"
    optimizer = step.optimizers[0] if step.optimizers else None
    places = [row.place, *(back.place for back in step.backwards), step.setup.factory]
    if climbs and optimizer:
        places = [optimizer.place, *places]
    if by_itself and optimizer:
        places = [writing_line(ask(ReadSource()).source, optimizer), *places]
    how = "goes with the gradient" if by_itself else "maximizes"
    cosines = [one.cosine for one in run.steps if by_itself and one.cosine is not None]
    yield ASCENDING.finding(
        f"d loss / d {label} is {'positive' if (row.gradient_sign or 0) > 0 else 'negative'}"
        f"{f' and the optimizer {how}' if climbs else ''}: a step {verb} {name}, which is "
        f"{figure(row.value)} on the first batch. Over {len(values)} steps the loss went from "
        f"{figure(values[0] if values else None)} to {figure(values[-1] if values else None)}.",
        mechanism="An optimizer goes against the gradient of what `backward` is called on. The "
        "sign between that and the loss function decides whether predictions get better.",
        location=first_location(places),
        evidence=[
            Evidence(
                f"sign of d loss / d {label}",
                row.gradient_sign,
                None if by_itself else wanted(row, climbs),
            ),
            Evidence(f"optimizer {how}", climbs),
            *(
                Evidence("cosine of step and gradient", least, "< 0")
                for least in sorted(cosines)[:1]
            ),
            Evidence(label, row.value),
            Evidence("first loss", values[0] if values else None),
            Evidence("last loss", values[-1] if values else None),
        ],
        series=[Series("loss", tuple(range(len(values))), tuple(values))],
        remedies=[SUBTRACTED] if by_itself else None,
        verb=verb,
        function=name,
    )


def is_attack(step: Trace) -> bool:
    """Tell that an input is trained to mislead a model that is at rest, and was right before.

    A prompt is trained before a frozen model too; but that is not right yet.
    """
    values = [(row.value, row.num_classes or 2) for row in step.criteria if row.value is not None]
    was_right = bool(values) and all(value < RIGHT * math.log(n) for value, n in values)
    return was_right and (bool(step.facts.get("is_last_at_rest")) or _ends_at_rest(step))


def _ends_at_rest(step: Trace) -> bool:
    """Tell whether of one model's parts the one that is called last is frozen."""
    called = [row for row in step.modules if row.order is not None and row.num_parameters]
    paths = [row.path for row in called]
    inner = [
        row
        for row in called
        if not any(
            path.startswith(f"{row.path}." if row.path else "")
            for path in paths
            if path != row.path
        )
    ]
    last = max(inner, key=lambda row: row.order or 0, default=None)
    return last is not None and not last.num_trainable


def boundless(ask: Ask, step: Trace) -> Iterator[Finding]:
    """Look at whether a longer run's loss falls without bound, or would in more steps."""
    course = only_course(ask(LongRun()))
    if course is None or not any(map(math.isfinite, course.losses)):
        return
    rate = ""
    if not falls_without_bound(course):
        course, rate = hastened(ask, course), f" at {HASTE} times the learning rate"
    if course is None:
        return
    first, last = course.losses[0], min(course.losses)
    yield ASCENDING.finding(
        f"Over {counted(int(course.steps[-1]) + 1, 'step')}{rate} the loss went from "
        f"{figure(first)} to {figure(last)}, faster and faster: nothing holds it from below, as "
        "where a likelihood is lowered.",
        confidence=Confidence.LIKELY,
        mechanism="A likelihood, or a distance, is bounded on the side to which it gets better. "
        "With the sign turned, it is the other side that is trained towards.",
        location=first_location([*(back.place for back in step.backwards), step.setup.factory]),
        evidence=[Evidence("first loss", first), Evidence("lowest loss", last)],
        series=[course.series("loss")],
        # Gradients that run away with the loss are clipped to next to nothing.
        explains=(*ASCENDING.explains, "TD210"),
        verb="lowers",
        function="an objective that has no lower bound",
    )


def hastened(ask: Ask, course: Course) -> Course | None:
    """Return what becomes of a loss that fell far at a higher rate, if it falls without bound."""
    if not falls_far(course):
        return None
    try:
        faster = only_course(ask(LongRun(factor=HASTE)))
    except ExperimentFailed:  # a watched run is over
        return None
    return faster if faster is not None and falls_without_bound(faster) else None


def wanted(row: CriterionRow, climbs: bool) -> int:
    """Return the sign that lowers a loss function, or raises a likelihood."""
    down = -1 if row.function in RAISED else 1
    return -down if climbs else down


def is_wrong(row: CriterionRow, climbs: bool) -> bool:
    """Tell whether a step makes this loss function worse."""
    return row.gradient_sign == -wanted(row, climbs)


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return OneStep(), ShortRun(), LongRun()


probe = Probe(
    name="loss-direction",
    doc=__doc__,
    rules=(ASCENDING,),
    examine=examine,
    experiments=experiments,
)
