"""Is the gradient scaler used as a scaler has to be?

## What it measures
Every `scale`, `unscale_`, `step` and `update` of a GradScaler, which losses it scaled, which
gradients the optimizer's steps then used, and how often the scaler skipped a step.

## Why it matters
A scaler multiplies the loss by some ten thousands, and only its own `step` takes that out again.
Past it, every step is ten thousands of times too long. A scaler that skips many steps trains on the
few batches whose gradients are small.

## Known limits
Gradients that user code divides by the scale itself, and steps after an explicit `unscale_`, are
silent. A scaler may skip steps until it has found its scale: the first steps, and twenty after the
first that was taken, are not counted, and shares are judged from fifty later steps on. Whether a
fused optimizer skipped is not known. A disabled scaler does nothing and is silent.

## References
torch.amp documentation, "Gradient Scaling", and "Automatic Mixed Precision examples".
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, ShortRun
from traindoctor.probing import (
    Ask,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.wording import counted, figure, first_location, location
from traindoctor.trace import ExceptionRow, HandlingRow, ScalerRow, Trace
from traindoctor_probes._handling import is_most, require_instruments
from traindoctor_probes._scaler_skips import skipping

MISUSE = Rule(
    code="TD414",
    name="scaler-misuse",
    severity=Severity.ERROR,
    title="The gradient scaler is misused: {what}",
    what="Losses are scaled and steps are taken, but not both by the scaler; or it never learns "
    "which scale the gradients bear.",
    why="Steps follow gradients that are thousands of times too large or too small, or are not "
    "taken at all.",
    known_limits="Warm-up, in which a scaler skips steps to find its scale, is left out; shares of "
    "skipped steps are judged in long runs only.",
    remedies=(
        Remedy(
            "Let the scaler scale, step and update",
            recommended=True,
            before="scaler.scale(loss).backward()\noptimizer.step()",
            after="scaler.scale(loss).backward()\nscaler.step(optimizer)\nscaler.update()",
        ),
        Remedy(
            "Train in bfloat16, which needs no scaler",
            pros="Its range is that of float32.",
            cons="Fewer digits than float16; older devices lack it.",
            before="with torch.autocast(device, dtype=torch.float16):\n    loss = model(x)",
            after="with torch.autocast(device, dtype=torch.bfloat16):\n    loss = model(x)",
        ),
    ),
    explains=(
        "TD102",
        "TD103",
        "TD105",
        "TD205",
        "TD210",
        "TD211",
        "TD404",
        "TD405",
        "TD408",
        "TD409",
        "TD418",
        "TD6",
    ),
)
NEVER_UPDATED = "it is never updated"
# What torch's scaler raises, and what that means.
COMPLAINTS = {
    "step() has already been called since the last update()": NEVER_UPDATED,
    "unscale_() has already been called on this optimizer since the last update()": (
        "gradients are unscaled twice"
    ),
    "unscale_() is being called after step()": "gradients are unscaled after the step",
    "No inf checks were recorded prior to update": "it is updated without a step of its own",
    "Attempted step but _scale is None": "it scaled no loss",
    "Attempted unscale_ but _scale is None": "it scaled no loss",
}


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at what was scaled and who stepped, then at what was skipped."""
    run = ask(ShortRun())
    if not run.setup.trains_by_hand:
        return
    require_instruments(run, "scalers")
    complaint = next(complaints(run), None)
    past = [row for row in run.handling if is_past(run, row, complaint)]
    shrunk = [row for row in run.handling if is_shrunk(run, row)]
    if past:
        yield past_the_scaler(run, past[0], complaint)
    elif shrunk:
        yield never_scaled(run, shrunk[0])
    elif any(row.num_infinite for row in run.handling):
        yield unguarded(run, next(row for row in run.handling if row.num_infinite))
    elif complaint:
        yield refused(run, complaint)
    else:
        yield from skipping(MISUSE, run)


def complaints(run: Trace) -> Iterator[ExceptionRow]:
    """Yield what the scaler itself raised and nobody caught."""
    for row in run.exceptions:
        if any(text in row.message for text in COMPLAINTS):
            yield row


def is_past(run: Trace, row: HandlingRow, complaint: ExceptionRow | None) -> bool:
    """Tell whether an optimizer steps on scaled gradients by itself."""
    at_once = complaint is not None and row.num_scaled == row.num_steps > 0
    return at_once or is_most(row.num_scaled, row.num_steps)


def is_shrunk(run: Trace, row: HandlingRow) -> bool:
    """Tell whether a scaler divides what it never multiplied, although it scaled something."""
    has_scaled = any(scaler.num_scaled >= scaler.num_steps > 0 for scaler in run.scalers)
    return has_scaled and is_most(row.num_shrunk, row.num_attempts)


def past_the_scaler(run: Trace, row: HandlingRow, complaint: ExceptionRow | None) -> Finding:
    """Return the finding for steps that bypass the scaler."""
    scale = _scale(run)
    norms = _norms(run, row)
    used = f" of norm {figure(max(norms))}" if norms else ""
    more = f" Then the scaler raised: {complaint.message.splitlines()[0]}" if complaint else ""
    return MISUSE.finding(
        f"`{row.place.text}` stepped {row.class_name} {counted(row.num_scaled, 'time')} on "
        f"gradients{used} that were still multiplied by the scale of {figure(scale)}.{more}",
        severity=Severity.CRITICAL if complaint else None,
        mechanism="The scaler multiplies the loss, and with it every gradient. Its `step` divides "
        "them again, looks for infinities, and only then steps the optimizer; the optimizer's own "
        "`step` does neither.",
        location=first_location([row.place, row.scale_place, run.setup.factory]),
        also_at=[location(row.scale_place)] if row.scale_place else [],
        evidence=[
            Evidence("steps on scaled gradients", row.num_scaled, 0),
            Evidence("steps observed", row.num_steps),
            Evidence("steps by the scaler", sum(s.num_steps for s in run.scalers), row.num_steps),
            Evidence("scale in the gradients", scale, 1),
            *([Evidence("largest gradient norm that a step used", max(norms))] if norms else []),
        ],
        quote=complaint.traceback if complaint else "",
        explains=(*MISUSE.explains, "TD203"),  # what the scale made infinite
        what="the optimizer steps past it, on scaled gradients",
    )


def unguarded(run: Trace, row: HandlingRow) -> Finding:
    """Return the finding for steps that the scaler would have skipped."""
    return MISUSE.finding(
        f"`{row.place.text}` stepped {row.class_name} {counted(row.num_unguarded, 'time')} past "
        f"the scaler that had unscaled its gradients, {row.num_infinite} of them on gradients in "
        "which the scaler had found infinities.",
        mechanism="Gradients overflow now and then, above all before the scale is found. The "
        "scaler's `step` skips those; the optimizer's own takes them, and the weights are ruined.",
        location=first_location([row.place, row.scale_place, run.setup.factory]),
        also_at=[location(row.scale_place)] if row.scale_place else [],
        evidence=[
            Evidence("steps on gradients that were found infinite", row.num_infinite, 0),
            Evidence("steps past the scaler", row.num_unguarded, 0),
            Evidence("steps by the scaler", sum(s.num_steps for s in run.scalers), row.num_steps),
        ],
        explains=(*MISUSE.explains, "TD203"),
        what="the optimizer steps past it, on infinite gradients",
    )


def never_scaled(run: Trace, row: HandlingRow) -> Finding:
    """Return the finding for a scaler that divides gradients of losses that it did not scale."""
    scale = _scale(run)
    scaler = next(s for s in run.scalers if s.num_scaled)
    return MISUSE.finding(
        f"The scaler stepped {row.class_name} {counted(row.num_shrunk, 'time')} on gradients of "
        f"losses that it had not scaled, and divided them by {figure(scale)}. What `{_text(scaler)}"
        "` returns was not what went into the backward pass.",
        mechanism="`scale` returns the scaled loss and leaves the given one as it is. The backward "
        "pass took the latter, and the scaler's `step` divides its gradients all the same.",
        location=first_location([scaler.place, scaler.step_place, run.setup.factory]),
        also_at=[location(row.backward_place)] if row.backward_place else [],
        evidence=[
            Evidence("steps on gradients that were never scaled", row.num_shrunk, 0),
            Evidence("losses that it scaled", scaler.num_scaled),
            Evidence("what it divided the gradients by", scale),
            Evidence("largest gradient norm that a step used", max(_norms(run, row), default=None)),
        ],
        remedies=[
            Remedy(
                "Differentiate what `scale` returns",
                recommended=True,
                before="scaler.scale(loss)\nloss.backward()",
                after="scaler.scale(loss).backward()",
            )
        ],
        what="what it scales is not what is differentiated",
    )


def refused(run: Trace, raised: ExceptionRow) -> Finding:
    """Return the finding for a scaler that raised because it was called out of turn."""
    what = next(what for text, what in COMPLAINTS.items() if text in raised.message)
    steps = sum(s.num_steps for s in run.scalers)
    if steps and not any(s.num_updates for s in run.scalers):
        what = NEVER_UPDATED
    return MISUSE.finding(
        f"`{raised.place.text}` raised {raised.type_name}: {raised.message.splitlines()[0]} "
        f"The scaler had taken {counted(steps, 'step')}.",
        severity=Severity.CRITICAL,
        mechanism="A scaler goes through a fixed round: scale, perhaps unscale_, step, update. It "
        "keeps count for each optimizer, and `update` alone begins the next round.",
        location=first_location([raised.place, run.setup.factory]),
        evidence=[
            Evidence("losses scaled", sum(s.num_scaled for s in run.scalers)),
            Evidence("steps by the scaler", steps),
            Evidence("updates of its scale", sum(s.num_updates for s in run.scalers), steps),
        ],
        quote=raised.traceback,
        explains=(*MISUSE.explains, "TD403"),
        what=what,
    )


def _scale(run: Trace) -> float | None:
    scales = [value for row in run.scalers for value in row.scales]
    return scales[-1] if scales else None


def _norms(run: Trace, row: HandlingRow) -> list[float]:
    steps = [step for step in run.steps if step.optimizer == row.optimizer]
    return [step.gradient_norm for step in steps if step.gradient_norm is not None]


def _text(scaler: ScalerRow) -> str:
    return scaler.place.text or "scaler.scale(loss)"


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ShortRun(),)


probe = Probe(
    name="gradient-scaler",
    doc=__doc__,
    rules=(MISUSE,),
    examine=examine,
    experiments=experiments,
)
