"""Are the gradients finite where the loss is?

## What it measures
NaN and infinity in the gradients of a short run, at the first step that has any, while the loss
of that step is finite; where a guard lets no step use them, those of the backward passes. A
follow-up replays the run and finds the operation that was handed finite gradients and handed on
others, its line, and the range of its input. Behind an eigendecomposition it is tried whether a
small diagonal parts the eigenvalues.

## Why it matters
One step on a NaN gradient turns every weight that it touches into NaN, for good. A guard that
skips such steps keeps the weights, and with them the state that they were initialised in.

## Known limits
With a gradient scaler, steps that later ones do not repeat are its warm-up and silent, and so is
an overflow that no step uses. A guard that skips fewer than half of the backward passes does its
work. An operation inside a library is reported at the user's line that called it.

## References
torch.autograd documentation, "Gradients for non-differentiable functions".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from traindoctor.experiments import (
    Experiment,
    LocateNonFinite,
    PartEigenvalues,
    ReadSource,
    ShortRun,
)
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.syntax import guards
from traindoctor.probing.wording import counted, figure, first_location, grouped
from traindoctor.trace import BackwardRow, OperationRow, Place, Trace
from traindoctor_probes._never_steps import step_lines
from traindoctor_probes._singular import ADDED, cures, mechanism, range_of

LEAST_PASSES = 3  # of a run without steps

NOT_FINITE = Rule(
    code="TD203",
    name="gradient-not-finite",
    severity=Severity.CRITICAL,
    title="{num_bad} of {num_seen} gradients are {kind} {when}, with a finite loss",
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
    explains=(
        "TD102",
        "TD103",
        "TD105",
        "TD205",
        "TD408",
        "TD409",
        "TD414",
        "TD418",
        "TD6",
        "TD806",
    ),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """Where gradients were not finite: at a step, or in backward passes that no step used."""

    batch: int
    when: str
    num_bad: int
    num_seen: int
    names: str  # of their parameters, where they are known
    loss: float | None
    places: tuple[Place, ...]  # of the backward pass
    evidence: tuple[Evidence, ...]
    explains: tuple[str, ...] = NOT_FINITE.explains


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Find the first gradients that are not finite, and the operation that makes them."""
    run = ask(ShortRun())
    seen = at_step(run) if run.gradients else unused(run, ask)
    if seen is None:
        return
    located = ask(LocateNonFinite(batch=seen.batch))
    origin = next((op for op in located.operations if op.direction == "backward"), None)
    is_overflow = origin is None or origin.kind == "inf"
    if run.setup.has_scaler and not run.steps and is_overflow:
        return  # the scaler goes on to halve its scale
    yield not_finite(seen, origin, tried(ask, seen, origin))


def at_step(run: Trace) -> Seen | None:
    """Return the first step that was handed such gradients, if it is where they begin."""
    bad = [row for row in run.gradients if row.num_not_finite]
    if not bad:
        return None
    step = min(row.step for row in bad)
    batch = next((row.batch for row in run.steps if row.index == step), run.steps[-1].batch)
    if not loss_is_finite(run, batch) or weights_were_broken(run, step):
        return None
    last = max(row.step for row in run.gradients)
    if run.setup.has_scaler and not any(row.step == last for row in bad):
        return None
    bad = [row for row in bad if row.step == step]
    elements = sum(row.num_not_finite for row in bad)
    return Seen(
        batch=batch,
        when=f"at step {step}",
        num_bad=len(bad),
        num_seen=sum(row.step == step and not row.is_none for row in run.gradients),
        names=grouped(row.parameter for row in bad),
        loss=next((row.value for row in run.losses if row.step == step), None),
        places=tuple(row.place for row in run.backwards if row.step == step),
        evidence=(Evidence("their elements that are not", elements, 0),),
    )


def unused(run: Trace, ask: Ask) -> Seen | None:
    """Return the backward passes that no step used, if most of them left such gradients."""
    bad = [row for row in run.backwards if row.num_not_finite]
    if run.steps or len(bad) < max(LEAST_PASSES, len(run.backwards) / 2) or not ends_so(run):
        return None
    first = bad[0]
    if not loss_is_finite(run, first.batch):
        return None
    source = ask(ReadSource()).source
    steps = step_lines(source, first.place)
    is_guarded = any(guard.kind == "if" for place in steps for guard in guards(source, place))
    passes = f"{len(bad)} of {counted(len(run.backwards), 'backward pass')}"
    return Seen(
        batch=first.batch,
        when=f"after {passes}",
        num_bad=first.num_not_finite,
        num_seen=first.num_present_after,
        names="",
        loss=first.loss,
        places=(first.place,),
        evidence=(
            Evidence("backward passes that end so", len(bad), 0),
            Evidence("optimizer steps", 0),
        ),
        explains=(*NOT_FINITE.explains, *(("TD403", "TD404") if is_guarded else ())),
    )


def ends_so(run: Trace) -> bool:
    """Tell whether the last backward passes are no better than the first."""
    rows: tuple[BackwardRow, ...] = run.backwards[-LEAST_PASSES:]
    return all(row.num_not_finite for row in rows)


def loss_is_finite(run: Trace, batch: int) -> bool:
    """Tell whether every loss up to a batch is a number."""
    values = [row.value for row in run.losses if row.batch <= batch]
    values += [row.loss for row in run.backwards if row.batch <= batch and row.loss is not None]
    return all(math.isfinite(value) for value in values)


def weights_were_broken(run: Trace, step: int) -> bool:
    """Tell whether an earlier step already left weights that are not finite."""
    return any(row.num_not_finite for row in run.updates if row.step < step)


def tried(ask: Ask, seen: Seen, origin: OperationRow | None) -> dict[str, tuple[int, int]]:
    """Return how many gradients stay broken, of how many, with each diagonal that was added."""
    if origin is None or origin.operation != "LinalgEigh":
        return {}
    last = {
        shift: ask(PartEigenvalues(batch=seen.batch, shift=shift)).backwards[-1:]
        for shift in ("identity", "ramp")
    }
    return {
        shift: (rows[0].num_not_finite, rows[0].num_present_after)
        for shift, rows in last.items()
        if rows
    }


def not_finite(
    seen: Seen, origin: OperationRow | None, parted: dict[str, tuple[int, int]]
) -> Finding:
    """Return the finding, at the operation's line where it was found."""
    when = seen.when[:1].upper() + seen.when[1:]
    if seen.names:
        message = (
            f"{when} the loss is {figure(seen.loss)}, and the gradients of {seen.names} are not "
            "finite"
        )
    else:
        message = (
            f"{when}, each of a finite loss, {seen.num_bad} of "
            f"{counted(seen.num_seen, 'gradient')} were not finite, and no step was taken"
        )
    evidence = [
        Evidence("gradients not finite", seen.num_bad, 0),
        *(Evidence(f"with {ADDED[shift]}", number, None) for shift, (number, _) in parted.items()),
        *(range_of(origin) if origin else []),
        *seen.evidence,
        Evidence("loss that was differentiated", seen.loss),
    ]
    kind = "not finite"
    if origin is None:
        message += ". The operation could not be found: the replay did not show it."
    else:
        kind = "NaN" if origin.kind == "nan" else "infinite"
        message += (
            f": the backward pass of {origin.operation} was handed finite gradients and "
            f"made {kind} ones."
        )
    names = seen.names.partition(" ")[0]
    return NOT_FINITE.finding(
        message,
        mechanism=mechanism(origin) if origin else "",
        location=first_location(
            [*([origin.place] if origin else []), *seen.places],
            module=(origin.module if origin else names.rpartition(".")[0]) or None,
        ),
        evidence=evidence,
        remedies=(cures(origin, parted) or None) if origin else None,
        explains=seen.explains,
        num_bad=seen.num_bad,
        num_seen=seen.num_seen,
        kind=kind,
        when=seen.when,
    )


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
