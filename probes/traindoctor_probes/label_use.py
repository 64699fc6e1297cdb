"""Do the labels matter to the loss?

## What it measures
The loss and every gradient of one batch, after a few steps on it: as it is, with the labels of its
samples in another order, and with one sample's label for all. And whether the labels are asked for:
by a parameter of the loss function or of the forward, or by an operation of the user's code.

## Why it matters
A loss that stays the same whatever the labels are cannot teach them. The number falls all the same
where it compares the model with itself, or with a constant.

## Known limits
It speaks only where loss and gradients are the same to the last bit and the labels are asked for; a
loss of the inputs alone (an autoencoder over labelled images) does not ask for them. An objective
that draws noise of its own is judged by one draw, from one seed.

## References
Karpathy, "A Recipe for Training Neural Networks": use backprop to chart dependencies.
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import ChangedBatch, Experiment
from traindoctor.experiments.changes import LABELS_OF_ONE, LABELS_PERMUTED, PLAIN
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
from traindoctor.probing.wording import figure, first_location
from traindoctor.trace import Place, Trace
from traindoctor_probes._changed import is_ignored, losses_of

IGNORED = Rule(
    code="TD113",
    name="labels-ignored",
    severity=Severity.ERROR,
    title="The loss is {loss} whatever the labels are",
    what="Other labels leave the loss and every gradient bit for bit as they are.",
    why="What the loss does not depend on is not learned, however well the loss falls.",
    known_limits="Silent where nothing asks for the labels, as in self-supervised training.",
    remedies=(
        Remedy(
            "Compare the model's output with the batch's own labels",
            recommended=True,
            pros="A name that is assigned twice, and a mask or a clamp that makes all labels one, "
            "are the usual reasons.",
            before="loss = F.cross_entropy(logits, logits.argmax(dim=1))",
            after="loss = F.cross_entropy(logits, labels)",
        ),
    ),
    explains=("TD103", "TD409", "TD6", "TD712"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Compare the loss under other labels with the plain one."""
    run = ask(ChangedBatch())
    losses = losses_of(run)
    asked = asked_for(run)
    is_tried = LABELS_PERMUTED in losses and asked
    if is_tried and is_ignored(run, losses, LABELS_PERMUTED, LABELS_OF_ONE):
        yield finding(run, losses[PLAIN], asked)


def asked_for(run: Trace) -> str:
    """Say who asks for the labels; nothing where nobody does."""
    wanted = run.facts["wants_labels"]
    if wanted:
        return "the loss function" if wanted == "loss_fn" else "the forward"
    uses = run.facts["label_uses"]
    return f"`{uses[-1][0]}` at line {uses[-1][1].line}" if uses else ""


def finding(run: Trace, loss: float, asked: str) -> Finding:
    """Return the finding, at the line that used the labels last."""
    uses: list[Place] = [place for _, place in run.facts["label_uses"]]
    where = f"Labels are last used by `{run.facts['label_uses'][-1][0]}`." if uses else ""
    return IGNORED.finding(
        f"With the labels of one batch in another order, and with one label for all its samples, "
        f"the loss is {figure(loss, 6)} as before, and no gradient differs in a single bit. Yet "
        f"{asked} asks for the labels. {where}".strip(),
        confidence=Confidence.CERTAIN if uses else Confidence.LIKELY,
        mechanism="The loss compares the model's output with something that does not come from "
        "the labels, or with what is left of them once they are all made the same.",
        location=first_location([*reversed(uses), run.facts["loss_place"], run.setup.factory]),
        evidence=[
            Evidence("loss", loss),
            Evidence("change of the loss under permuted labels", 0.0, "not 0"),
            Evidence("change of the loss under one label for all", 0.0, "not 0"),
            Evidence("norm of the gradient", run.facts["gradient_norm"]),
        ],
        loss=figure(loss, 4),
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ChangedBatch(),)


probe = Probe(
    name="label-use",
    doc=__doc__,
    rules=(IGNORED,),
    examine=examine,
    experiments=experiments,
)
