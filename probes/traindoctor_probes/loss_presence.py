"""Is there a loss at all?

## What it measures
What the model's output is and whether any of it is a loss, when no loss function is given; and
whether the forward refuses labels, also where a handler of the user's own code hides that.

## Why it matters
Without a scalar that depends on the weights there is nothing to differentiate.

## Known limits
A setup with a `train_step` or `train_loop` computes its own loss: of it only a forward that
refuses labels is judged. A scalar that requires grad is taken for a loss, whatever it means.

## References
transformers, "Model outputs": a loss is returned only by models with a head, given labels.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace

from traindoctor.experiments import Experiment, ForwardKeys, OneStep, ReadSource, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.syntax import statement_at
from traindoctor.probing.wording import first_location, location
from traindoctor.trace import ExceptionRow, HandledRow, Trace
from traindoctor_probes._raised import DOWNSTREAM, batch_of, keys_of, quoted, stopped
from traindoctor_probes.forward_arguments import TARGETS, lacks_loss, refused_key
from traindoctor_probes.swallowed_exceptions import lost

NO_LOSS = Rule(
    code="TD011",
    name="no-loss",
    severity=Severity.CRITICAL,
    title="{model} {what}",
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
_TARGET_LINE = re.compile(rf"\s*(?:{'|'.join(sorted(TARGETS))})=[^,]*,$")
# What to do for models that have no loss by design, by a part of the class's name.
_INSTEAD = (
    (
        "Vits",
        Remedy(
            "Compute the loss from the waveform: L1 between its log-mel spectrogram and the "
            "recording's",
            pros="Text encoder, flow and decoder learn from it.",
            cons="It is a way to fine-tune, not the training that VITS was made with: posterior "
            "encoder and durations get no gradient (freeze them), and the adversarial terms are "
            "yours to add.",
            after="generated, target = log_mel(outputs.waveform), log_mel(waveform)\n"
            "frames = min(generated.shape[1], target.shape[1])\n"
            "loss = F.l1_loss(generated[:, :frames], target[:, :frames])",
        ),
    ),
    (
        "EncoderModel",
        Remedy("Pool the encoder's hidden states and put a task head behind, or use a task class"),
    ),
    (
        "Vocoder|HifiGan|Univnet",
        Remedy("Compare the mel-spectrogram of what the vocoder makes with the recording's"),
    ),
    ("Model$", Remedy("The bare model has no task: use its `…For…` class, or a loss function")),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Judge the exception that stopped training, else those through which batches were lost."""
    found = stopped(ask)
    if found is None:
        run = ask(ShortRun())
        caught = [as_raised(row) for row in run.handled if lost(run, row)]
        found = next(((run, row) for row in caught if refuses(row)), None)
    if found is not None:
        trace, row = found
        why = reason(trace, row)
        if why:
            yield missing(ask, trace, row, why)


def as_raised(row: HandledRow) -> ExceptionRow:
    """Return what a handler caught as if nobody had."""
    return ExceptionRow(
        phase=row.phase,
        type_name=row.type_name,
        message=row.message,
        place=row.raised,
        module=row.module,
        module_class=row.module_class,
        module_keywords=row.module_keywords,
        batch=max(row.batches[:1], default=0),
    )


def refuses(row: ExceptionRow) -> bool:
    """Tell whether a forward that was given targets says that it has no use for them."""
    is_bare = row.type_name == "NotImplementedError" and not row.operation
    return is_bare and bool(targets(row)) and "not implemented for" not in row.message


def targets(row: ExceptionRow) -> list[str]:
    """Return the targets among the arguments that the forward was called with."""
    return [name for name in row.module_keywords if name in TARGETS]


def reason(trace: Trace, row: ExceptionRow) -> str:
    """Return why there is no loss: absent, refused or unasked; empty if that is not the fault."""
    setup = trace.setup
    if refuses(row):
        return "refused"
    if setup.has_train_step or setup.has_train_loop:
        return ""
    if row.type_name == "NoLoss":
        return "absent"
    key = refused_key(row)
    unknown = [k for k in row.module_keywords if k not in setup.forward_parameters]
    return "unasked" if key and lacks_loss(trace, unknown or [key]) else ""


def missing(ask: Ask, trace: Trace, row: ExceptionRow, why: str) -> Finding:
    """Return the finding, with what to compute instead where that is known."""
    setup, labels = trace.setup, ", ".join(targets(row))
    model = row.module_class or setup.model_class
    said = {
        "absent": row.message[:1].upper() + row.message[1:],
        "refused": f"The forward of {model} has a parameter {labels} and raises {row.type_name} as "
        "soon as it is given",
        "unasked": f"The batch has targets, but the forward of {setup.model_class} takes only "
        f"{', '.join(setup.forward_parameters)} and no loss function is given",
    }[why]
    outputs = ask(ForwardKeys()).facts.get("outputs", "") if why == "refused" else ""
    if outputs:
        said += f". Without {labels} it returns {outputs}: no loss"
    advice = instead(ask, trace, row, model)
    others = [replace(r, recommended=r.recommended and not advice) for r in NO_LOSS.remedies]
    is_loops = setup.has_train_loop or setup.has_train_step
    place = location(row.place) if row.place else None
    return NO_LOSS.finding(
        f"{said}.",
        mechanism=_mechanism(why, model),
        location=place or first_location([setup.model_place, setup.factory]),
        evidence=[
            *([] if is_loops else [Evidence("loss function given", setup.has_loss_fn, True)]),
            *([Evidence("output without them", outputs, "one with a loss")] if outputs else []),
            Evidence("keys of the batch", ", ".join(keys_of(batch_of(row, trace)))),
            Evidence("parameters of the forward", ", ".join(setup.forward_parameters)),
        ],
        remedies=advice if is_loops and advice else [*advice, *others],
        explains=() if trace.handled else None,  # what it did, the handler that caught it did
        quote=quoted(row),
        model=model,
        what=f"refuses {labels}: it computes no loss"
        if why == "refused"
        else "computes no loss, and no loss function is given",
    )


def instead(ask: Ask, trace: Trace, row: ExceptionRow, model: str) -> list[Remedy]:
    """Return what to compute for a family of models, made of the user's own call of it."""
    known = next((remedy for name, remedy in _INSTEAD if re.search(name, model)), None)
    if known is None:
        return []
    node, text = statement_at(ask(ReadSource()).source, row.place) if row.place else (None, "")
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
        return [replace(known, recommended=True)]
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.Assign)
    assert isinstance(node.value, ast.Call)
    node.value.keywords = [item for item in node.value.keywords if item.arg not in TARGETS]
    lines = [line for line in text.splitlines() if not _TARGET_LINE.match(line)]
    call = "\n".join(lines) if len(lines) < len(text.splitlines()) else ast.unparse(node)
    after = known.after.replace("outputs", ast.unparse(node.targets[0]))
    return [replace(known, recommended=True, before=text, after=f"{call}\n{after}")]


def _mechanism(why: str, model: str) -> str:
    if why == "refused":
        return (
            f"The parameter stands in the signature of {model}'s forward, and its loss was never "
            "written. Reading the signature does not show that; only calling it does."
        )
    return (
        "A loss is what `loss_fn` returns, else `outputs.loss`, else a scalar among the outputs "
        "that requires grad. None of these is there."
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
