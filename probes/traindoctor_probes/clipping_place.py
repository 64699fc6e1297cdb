"""Are gradients clipped where clipping works: between the backward pass and the step?

## What it measures
Every call that clips gradients, and what had been done to those gradients: were they there, had a
step used them already, were they still scaled? Beside it the norms of the gradients that the steps
then used.

## Why it matters
On gradients that are not there yet, or used already, clipping does nothing, and spikes go through.
On scaled ones it cuts each down to next to nothing.

## Known limits
`torch.nn.utils.clip_grad_norm_`, `clip_grad_value_` and `clip_grads_with_norm_` are seen, however
they were imported, and so is what calls them (Trainer, accelerate, Lightning); gradients clamped by
hand are not. Calls at an infinite limit, or one far above every norm, only measure and are silent.

## References
torch.amp examples, "Gradient clipping".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from traindoctor.experiments import Experiment, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, figure, first_location, location
from traindoctor.trace import ClipRow, ExceptionRow, HandlingRow, Trace
from traindoctor_probes._handling import handling_of, is_most, median, require_instruments

MISPLACED = Rule(
    code="TD211",
    name="clipping-in-the-wrong-place",
    severity=Severity.ERROR,
    title="Gradients are clipped {where}, in {num_wrong} of {num_calls} calls",
    what="Clipping acts on gradients that are not the ones that the next step uses, or not yet "
    "in their own units.",
    why="Before the backward pass and after the step it does nothing, and spikes go through. On "
    "scaled gradients it cuts each of them down to almost nothing.",
    known_limits="Calls at an infinite limit, which only measure, are silent, and so are limits "
    "that were multiplied by the scale. A misplaced call whose limit no step's gradient exceeded "
    "is a warning.",
    remedies=(
        Remedy(
            "Clip between the backward pass and the step",
            recommended=True,
            before="loss.backward()\noptimizer.step()\n"
            "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
            after="loss.backward()\ntorch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n"
            "optimizer.step()",
        ),
    ),
    explains=("TD102", "TD105", "TD205", "TD210", "TD408", "TD409", "TD418", "TD6"),
)
UNSCALE = Remedy(
    "Unscale the gradients before they are clipped",
    recommended=True,
    before="scaler.scale(loss).backward()\n"
    "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\nscaler.step(optimizer)",
    after="scaler.scale(loss).backward()\nscaler.unscale_(optimizer)\n"
    "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\nscaler.step(optimizer)",
)
NOTHING_TO_CLIP = "nested_tensorlist[0].empty()"  # what torch makes of an empty list of gradients
SCALED = "before the scaler unscales them"
EARLY = "before the backward pass"
LATE = "after the step"
ONLY_MEASURES = 100.0  # a limit so many times every norm is there to get the norm


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at what each line clips in the user's own loop."""
    run = ask(ShortRun())
    if not run.setup.trains_by_hand:
        return
    require_instruments(run, "clipping")
    refused = next((row for row in run.exceptions if NOTHING_TO_CLIP in row.message), None)
    if refused:
        yield on_nothing(run, refused)
        return
    run.require(steps=1)
    for row in run.clips:
        handling = handling_of(run, row.optimizer)
        if handling is not None and any(math.isfinite(limit) for limit in row.limits):
            where = misplaced(run, row, handling)
            if where:
                yield in_the_wrong_place(run, row, handling, where)


def misplaced(run: Trace, row: ClipRow, handling: HandlingRow) -> str | None:
    """Return where a line clips instead of between a backward pass and its step."""
    limit = median(row.limits)
    if is_most(row.num_scaled, row.count):
        scale = min((value for scaler in run.scalers for value in scaler.scales), default=1.0)
        return SCALED if limit < 0.5 * scale else None
    if not is_most(row.num_absent + row.num_used, row.count):
        return None
    if handling.num_clipped > 0.1 * handling.num_steps:
        return None  # another call, or this one in other steps, comes in time
    norms = step_norms(run, row)
    if norms and limit > ONLY_MEASURES * max(norms):
        return None
    return EARLY if row.num_absent >= row.num_used or not row.num_backwards_before else LATE


def on_nothing(run: Trace, refused: ExceptionRow) -> Finding:
    """Return the finding for values that are clipped where there is no gradient, which raises."""
    return MISPLACED.finding(
        f"`{refused.place.text}` found no gradient in its first call, and torch raised "
        f"{refused.type_name}: {refused.message.splitlines()[0][:80]}",
        severity=Severity.CRITICAL,
        mechanism=_mechanism(EARLY),
        location=first_location([refused.place, run.setup.factory]),
        evidence=[
            Evidence("backward passes before it", len(run.backwards), 1),
            Evidence("gradients that it found", 0),
        ],
        quote=refused.traceback,
        explains=(*MISPLACED.explains, "TD403", "TD404"),
        where=EARLY,
        num_wrong=1,
        num_calls=1,
    )


def step_norms(run: Trace, row: ClipRow) -> list[float]:
    """Return the norms of the gradients that its optimizer's steps used."""
    return [
        step.gradient_norm
        for step in run.steps
        if step.optimizer == row.optimizer and step.gradient_norm
    ]


def in_the_wrong_place(run: Trace, row: ClipRow, handling: HandlingRow, where: str) -> Finding:
    """Return the finding for a line that clips too early or too late."""
    num_wrong = row.num_scaled if where == SCALED else row.num_absent + row.num_used
    limit, norms = median(row.limits), step_norms(run, row)
    exceeding = [norm for norm in norms if norm > 1.01 * limit]
    is_harmless = where != SCALED and row.kind == "norm" and bool(norms) and not exceeding
    return MISPLACED.finding(
        _message(run, row, where, norms, exceeding),
        severity=Severity.WARNING if is_harmless else None,
        mechanism=_mechanism(where),
        location=location(row.place),
        also_at=[location(place) for place in (handling.backward_place, handling.place) if place],
        evidence=[
            Evidence(f"calls {where}", num_wrong, 0),
            Evidence("calls observed", row.count),
            *_sizes(run, row, where, norms),
        ],
        remedies=[UNSCALE] if where == SCALED else None,
        where=where,
        num_wrong=num_wrong,
        num_calls=row.count,
    )


def _message(
    run: Trace, row: ClipRow, where: str, norms: Sequence[float], exceeding: Sequence[float]
) -> str:
    limit = figure(median(row.limits))
    if where == SCALED:
        used = f", so that the steps used gradients of norm {figure(max(norms))}" if norms else ""
        return (
            f"`{row.place.text}` was called {counted(row.num_scaled, 'time')} between the scaled "
            f"loss's backward pass and the scaler's step. It found norms of "
            f"{figure(median(row.norms))} where the limit is {limit}{used}."
            if row.norms
            else f"`{row.place.text}` clipped values {counted(row.num_scaled, 'time')} that were "
            f"still multiplied by the scale; its limit is {limit}."
        )
    found = (
        f"found no gradient in {row.num_absent} and gradients that a step had used already in "
        f"{row.num_used} of {counted(row.count, 'call')}"
    )
    if not exceeding:
        return f"`{row.place.text}` {found}. No step's gradient has exceeded {limit} so far."
    return (
        f"`{row.place.text}` {found}; {len(exceeding)} of {counted(len(norms), 'step')} used "
        f"gradients of a norm above its limit of {limit}, up to {figure(max(exceeding))}."
    )


def _mechanism(where: str) -> str:
    return {
        SCALED: "The loss was multiplied by the scale, and so are the gradients until the scaler "
        "unscales them. The limit cuts them down to its own size, and unscaling then divides what "
        "is left by the scale once more.",
        EARLY: "clip_grad_norm_ changes the gradients that are there when it is called. Those of "
        "this batch come with the backward pass, after it.",
        LATE: "The step has used the gradients when they are clipped; the next backward pass "
        "brings new ones.",
    }[where]


def _sizes(run: Trace, row: ClipRow, where: str, norms: Sequence[float]) -> list[Evidence]:
    limit = median(row.limits)
    rows = [Evidence("limit", limit)]
    if row.norms and where == SCALED:
        scales = [value for scaler in run.scalers for value in scaler.scales]
        rows.append(Evidence("norm that it found (median)", median(row.norms)))
        if scales:
            rows.append(Evidence("scale in it", median(scales), 1))
    if norms:
        rows.append(Evidence("largest norm that a step used", max(norms), f"<= {figure(limit)}"))
    return rows


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


probe = Probe(
    name="clipping-place",
    doc=__doc__,
    rules=(MISPLACED,),
    examine=examine,
    experiments=experiments,
)
