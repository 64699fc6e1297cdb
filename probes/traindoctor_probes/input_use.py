"""Do the inputs matter to the loss?

## What it measures
The loss and every gradient of one batch, after a few steps on it: as it is, with the inputs of its
samples in another order while the labels stay, and with one sample's inputs for all. Other labels
must change the loss, or nothing is said. Where all stays as it is, the same is asked of the model
as it is before its first step.

## Why it matters
A model that does not see its inputs learns how frequent the labels are, and nothing else. Its loss
falls in the first steps, for the frequencies are learned, and then it rests.

## Known limits
It speaks only where loss and gradients are the same to the last bit. An input that matters a
little, or to some samples, is not found. Models that are given no labels are not judged. Inputs
that matter to the new model, and no more after a few steps, are not ignored: the units died, which
other rules tell.

## References
Karpathy, "A Recipe for Training Neural Networks": input-independent baseline.
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import ChangedBatch, Experiment
from traindoctor.experiments.changes import INPUTS_OF_ONE, INPUTS_PERMUTED, LABELS_OF_ONE, PLAIN
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import figure, first_location
from traindoctor.trace import Trace
from traindoctor_probes._changed import is_ignored, losses_of

OTHER_INPUTS = (INPUTS_PERMUTED, INPUTS_OF_ONE)

IGNORED = Rule(
    code="TD108",
    name="input-ignored",
    severity=Severity.ERROR,
    title="The loss is {loss} whatever the inputs are",
    what="Other inputs leave the loss and every gradient bit for bit as they are.",
    why="The model can learn how frequent each label is, and nothing more.",
    known_limits="Speaks only where nothing at all of the inputs arrives.",
    remedies=(
        Remedy(
            "Follow two samples from the batch to the loss",
            recommended=True,
            pros="Where they become equal is the fault.",
            after="for layer in model.children():\n"
            "    layer.register_forward_hook(\n"
            "        lambda m, i, out: print(m, (out[0] - out[1]).abs().max())\n"
            "    )",
        ),
    ),
    explains=("TD103", "TD2", "TD409", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Compare the loss under other inputs with the plain one, and with one under other labels."""
    run = ask(ChangedBatch())
    losses = losses_of(run)
    if INPUTS_PERMUTED not in losses or losses.get(LABELS_OF_ONE) == losses[PLAIN]:
        return
    if is_ignored(run, losses, *OTHER_INPUTS) and is_ignored_when_new(ask):
        yield finding(run, losses)


def is_ignored_when_new(ask: Ask) -> bool:
    """Tell whether the inputs do not matter before the first step either."""
    new = ask(ChangedBatch(num_steps=0))
    return is_ignored(new, losses_of(new), *OTHER_INPUTS)


def finding(run: Trace, losses: dict[str, float]) -> Finding:
    """Return the finding, at the forward."""
    loss, other = losses[PLAIN], losses[LABELS_OF_ONE]
    return IGNORED.finding(
        f"With the inputs of one batch in another order, and with one sample's inputs for all, the "
        f"loss is {figure(loss, 6)} as before, and no gradient differs in a single bit. With "
        f"one sample's label for all it is {figure(other, 6)}.",
        mechanism="Somewhere between the batch and the loss the inputs are lost: overwritten, "
        "multiplied by zero, masked out, or replaced by a constant.",
        location=first_location([run.setup.forward_place, run.setup.factory]),
        evidence=[
            Evidence("loss", loss),
            Evidence("change of the loss under permuted inputs", 0.0, "not 0"),
            Evidence("change of the loss under one sample's inputs for all", 0.0, "not 0"),
            Evidence("change of the loss under one label for all", other - loss),
        ],
        loss=figure(loss, 4),
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ChangedBatch(),)


probe = Probe(
    name="input-use",
    doc=__doc__,
    rules=(IGNORED,),
    examine=examine,
    experiments=experiments,
)
