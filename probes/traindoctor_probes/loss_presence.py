"""Is there a loss at all?

## What it measures
What the model's output is and whether any of it is a loss, when no loss function is given; and
whether the forward refuses labels.

## Why it matters
Without a scalar that depends on the weights there is nothing to differentiate.

## Known limits
A setup with a `train_step` or `train_loop` computes its own loss: of it only a forward that
refuses labels is judged. A scalar that requires grad is taken for a loss, whatever it means.

## References
transformers, "Model outputs": a loss is returned only by models with a head, given labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from traindoctor.experiments import Experiment, OneStep
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import first_location, location
from traindoctor.trace import ExceptionRow, Trace
from traindoctor_probes._raised import DOWNSTREAM, batch_of, headline, keys_of, stopped
from traindoctor_probes.forward_arguments import TARGETS, lacks_loss, refused_key

NO_LOSS = Rule(
    code="TD011",
    name="no-loss",
    severity=Severity.CRITICAL,
    title="{model} computes no loss, and no loss function is given",
    what="The forward yields no loss, or refuses labels, and the setup names no loss function.",
    why="Nothing can be differentiated, so nothing is trained.",
    known_limits="What to compute instead is known for a few families of models only.",
    remedies=(
        Remedy(
            "Give a loss function",
            recommended=True,
            pros="The model stays as it is.",
            after="def loss_fn(outputs, batch):\n"
            "    return F.cross_entropy(outputs, batch['labels'])\n\n"
            "return {'model': model, 'loader': loader, 'loss_fn': loss_fn}",
        ),
        Remedy(
            "Use a model with a head for the task",
            pros="Given labels, it returns the loss itself.",
            after="model = AutoModelForSequenceClassification.from_pretrained(name)",
        ),
    ),
    explains=DOWNSTREAM,
)
# What to do for models that have no loss by design, by a part of the class's name.
_INSTEAD = (
    (
        "Vits",
        "VITS has no training loss in transformers: synthesise the waveform, take its "
        "mel-spectrogram and compare it with the recording's (F.l1_loss); the adversarial terms "
        "of the original are yours to add.",
    ),
    (
        "EncoderModel",
        "An encoder returns hidden states: pool them and put a task head behind, or use the "
        "model's class for the task.",
    ),
    (
        "Vocoder|HifiGan|Univnet",
        "A vocoder is trained on the mel-spectrogram of what it makes, against the recording's.",
    ),
    ("Model$", "The bare model has no task: use its `…For…` class, or give a loss function."),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Judge the exception that stopped training."""
    found = stopped(ask)
    if found is not None:
        trace, row = found
        why = reason(trace, row)
        if why:
            yield missing(trace, row, why)


def reason(trace: Trace, row: ExceptionRow) -> str:
    """Return why there is no loss: absent, refused or unasked; empty if that is not the fault."""
    setup = trace.setup
    is_bare = row.type_name == "NotImplementedError" and not row.operation
    if is_bare and set(row.module_keywords) & TARGETS and "not implemented for" not in row.message:
        return "refused"
    if setup.has_train_step or setup.has_train_loop:
        return ""
    if row.type_name == "NoLoss":
        return "absent"
    key = refused_key(row)
    unknown = [k for k in row.module_keywords if k not in setup.forward_parameters]
    return "unasked" if key and lacks_loss(trace, unknown or [key]) else ""


def missing(trace: Trace, row: ExceptionRow, why: str) -> Finding:
    """Return the finding, with what to compute instead where that is known."""
    setup = trace.setup
    said = {
        "absent": row.message[:1].upper() + row.message[1:],
        "refused": f"The forward of {row.module_class or setup.model_class} refuses the labels it "
        "was given",
        "unasked": f"The batch has targets, but the forward of {setup.model_class} takes only "
        f"{', '.join(setup.forward_parameters)} and no loss function is given",
    }[why]
    instead = next((text for name, text in _INSTEAD if re.search(name, setup.model_class)), "")
    advice = Remedy(instead, recommended=True) if instead else None
    others = [Remedy(r.title, pros=r.pros, after=r.after) for r in NO_LOSS.remedies]
    place = location(row.place) if row.place else None
    return NO_LOSS.finding(
        f"{said}.",
        mechanism="A loss is what `loss_fn` returns, else `outputs.loss`, else a scalar among the "
        "outputs that requires grad. None of these is there.",
        location=place or first_location([setup.model_place, setup.factory]),
        evidence=[
            Evidence("loss function given", setup.has_loss_fn, True),
            Evidence("keys of the batch", ", ".join(keys_of(batch_of(row, trace)))),
            Evidence("parameters of the forward", ", ".join(setup.forward_parameters)),
        ],
        remedies=[advice, *others] if advice else None,
        quote=headline(row.message),
        model=setup.model_class,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (OneStep(),)


probe = Probe(
    name="loss-presence",
    doc=__doc__,
    rules=(NO_LOSS,),
    examine=examine,
    experiments=experiments,
)
