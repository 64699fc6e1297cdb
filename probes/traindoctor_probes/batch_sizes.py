"""Are there as many outputs and labels as there are samples?

## What it measures
The leading size of each tensor of the batch, and the number of rows of outputs and of targets
that a loss function refused to pair, or paired by broadcasting.

## Why it matters
Where rows are missing, labels meet the outputs of other samples, or training stops.

## Known limits
Spoken of only where a loss function refused or broadcast the sizes: packed sequences, images per
sample and patches of all images in one tensor differ rightly. Labels that were dropped and
filled up with those of other samples are not seen.

## References
PyTorch, torch.nn.CrossEntropyLoss, "Shape"; "Broadcasting semantics".
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, OneStep
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, location
from traindoctor.trace import CriterionRow, ExceptionRow, Trace
from traindoctor_probes._raised import (
    DOWNSTREAM,
    ROWS,
    batch_of,
    quoted,
    sizes_differ,
    stopped,
    where,
)

SIZES = Rule(
    code="TD014",
    name="batch-sizes-differ",
    severity=Severity.ERROR,
    title="{outputs} of outputs for {targets}",
    what="Inputs, outputs and labels of one batch have different numbers of samples.",
    why="The loss cannot be computed, or compares each row with labels of other samples.",
    known_limits="Spoken of only where a loss function refused or broadcast the sizes.",
    remedies=(
        Remedy(
            "Filter inputs and labels together",
            recommended=True,
            pros="Each label stays with its sample.",
            before="labels = [s.label for s in samples if s.ok]",
            after="samples = [s for s in samples if s.ok]\nlabels = [s.label for s in samples]",
        ),
        Remedy(
            "Reduce over time or space, never over the batch axis",
            before="x = x.mean(dim=(0, 2, 3))",
            after="x = x.mean(dim=(2, 3))",
        ),
        Remedy(
            "Keep the batch axis first when reshaping",
            before="x = x.view(-1, features)",
            after="x = x.flatten(1)",
        ),
    ),
    explains=(*DOWNSTREAM, "TD012", "TD108", "TD207"),
)
_ELEMENTWISE = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Judge the exception if there is one, else what the loss functions broadcast."""
    found = stopped(ask)
    if found is not None:
        if sizes_differ(*found):
            yield unpaired(*found)
        return
    step = ask(OneStep())
    for row in step.criteria:
        if is_folded(row, step):
            yield folded(row, step)
            return


def unpaired(trace: Trace, row: ExceptionRow) -> Finding:
    """Return the finding for outputs and targets of different numbers of rows."""
    rows, batch = ROWS.search(row.message), batch_of(row, trace)
    assert rows is not None
    assert batch is not None
    outputs, targets = counted(int(rows[1]), "row"), counted(int(rows[2]), "target")
    sizes = {leaf.key: leaf.shape[0] for leaf in batch.leaves if leaf.shape}
    listed = ", ".join(f"{key} {size}" for key, size in sizes.items())
    if batch.size is None:
        told = f"The batch's own tensors do not agree on its size: {listed}."
        why = "Samples were dropped, or added, on one side only where the batch was made."
    else:
        told = f"The batch holds {batch.size} samples ({listed}), the outputs {outputs}."
        why = "Between the batch and the outputs the batch axis was reduced or folded."
    return SIZES.finding(
        f"The loss function got {outputs} of outputs for {targets}. {told}",
        severity=Severity.CRITICAL,
        mechanism=f"{why} Rows and labels can no longer be paired.",
        location=where(row, trace),
        evidence=[
            Evidence("rows of the outputs", int(rows[1]), int(rows[2])),
            *(Evidence(f"leading size of {key}", size, batch.size) for key, size in sizes.items()),
        ],
        quote=quoted(row),
        outputs=outputs,
        targets=targets,
    )


def is_folded(row: CriterionRow, step: Trace) -> bool:
    """Tell whether one row of outputs was compared with every sample's targets."""
    batch = next((b for b in step.batches if b.index == row.batch), None)
    return (
        row.function in _ELEMENTWISE
        and batch is not None
        and batch.size is not None
        and batch.size > 1
        and len(row.input_shape) == len(row.target_shape) > 0
        and row.input_shape[0] == 1
        and row.target_shape[0] == batch.size
    )


def folded(row: CriterionRow, step: Trace) -> Finding:
    """Return the finding for outputs that lost the batch axis and broadcast."""
    return SIZES.finding(
        f"{row.function} compared outputs of shape {row.input_shape} with targets of shape "
        f"{row.target_shape}: one row stands for all {row.target_shape[0]} samples.",
        mechanism="The batch axis was reduced before the loss. Broadcasting repeats the one row "
        "that is left, so that the best the model can learn is the targets' mean.",
        location=location(row.place or step.setup.factory),
        evidence=[
            Evidence("rows of the outputs", 1, row.target_shape[0]),
            Evidence("shape of the targets", str(row.target_shape)),
        ],
        outputs="1 row",
        targets=counted(row.target_shape[0], "target"),
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (OneStep(),)


probe = Probe(
    name="batch-sizes",
    doc=__doc__,
    rules=(SIZES,),
    examine=examine,
    experiments=experiments,
)
