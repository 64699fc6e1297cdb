"""Does a state dict hold all that the model's output depends on?

## What it measures
A few steps are taken, the state dict goes into the model as it was built, and both are called in
eval mode on one batch. Where they differ, what the user's modules keep beside parameters and
buffers is put back one by one. Tensors that a constructor draws at random are shuffled: does the
output depend on them?

## Why it matters
A checkpoint that lacks a part gives another model when it is loaded: evaluation and a resumed run
are wrong, and nothing raises.

## Known limits
Only tensors and numbers that are attributes of the user's own modules are known. Random values are
recognised by the line that assigns them; a generator that is named there makes them the same each
time. A model whose output changes from call to call is not judged.

## References
PyTorch, nn.Module.register_buffer: `persistent`; "Saving and Loading Models".
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, ReloadState
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
from traindoctor.probing.wording import location
from traindoctor.trace import UnsavedRow

INCOMPLETE = Rule(
    code="TD708",
    name="state-dict-incomplete",
    severity=Severity.ERROR,
    title="{name} is not in the state dict, and the output depends on it",
    what="The model's output depends on a value that its state dict does not hold.",
    why="Loaded from its checkpoint the model computes something else.",
    known_limits="Only attributes of the user's own modules, in eval mode.",
    remedies=(
        Remedy(
            "Register it as a buffer",
            recommended=True,
            pros="It is saved, loaded, and moved to other devices with the model.",
            before="self.scale = torch.randn(dim)",
            after='self.register_buffer("scale", torch.randn(dim))',
        ),
        Remedy(
            "Save it beside the state dict",
            after='torch.save({"model": model.state_dict(), "step": model.step}, path)',
        ),
    ),
)
WHY = {
    "drawn": "The constructor draws it anew in each process, so that a loaded model has other "
    "values than the one that was trained.",
    "changed": "Training writes to it, and loading leaves it as the constructor made it.",
    "number": "Training changes it, and loading leaves it as the constructor made it.",
}


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Report each value that was seen to matter and is not saved."""
    for row in ask(ReloadState()).unsaved:
        yield incomplete(row)


def incomplete(row: UnsavedRow) -> Finding:
    """Return the finding for one attribute."""
    name = f"{row.path}.{row.name}" if row.path else f"self.{row.name}"
    how = {
        "drawn": "With its values in another order",
        "changed": "After a few steps and a reload",
        "number": "After a few steps and a reload",
    }[row.kind]
    return INCOMPLETE.finding(
        f"{how} the output in eval mode changes by up to {row.change:.2g} of its largest value.",
        severity=Severity.WARNING if row.kind == "number" else None,
        confidence=Confidence.LIKELY if row.kind == "drawn" else None,
        mechanism="nn.Module saves its parameters and its persistent buffers; other attributes are "
        f"plain Python. {WHY[row.kind]}",
        location=location(row.place, module=row.path or None),
        evidence=[
            Evidence("change of the output, of its largest value", row.change, 0.0),
            Evidence("in the state dict", False, True),
        ],
        subject=row.name,
        name=name,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ReloadState(),)


probe = Probe(
    name="saved-state",
    doc=__doc__,
    rules=(INCOMPLETE,),
    examine=examine,
    experiments=experiments,
)
