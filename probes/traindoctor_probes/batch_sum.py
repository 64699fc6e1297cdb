"""Does the loss grow with the number of samples in the batch?

## What it measures
The loss of one batch, and of the same batch with every sample in it twice: a mean is the same, a
sum is twice as large. And what that does to the steps: whether the optimizer's step grows with the
gradient, and whether clipping takes most of the gradient away.

## Why it matters
A gradient that is a sum ties the learning rate to the batch size: a rate that is right for 32
samples diverges at 256, a last smaller batch makes a smaller step, and a norm to clip at that was
meant for means clips all the time.

## Known limits
A loss that is summed on purpose, with a rate to match, looks the same. Optimizers that divide by
the size of the gradient, such as Adam, do not mind; there it is information, unless clipping takes
over. Losses across samples (contrastive ones) are judged only where the sum is exact.

## References
Goyal et al., "Accurate, Large Minibatch SGD", 2017, on the linear scaling of rate and batch size.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from traindoctor.experiments import ChangedBatch, Experiment, ShortRun
from traindoctor.experiments.changes import DOUBLED, PLAIN
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import figure, first_location
from traindoctor.trace import Trace
from traindoctor_probes._changed import losses_of

PROPORTIONAL = {"SGD", "ASGD"}  # their step grows with the gradient
SMALL = 0.1  # share of the gradient that clipping leaves

SUMS = Rule(
    code="TD110",
    name="loss-sums-over-batch",
    severity=Severity.WARNING,
    title="The loss grows with the batch: {doubled} for twice the samples, {loss} for once",
    what="The loss is a sum over the samples, not their mean.",
    why="The size of the gradient, and with it the right learning rate, hang on the batch size.",
    known_limits="A sum on purpose, with a rate to match, looks the same. Information where the "
    "optimizer does not mind.",
    remedies=(
        Remedy(
            "Take the mean over the samples",
            recommended=True,
            pros="The rate need not change with the batch size.",
            before='loss = F.cross_entropy(logits, labels, reduction="sum")',
            after="loss = F.cross_entropy(logits, labels)",
        ),
        Remedy(
            "Divide the sum by the batch size",
            pros="Right for objectives whose terms are sums over the elements of a sample.",
            before="loss = reconstruction.sum() + divergence.sum()",
            after="loss = (reconstruction.sum() + divergence.sum()) / len(inputs)",
        ),
    ),
    explains=("TD105", "TD205", "TD210", "TD408", "TD418", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Set the loss of twice the samples beside that of the batch."""
    run = ask(ChangedBatch())
    losses = losses_of(run)
    plain, doubled = losses[PLAIN], losses.get(DOUBLED)
    if doubled is None or abs(plain) < 1e-6:
        return
    if math.isclose(doubled, 2 * plain, rel_tol=1e-4):
        yield finding(run, ask(ShortRun()), plain, doubled)


def finding(run: Trace, short: Trace, plain: float, doubled: float) -> Finding:
    """Return the finding, as information where it changes no step."""
    is_proportional = any(row.class_name in PROPORTIONAL for row in run.optimizers)
    left = kept_by_clipping(short)
    is_clipped = left is not None and left < SMALL
    matters = is_clipped or (is_proportional and left is None)
    names = ", ".join(dict.fromkeys(row.class_name for row in run.optimizers))
    if is_clipped:
        harm = f"Clipping leaves {left:.2g} of the gradient."
    elif matters:
        harm = f"The steps of {names} grow with it."
    else:
        harm = f"{names} and clipping do not let the steps grow with it."
    return SUMS.finding(
        f"One batch has the loss {figure(plain, 5)}, and {figure(doubled, 5)} with every sample in "
        f"it twice. {harm}",
        severity=None if matters else Severity.INFO,
        mechanism="A sum over samples has a gradient as many times as large as their mean has, so "
        "that the batch size acts as a factor on the learning rate.",
        location=first_location([run.facts["loss_place"], run.setup.factory]),
        evidence=[
            Evidence("loss with every sample twice, over the plain one", doubled / plain, 1.0),
            Evidence("loss", plain),
            Evidence("share of the gradient that clipping leaves", left),
        ],
        loss=figure(plain),
        doubled=figure(doubled),
    )


def kept_by_clipping(run: Trace) -> float | None:
    """Return what clipping by the norm leaves of a typical gradient; None without clipping."""
    kept = [
        min(1.0, limit / norm)
        for row in run.clips
        for norm, limit in zip(row.norms, row.limits, strict=False)
        if norm > 0
    ]
    return statistics.median(kept) if kept else None


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ChangedBatch(), ShortRun())


probe = Probe(
    name="batch-sum",
    doc=__doc__,
    rules=(SUMS,),
    examine=examine,
    experiments=experiments,
)
