"""Do updates survive the precision that the weights are kept in?

## What it measures
Of parameters in bfloat16 or float16 that an optimizer of torch's holds: the share of elements with
a gradient that are bit for bit the same after a step, over the steps of a short run.

## Why it matters
A bfloat16 number keeps eight bits: what is added to a weight is lost if it is less than half a
unit in the last place, 1/512 to 1/256 of the weight itself. The next step's update is as small and
is lost as well. Most weights then stay where they were for the whole of the training, whatever
the loss curve of the few others looks like.

## Known limits
Optimizers that are not torch's own are not judged: they may round at random or keep a correction.
Steps of a warm-up, at less than half the rate that is planned, do not count. Rows of embeddings
that no token reached are left out.

## References
Micikevicius et al., "Mixed Precision Training", 2018, on master weights in float32; Zamirai et
al., "Revisiting BFloat16 Training", 2020.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from traindoctor.experiments import Experiment, ReadSource, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.syntax import calls
from traindoctor.probing.wording import counted, figure, first_location
from traindoctor.trace import ParameterRow, Place, StepRow, Trace

HALF_ULP = {"bfloat16": 2.0**-9, "float16": 2.0**-12}  # at least, relative to the weight
TORCHS = {"SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "RMSprop", "Adadelta"}
CASTS = ("bfloat16", "half", "to", "from_pretrained", "from_config", "set_default_dtype")
LEAST = 0.5  # of the elements with a gradient must move in a step
MIN_STEPS = 3

ROUNDED = Rule(
    code="TD413",
    name="updates-rounded-away",
    severity=Severity.ERROR,
    title="{share:.0%} of the {dtype} weights do not move in a step: updates round to nothing",
    what="Weights of low precision get updates below half a unit in their last place.",
    why="Each step is lost anew, so that most weights never leave their initial values.",
    known_limits="Optimizers that are not torch's own are not judged, nor steps of a warm-up.",
    remedies=(
        Remedy(
            "Keep the weights in float32 and compute under autocast",
            recommended=True,
            pros="As fast, for the matrix products still run in low precision.",
            before="model = Model().to(torch.bfloat16)",
            after='model = Model()\nwith torch.autocast("cuda", dtype=torch.bfloat16):\n'
            "    loss = model(batch)",
        ),
        Remedy(
            "Use an optimizer that rounds at random or keeps a correction",
            pros="Needs no second copy of the weights.",
            cons="torch has none of its own.",
        ),
        Remedy(
            "Raise the learning rate",
            cons="A rate that bfloat16 can follow is often too high to learn well.",
        ),
    ),
    explains=("TD405", "TD409", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Count the elements of low precision that a step leaves as they were."""
    run = ask(ShortRun())
    for dtype in HALF_ULP:
        held = [row for row in run.parameters if row.dtype == dtype and is_judged(run, row)]
        if not held:
            continue
        run.require(steps=MIN_STEPS)
        shares = [share for step in full_rate(run) if (share := moved(run, held, step)) is not None]
        if len(shares) >= MIN_STEPS and statistics.median(shares) < LEAST:
            yield finding(run, held, shares, cast_at(ask, dtype, run.setup.model_place))


def is_judged(run: Trace, row: ParameterRow) -> bool:
    """Tell whether one of torch's own optimizers trains the parameter."""
    if row.group is None or not row.requires_grad:
        return False
    return any(o.index == row.group[0] and o.class_name in TORCHS for o in run.optimizers)


def full_rate(run: Trace) -> list[StepRow]:
    """Return the steps at a rate that training is meant to run at."""
    planned = {
        row.optimizer: max(row.base_rate or 0.0, row.highest_rate or 0.0) for row in run.schedulers
    }
    return [
        row
        for row in run.steps
        if (rate := max(row.learning_rates, default=0.0)) > 0
        and rate >= 0.5 * planned.get(row.optimizer, 0.0)
    ]


def moved(run: Trace, held: list[ParameterRow], step: StepRow) -> float | None:
    """Return the share that moved of those elements that had a gradient, or None if none had."""
    sizes = {row.name: row.num_elements for row in held if row.group[0] == step.optimizer}  # type: ignore[index]  # `is_judged` saw to it
    changed = {row.parameter: row.share_changed for row in run.updates if row.step == step.index}
    reached = {
        row.parameter: sizes[row.parameter] * (1 - row.share_zero)
        for row in run.gradients
        if row.step == step.index and row.parameter in sizes and not row.is_none
    }
    total = sum(reached[name] for name in reached if name in changed)
    # What decay moves without a gradient counts as moved: that errs on the quiet side.
    return sum(changed[n] * sizes[n] for n in reached if n in changed) / total if total else None


def cast_at(ask: Ask, dtype: str, built: Place) -> Place:
    """Return the line that asks for the low precision: the model's, or the only one."""
    words = ("half", "float16") if dtype == "float16" else ("bfloat16",)
    found = [
        place
        for place, _ in calls(ask(ReadSource()).source, *CASTS)
        if any(word in place.text for word in words)
    ]
    if any((place.file, place.line) == (built.file, built.line) for place in found):
        return built
    return found[0] if len({place.line for place in found}) == 1 else Place()


def finding(run: Trace, held: list[ParameterRow], shares: list[float], cast: Place) -> Finding:
    """Return the finding, with the size that an update needs beside the one that it has."""
    dtype, share = held[0].dtype, statistics.median(shares)
    names = {row.name for row in held}
    total = sum(row.num_elements for row in held)
    sizes = {row.name: row.num_elements for row in held}
    weight = sum(row.weight_rms * row.num_elements for row in held) / total
    rows = [row for row in run.updates if row.parameter in names and row.update_rms > 0]
    update = sum(row.update_rms * sizes[row.parameter] for row in rows) / max(
        sum(sizes[row.parameter] for row in rows), 1
    )
    rate = max((r for step in run.steps for r in step.learning_rates), default=0.0)
    needed = weight * HALF_ULP[dtype]
    return ROUNDED.finding(
        f"In {counted(len(shares), 'step')} at a learning rate of {figure(rate)}, {share:.0%} of "
        f"the elements with a gradient changed at all. A {dtype} weight of the typical size "
        f"{figure(weight)} takes no update smaller than {figure(needed)}.",
        mechanism=f"{dtype} has no number between a weight and its neighbour, about "
        f"{figure(2 * needed)} away: the sum of the weight and a smaller update is the weight. "
        "Nothing remembers what was lost, so that the updates do not add up either.",
        location=first_location(
            [cast, *(o.place for o in run.optimizers), run.setup.model_place, run.setup.factory]
        ),
        evidence=[
            Evidence("share of elements that a step moves", share, "close to 1"),
            Evidence("learning rate", rate),
            Evidence("smallest update that is kept", needed),
            Evidence("root mean square of the updates that were made", update),
            Evidence(f"parameters in {dtype}", len(held), 0),
        ],
        share=1 - share,
        dtype=dtype,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ShortRun(),)


probe = Probe(
    name="low-precision-updates",
    doc=__doc__,
    rules=(ROUNDED,),
    examine=examine,
    experiments=experiments,
)
