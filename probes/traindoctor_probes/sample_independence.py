"""Is each sample's output its own?

## What it measures
The model's outputs in eval mode for one sample, while all others of its batch are replaced; and
where they change, the first operation whose result did.

## Why it matters
A `view` where a `transpose` was meant, or a layer that takes time for the batch, lets values of one
sample flow into another. Shapes fit and the loss falls, by what it reads in the neighbours; with
one sample at a time, or in another order, the model knows nothing.

## Known limits
Judged where the first axis of all inputs surely counts samples: a `DataLoader` with a batch size,
whose batch reaches the model as it is. Models that compare samples on purpose are recognised by a
square of samples, by an output that does not mix, by batch norm without running statistics, or by
samples that were put behind a first axis of length 1, so that the batch is one set (attention
between samples); others (minibatch discrimination, experts with a capacity for the whole batch) are
not. Attention and recurrence over samples that have one position each may be meant or not: it is a
possible warning. What mixes in train mode alone is not seen.

## References
PyTorch, nn.MultiheadAttention and nn.GRU: `batch_first`. Karpathy, "A Recipe for Training Neural
Networks": use backprop to chart dependencies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from traindoctor.experiments import Experiment, SwapSamples
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
from traindoctor.probing.wording import figure, first_location, location
from traindoctor.trace import ModuleRow, Place, Trace

LEAST_CHANGE = 0.01  # of what tells two samples apart; rounding stays below a thousandth
ATTENTION = "multi_head_attention_forward"
PRODUCTS = (ATTENTION, "scaled_dot_product_attention", "matmul", "__matmul__", "mm", "einsum")
RECURRENCES = ("gru", "lstm", "rnn_tanh", "rnn_relu")
RESHAPES = ("view", "reshape", "flatten", "unflatten", "transpose", "permute", "swapaxes")

MIXED = Rule(
    code="TD207",
    name="samples-mixed",
    severity=Severity.ERROR,
    title="A sample's output depends on the other samples of its batch",
    what="The model's output for one sample changes when the other samples of the batch do.",
    why="What is learned holds for batches and not for samples: predictions change with whatever "
    "else is in the batch.",
    known_limits="Silent where a batch cannot be told sample by sample, in train mode, and where "
    "attention gets the batch as one set. Others that compare samples may be taken for faulty.",
    remedies=(
        Remedy(
            "Say which axis counts samples",
            recommended=True,
            pros="Recurrent layers and attention take the first axis for time unless told.",
            before="nn.TransformerEncoderLayer(dim, num_heads)",
            after="nn.TransformerEncoderLayer(dim, num_heads, batch_first=True)",
        ),
        Remedy(
            "Reorder axes with `transpose`, and only then reshape",
            pros="`view` cuts the values anew in the order in which they lie in memory.",
            before="x = x.view(time, batch, dim)",
            after="x = x.transpose(0, 1)",
        ),
    ),
    explains=("TD103", "TD108", "TD112", "TD409", "TD6", "TD712"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look whether the sample that stayed has the output that it had."""
    run = ask(SwapSamples())
    if run.facts.get("change", 0.0) > LEAST_CHANGE and not is_one_set(run):
        yield mixed(run)


def is_one_set(run: Trace) -> bool:
    """Tell a batch that was given to attention as one set, with the samples as its elements.

    Torch's attention turns the first two axes round where `batch_first` says so.
    """
    facts = run.facts
    given: tuple[int, ...] = facts.get("given", ())
    if facts.get("operation") not in PRODUCTS or len(given) < 3:
        return False
    if facts.get("operation") != ATTENTION:
        return given[0] == 1 and facts["batch_size"] in given[1:]
    return given[1] == 1 and bool(layer_of(run).attributes.get("batch_first"))


def has_one_position(facts: dict[str, Any]) -> bool:
    """Tell attention that has nothing but other samples to attend to, or recurrence over them."""
    given: tuple[int, ...] = facts.get("given", ())
    if facts.get("operation") in RECURRENCES and len(given) == 3:
        return 1 in given[:2]
    if facts.get("operation") == ATTENTION and len(given) == 3:
        return given[1] == 1
    return facts.get("operation") in PRODUCTS and len(given) == 2


def layer_of(run: Trace) -> ModuleRow:
    """Return the module that was running when samples were mixed."""
    path = run.facts.get("module", "")
    return next((row for row in run.modules if row.path == path), ModuleRow(path=""))


def mixed(run: Trace) -> Finding:
    """Return the finding, at the operation that mixes."""
    facts = run.facts
    operation, path = facts.get("operation", ""), facts.get("module", "")
    place: Place = facts.get("place", Place())
    layer = layer_of(run)
    may_be_meant = has_one_position(facts)
    is_own_layer = bool(path) and not layer.is_users
    name = f"{path} ({layer.class_name})" if is_own_layer else f"`{operation}`"
    is_reshape = operation in RESHAPES
    built = layer.place if is_own_layer else Place()
    reads = "follows" if operation in RECURRENCES else "attends to"
    why = f" Each sample has one position there, and {reads} the others."
    return MIXED.finding(
        f"With all other samples of a batch of {facts['batch_size']} replaced, the second sample's "
        f"output changed by {figure(facts['change'])} of what tells it from the first's. The "
        f"first result to change is that of {name}." + why * may_be_meant,
        severity=Severity.WARNING if may_be_meant else None,
        confidence=Confidence.POSSIBLE if may_be_meant else Confidence.CERTAIN,
        mechanism="A view cuts the values anew in the order in which they lie in memory: rows "
        "that belonged to one sample come to lie in another's."
        if is_reshape
        else "What this operation takes for the time axis, or sums over, is the axis that counts "
        "samples.",
        location=first_location([place, built, run.setup.forward_place], module=path or None),
        also_at=[location(built)] if built and place and built != place else [],
        evidence=[
            Evidence("change of the output of a sample that stayed", facts["change"], 0.0),
            Evidence("samples in the batch", facts["batch_size"]),
            Evidence("first result that changed", name if operation else "unknown"),
        ],
        remedies=_by_reshaping() if is_reshape else None,
        subject=path,
    )


def _by_reshaping() -> tuple[Remedy, ...]:
    axis, order = MIXED.remedies
    return replace(order, recommended=True), replace(axis, recommended=False)


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (SwapSamples(),)


probe = Probe(
    name="sample-independence",
    doc=__doc__,
    rules=(MIXED,),
    examine=examine,
    experiments=experiments,
)
