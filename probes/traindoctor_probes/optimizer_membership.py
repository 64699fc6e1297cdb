"""Does the optimizer hold the parameters that the loss trains?

## What it measures
Which parameters stand in the optimizers' groups, compared by identity with the model's own,
and which of the others get a gradient or move in a short run. Of parameters that two optimizers
hold: whether one steps on gradients that the other has stepped on already.

## Why it matters
An optimizer is built from a list of tensors. What is missing from the list never moves,
however good its gradient; what is in the list but no longer in the model moves in vain.

## Known limits
Optimizers are those handed over or seen stepping. A second optimizer that steps later than the
short run looks is not seen: parameters that get a gradient are then called outside although that
optimizer would come. What a loop of the user's unfreezes later is noticed within some sixteen
steps. Parameters that move without an optimizer (hand-written updates) count as held. Optimizers
that share parameters are judged by the steps of the short run alone. A part of which an optimizer
holds nothing may be there to give features. It is let be where it is in eval mode while the model
trains. Where it was trained before (`load_state_dict` filled it in the factory, or the shifts of
its normalisations differ as only training makes them) it is a possible warning, for whether it was
to be trained on is not known. Loaded parts without normalisations are not known in a watched run.

## References
torch.optim documentation, "Constructing it": the parameters are taken when it is constructed.
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, LongRun, ReadSource, ShortRun
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.wording import counted, first_location, grouped, location
from traindoctor.trace import OptimizerRow, ParameterRow, Trace, TransferRow
from traindoctor_probes._trained_before import in_eval_mode, trained_before

OUTSIDE = Rule(
    code="TD401",
    name="parameters-not-in-optimizer",
    severity=Severity.ERROR,
    title="{num_outside} of {num_trainable} trainable parameters are in no optimizer",
    what="Trainable parameters get gradients, but no optimizer holds them and nothing moves them.",
    why="They keep their initial values for the whole run.",
    known_limits="A second optimizer that only steps after the observed steps is not seen. Silent "
    "on parts in eval mode; a possible warning on parts that were trained before.",
    remedies=(
        Remedy(
            "Give the optimizer all of the model's parameters",
            recommended=True,
            pros="Everything that requires a gradient is trained.",
            after="optimizer = torch.optim.AdamW(model.parameters(), lr=...)",
        ),
        Remedy(
            "Freeze what is not meant to train",
            pros="Saves the memory and time of gradients that nobody uses.",
            cons="Those parameters stay as they are.",
            after="for p in model.backbone.parameters(): p.requires_grad_(False)",
        ),
    ),
    explains=("TD103", "TD405", "TD409", "TD6"),
)
STRANGERS = Rule(
    code="TD402",
    name="optimizer-holds-strangers",
    severity=Severity.CRITICAL,
    title="{num_strangers} of the {num_held} parameters in {optimizer} are not the model's",
    what="The optimizer holds tensors that the model does not have.",
    why="It updates tensors that no forward pass reads: the model that runs is never trained.",
    known_limits=(
        "Strangers alone are no fault: an optimizer may serve several models. Reported only if "
        "the model has trainable parameters of the same shapes that no optimizer holds."
    ),
    remedies=(
        Remedy(
            "Build the optimizer after the model has its final form",
            recommended=True,
            pros="One line moved; nothing else changes.",
            cons="Optimizer state that was loaded before is lost.",
            after="model = build()\noptimizer = torch.optim.AdamW(model.parameters())",
        ),
    ),
    explains=("TD401", "TD103", "TD201", "TD405", "TD409", "TD6"),
)
DUPLICATES = Rule(
    code="TD410",
    name="duplicate-parameters",
    severity=Severity.ERROR,
    title="{num_duplicates} parameters are stepped more than once",
    what="A parameter stands in two parameter groups of an optimizer, or two optimizers step it on "
    "the gradients of one backward pass.",
    why="Each step moves it twice, with two learning rates and two sets of moments.",
    known_limits="Optimizers that share parameters may take turns, each on a backward pass of its "
    "own after gradients were cleared (adversarial autoencoders, alternating tasks): no fault. "
    "Whether they do is read off the observed steps, so one that steps only later is not judged.",
    remedies=(
        Remedy(
            "Give each parameter to one group of one optimizer",
            recommended=True,
            after="head = set(model.head.parameters())\n"
            "rest = [p for p in model.parameters() if p not in head]",
        ),
    ),
    explains=("TD105", "TD408"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Compare the optimizers' parameters with the model's."""
    known = ask(ReadSource())
    twice = [row for row in known.parameters if row.num_groups > row.num_optimizers]
    if twice:
        yield duplicate(twice, known)
    strangers = [row for row in known.optimizers if row.num_lookalikes]
    for row in strangers:
        yield stranger(row, known)
    if known.setup.has_optimizer:
        run = ask(ShortRun())
        if not run.facts.get("moved"):  # by hand: there is no optimizer to step
            run.require(steps=1)
        yield from outside(run, known.transfers)
        yield from stepped_twice(known, run)
        if run.setup.has_train_loop:  # who else would unfreeze anything on the way?
            yield from unfrozen(ask(LongRun()), run)


def outside(run: Trace, transfers: tuple[TransferRow, ...] = ()) -> Iterator[Finding]:
    """Yield what gets a gradient, is held by no optimizer and does not move."""
    lost = lost_in(run)
    trainable = [row for row in run.parameters if row.requires_grad]
    everything = len(lost) == len(trainable)
    may_be_meant = False
    if not everything:
        on_purpose, known = in_eval_mode(lost, run), trained_before(lost, run, transfers)
        lost = [row for row in lost if row.name not in on_purpose]
        fresh = [row for row in lost if row.name not in known]
        may_be_meant, lost = not fresh, fresh or lost
    if not lost:
        return
    optimizer = run.optimizers[0] if run.optimizers else OptimizerRow(index=0, class_name="")
    severity = Severity.WARNING if may_be_meant else None
    why = " They were trained before: to give features they are of use as they are."
    elements = sum(row.num_elements for row in lost)
    yield OUTSIDE.finding(
        f"{grouped(row.name for row in lost)} ({elements:,} elements) got a gradient in every "
        f"step, but stand in no parameter group; they did not move in "
        f"{counted(len(run.steps), 'optimizer step')}." + why * may_be_meant,
        severity=Severity.CRITICAL if everything else severity,
        confidence=Confidence.POSSIBLE if may_be_meant else None,
        mechanism="An optimizer updates the tensors it was built from and no others. Autograd "
        "fills the gradients of these parameters all the same, so nothing looks wrong.",
        location=first_location([optimizer.place], module=_common(lost)),
        also_at=[location(row.place, parameter=row.name) for row in lost[:8] if row.place],
        evidence=[
            Evidence("parameters outside", len(lost), 0),
            Evidence("elements outside", elements, 0),
            Evidence(
                "parameters held", sum(row.num_held for row in run.optimizers), len(trainable)
            ),
            Evidence("steps in which they moved", 0, len(run.steps)),
        ],
        num_outside=len(lost),
        num_trainable=len(trainable),
        subject=grouped(row.name for row in lost),
    )


def lost_in(run: Trace) -> list[ParameterRow]:
    """Return the parameters that get a gradient, are held by no optimizer and do not move."""
    moved = set(run.facts.get("moved") or ())
    reached = {row.parameter for row in run.gradients if not row.is_none and row.rms > 0}
    return [
        row
        for row in run.parameters
        if row.requires_grad
        and row.num_optimizers == 0
        and row.name in reached
        and row.name not in moved
    ]


def unfrozen(long: Trace, run: Trace) -> Iterator[Finding]:
    """Yield what gets a gradient from some step on, and is held by no optimizer.

    What was trainable and unheld from the start is of one fault with what `outside` tells.
    """
    looks = long.facts.get("unheld_later") or {}
    is_told = bool(lost_in(run))
    late = [
        row
        for row in run.parameters
        if row.name in looks and not (is_told and row.requires_grad and not row.num_optimizers)
    ]
    if not late:
        return
    first = min(looks[row.name][0] for row in late)
    last = max(looks[row.name][1] for row in late)
    yield OUTSIDE.finding(
        f"{grouped(row.name for row in late)} ({sum(row.num_elements for row in late):,} elements) "
        f"came to be trained before step {first}: they have gradients since then, but stand in no "
        f"parameter group, and did not move up to step {last}.",
        mechanism="An optimizer updates the tensors it was built from and no others. What is "
        "unfrozen later gets gradients and stays as it is, until it is added to a group.",
        location=first_location([row.place for row in reversed(run.optimizers)]),
        also_at=[location(row.place, parameter=row.name) for row in late[:8] if row.place],
        evidence=[
            Evidence("parameters outside", len(late), 0),
            Evidence("first step at which they had gradients", first),
            Evidence("steps in which they moved since", 0, last - first),
        ],
        remedies=[
            Remedy(
                "Add what is unfrozen to the optimizer",
                recommended=True,
                pros="Nothing that was learned is lost, and the group has a rate of its own.",
                after='optimizer.add_param_group({"params": model.block3.parameters()})',
            ),
            *OUTSIDE.remedies[:1],
        ],
        num_outside=len(late),
        num_trainable=sum(row.requires_grad or row.name in looks for row in run.parameters),
        subject="later",
    )


def stranger(row: OptimizerRow, known: Trace) -> Finding:
    """Return the finding for an optimizer whose parameters were once the model's."""
    return STRANGERS.finding(
        f"{row.class_name} holds {counted(row.num_held, 'parameter')}; {row.num_strangers} of them "
        f"are not in {known.setup.model_class}, and {row.num_lookalikes} have the shape of a "
        "parameter of the model that no optimizer holds.",
        mechanism="The model was rebuilt, resized, wrapped or converted after the optimizer took "
        "its parameters. The old tensors are still there, but no forward pass reads them.",
        location=first_location([row.place, known.setup.factory]),
        evidence=[
            Evidence("parameters that are not the model's", row.num_strangers, 0),
            Evidence("their elements", row.stranger_elements, 0),
            Evidence("of the shape of an unheld parameter", row.num_lookalikes, 0),
        ],
        num_strangers=row.num_strangers,
        num_held=row.num_held,
        optimizer=row.class_name,
    )


def stepped_twice(known: Trace, run: Trace) -> Iterator[Finding]:
    """Yield parameters of several optimizers, where one steps on what another has stepped on."""
    shared = [row for row in known.parameters if row.num_groups == row.num_optimizers > 1]
    again = [row for row in run.steps if row.num_reused]
    if not shared or not again:
        return
    yield duplicate(
        shared,
        known,
        f" {len(again)} of {counted(len(run.steps), 'optimizer step')} used gradients that another "
        "optimizer's step had used and nobody had cleared.",
        Evidence("steps on gradients that were used before", len(again), 0),
    )


def duplicate(twice: list[ParameterRow], known: Trace, how: str = "", *seen: Evidence) -> Finding:
    """Return the finding for parameters that several groups hold, with how they were stepped."""
    where = [row.place for row in known.optimizers]
    return DUPLICATES.finding(
        f"{grouped(row.name for row in twice)} stand in "
        f"{max(row.num_groups for row in twice)} parameter groups.{how}",
        location=first_location([*reversed(where), known.setup.factory]),
        evidence=[
            Evidence("parameters held more than once", len(twice), 0),
            Evidence("optimizers that hold them", max(row.num_optimizers for row in twice), 1),
            *seen,
        ],
        num_duplicates=len(twice),
        subject="shared" if seen else "",
    )


def _common(rows: list[ParameterRow]) -> str | None:
    """Return the module that all of them belong to, if there is one below the root."""
    roots = {row.name.partition(".")[0] for row in rows}
    return roots.pop() if len(roots) == 1 else None


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return ReadSource(), ShortRun()


probe = Probe(
    name="optimizer-membership",
    doc=__doc__,
    rules=(OUTSIDE, STRANGERS, DUPLICATES),
    examine=examine,
    experiments=experiments,
    core=True,
)
