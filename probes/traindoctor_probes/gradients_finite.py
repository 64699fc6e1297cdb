"""Are the gradients finite where the loss is?

## What it measures
NaN and infinity in the gradients of a short run, at the first step that has any, while the loss
of that step is finite. A follow-up replays the run and finds the operation that was handed finite
gradients and handed on others, its line, and the range of its input.

## Why it matters
One step on a NaN gradient turns every weight that it touches into NaN, for good.

## Known limits
With a gradient scaler, steps that later ones do not repeat are its warm-up and silent. An
operation inside a library is reported at the user's line that called it.

## References
torch.autograd documentation, "Gradients for non-differentiable functions".
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from traindoctor.experiments import Experiment, LocateNonFinite, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import figure, first_location, grouped
from traindoctor.trace import GradientRow, OperationRow, Trace

NOT_FINITE = Rule(
    code="TD203",
    name="gradient-not-finite",
    severity=Severity.CRITICAL,
    title="{num_bad} of {num_seen} gradients are {kind} at step {step}, with a finite loss",
    what="A finite loss has a gradient that is NaN or infinite.",
    why="The next optimizer step makes the weights NaN, and everything after it too.",
    known_limits="Losses that are themselves not finite are another rule's (TD102).",
    remedies=(
        Remedy(
            "Keep the operation away from where its derivative is infinite",
            recommended=True,
            pros="The gradient is right everywhere else.",
            before="distance = (a - b).pow(2).sum(-1).sqrt()",
            after="distance = ((a - b).pow(2).sum(-1) + 1e-12).sqrt()",
        ),
    ),
    explains=("TD102", "TD103", "TD105", "TD205", "TD408", "TD409", "TD418", "TD6", "TD806"),
)
CURES = {
    "Sqrt": ("Add a small number under the root", "x.sqrt()", "(x + 1e-12).sqrt()"),
    "Rsqrt": ("Add a small number under the root", "x.rsqrt()", "(x + 1e-12).rsqrt()"),
    "Norm": (
        "Take the norm of something that is not zero",
        "x.norm()",
        "(x.square().sum() + 1e-12).sqrt()",
    ),
    "LinalgVectorNorm": (
        "Take the norm of something that is not zero",
        "torch.linalg.vector_norm(x)",
        "(x.square().sum() + 1e-12).sqrt()",
    ),
    "Pow": ("Keep the base away from zero", "x ** 0.5", "(x + 1e-12) ** 0.5"),
    "Log": ("Keep the argument away from zero", "x.log()", "x.clamp_min(1e-12).log()"),
    "Div": ("Keep the denominator away from zero", "a / b", "a / (b + 1e-12)"),
    "Reciprocal": ("Keep the denominator away from zero", "1 / b", "1 / (b + 1e-12)"),
    "Acos": ("Keep the argument inside (-1, 1)", "x.acos()", "x.clamp(-1 + 1e-6, 1 - 1e-6).acos()"),
    "Asin": ("Keep the argument inside (-1, 1)", "x.asin()", "x.clamp(-1 + 1e-6, 1 - 1e-6).asin()"),
    "Std": ("Take the variance over more than one value", "x.std()", "(x.var() + 1e-12).sqrt()"),
    "Atan2": (
        "Keep both arguments from being zero at once",
        "torch.atan2(y, x)",
        "torch.atan2(y, x + 1e-12)",
    ),
    "LinalgEigh": (
        "Separate equal eigenvalues",
        "torch.linalg.eigh(a)",
        "a = (a + a.mT) / 2 + 1e-6 * torch.diag(torch.arange(len(a)))\ntorch.linalg.eigh(a)",
    ),
    "LinalgSvd": (
        "Use the singular values alone, or separate equal ones",
        "torch.linalg.svd(a)",
        "torch.linalg.svdvals(a)",
    ),
}
WHERE = (
    " `torch.where` does not help: the branch that is not taken is differentiated too, and zero "
    "times infinity is NaN."
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Find the first step with such gradients, and the operation that makes them."""
    run = ask(ShortRun())
    bad = [row for row in run.gradients if row.num_not_finite]
    if not bad:
        return
    step = min(row.step for row in bad)
    batch = next((row.batch for row in run.steps if row.index == step), run.steps[-1].batch)
    if not loss_is_finite(run, batch) or weights_were_broken(run, step):
        return
    last = max(row.step for row in run.gradients)
    if run.setup.has_scaler and not any(row.step == last for row in bad):
        return
    located = ask(LocateNonFinite(batch=batch))
    origin = next((op for op in located.operations if op.direction == "backward"), None)
    yield not_finite(run, step, [row for row in bad if row.step == step], origin)


def loss_is_finite(run: Trace, batch: int) -> bool:
    """Tell whether every loss up to a batch is a number."""
    values = [row.value for row in run.losses if row.batch <= batch]
    values += [row.loss for row in run.backwards if row.batch <= batch and row.loss is not None]
    return all(math.isfinite(value) for value in values)


def weights_were_broken(run: Trace, step: int) -> bool:
    """Tell whether an earlier step already left weights that are not finite."""
    return any(row.num_not_finite for row in run.updates if row.step < step)


def not_finite(
    run: Trace, step: int, bad: list[GradientRow], origin: OperationRow | None
) -> Finding:
    """Return the finding, at the operation's line where it was found."""
    num_seen = sum(row.step == step and not row.is_none for row in run.gradients)
    names = grouped(row.parameter for row in bad)
    loss = next((row.value for row in run.losses if row.step == step), None)
    evidence = [
        Evidence("gradients not finite", len(bad), 0),
        Evidence("their elements that are not", sum(row.num_not_finite for row in bad), 0),
        Evidence("loss of that step", loss),
    ]
    message = (
        f"At step {step} the loss is {figure(loss)}, and the gradients of {names} are not finite"
    )
    backward = [row.place for row in run.backwards if row.step == step]
    if origin is None:
        return NOT_FINITE.finding(
            f"{message}. The operation could not be found: the replay did not show it.",
            location=first_location(backward, module=bad[0].parameter.rpartition(".")[0]),
            evidence=evidence,
            num_bad=len(bad),
            num_seen=num_seen,
            kind="not finite",
            step=step,
        )
    kind = "NaN" if origin.kind == "nan" else "infinite"
    if origin.input_minimum is not None:
        what = origin.note or "input"
        evidence += [
            Evidence(f"smallest {what} of {origin.operation}", origin.input_minimum),
            Evidence(f"largest {what} of {origin.operation}", origin.input_maximum),
        ]
    return NOT_FINITE.finding(
        f"{message}: the backward pass of {origin.operation} was handed finite gradients and "
        f"made {kind} ones.",
        mechanism=_mechanism(origin),
        location=first_location([origin.place, *backward], module=origin.module or None),
        evidence=evidence,
        remedies=_remedies(origin),
        num_bad=len(bad),
        num_seen=num_seen,
        kind=kind,
        step=step,
    )


def _mechanism(origin: OperationRow) -> str:
    text = (
        f"{origin.operation} has a finite value here, but its derivative is not finite, or is "
        "multiplied by zero where it is infinite. Clipping does not help: the norm is not finite "
        "either."
    )
    return text + (WHERE if "where" in origin.place.text else "")


def _remedies(origin: OperationRow) -> list[Remedy]:
    cure = CURES.get(origin.operation)
    if cure is None:
        return list(NOT_FINITE.remedies)
    title, before, after = cure
    return [Remedy(title, recommended=True, before=before, after=after)]


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ShortRun(),)


probe = Probe(
    name="gradients-finite",
    doc=__doc__,
    rules=(NOT_FINITE,),
    examine=examine,
    experiments=experiments,
)
