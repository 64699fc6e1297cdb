"""Do the parts that are recomputed in backward get their gradients?

## What it measures
torch's warning that a re-entrant checkpoint was given no input that requires a gradient, with the
line that was running; the modules that were called with gradients off alone; and which of their
trainable parameters had no gradient (`None`) at any step.

## Why it matters
Checkpoints are put in to save memory. The loss still falls as far as what stands behind the
checkpoint can bring it, while what is inside keeps its initial values.

## Known limits
The warning comes where none of the inputs requires a gradient; tensors inside lists or dicts are
not looked at by torch, which then warns although a gradient flows: without parameters that lack
theirs this rule is silent. So it is where the part is frozen. Parameters that the checkpointed
function uses without a module's call are not told apart from others that the loss leaves out.

## References
`torch.utils.checkpoint.checkpoint`: "if the input doesn't require grad, the output won't".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import Experiment, OneStep, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, first_location, grouped, location
from traindoctor.trace import ParameterRow, Trace, WarningRow

WARNED = re.compile(r"None of the inputs have requires_grad=True\. Gradients will be None")

CUTS = Rule(
    code="TD306",
    name="checkpoint-cuts-gradient",
    severity=Severity.ERROR,
    title="A re-entrant checkpoint takes the gradient from {parameters}",
    what="A re-entrant checkpoint whose inputs need no gradient runs trainable parameters.",
    why="They keep their initial values; only what comes behind the checkpoint learns.",
    known_limits="Rests on torch's own warning, and on parameters that got no gradient.",
    remedies=(
        Remedy(
            "Use the checkpoint that is not re-entrant",
            recommended=True,
            pros="It follows the parameters too, whatever the inputs are.",
            before="x = checkpoint(block, x, use_reentrant=True)",
            after="x = checkpoint(block, x, use_reentrant=False)",
        ),
        Remedy(
            "Let the input require a gradient",
            pros="Keeps the re-entrant one, which some wrappers still ask for.",
            cons="A gradient of the input is computed for nothing; integer inputs cannot have one.",
            after="x = checkpoint(block, x.requires_grad_(), use_reentrant=True)",
        ),
    ),
    explains=("TD201", "TD202", "TD206", "TD401", "TD405", "TD409", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for the warning, and for parameters that it is true of."""
    run = ask(ShortRun())
    warned = [row for row in (*run.warnings, *_of_first_step(ask)) if WARNED.search(row.message)]
    behind = without_gradient(run) if warned else []
    if behind:
        yield cut(warned, behind, run)


def _of_first_step(ask: Ask) -> tuple[WarningRow, ...]:
    """Return the warnings of a first step: a library may give them once a process."""
    try:
        return ask(OneStep()).warnings
    except ExperimentFailed:
        return ()


def without_gradient(run: Trace) -> list[ParameterRow]:
    """Return what got no gradient in any step, of modules that ran without gradients where any."""
    reached = {row.parameter for row in run.gradients if not row.is_none}
    seen = {row.parameter for row in run.gradients}
    lost = [row for row in run.parameters if row.name in seen - reached and row.requires_grad]
    off = {
        row.path for row in run.modules if 0 < row.num_calls == row.num_calls_without_grad
    }  # a re-entrant checkpoint computes its forward under no_grad
    return [row for row in lost if row.module in off] or lost


def cut(warned: list[WarningRow], behind: list[ParameterRow], run: Trace) -> Finding:
    """Return the finding, at the line that calls the checkpoint."""
    places = list(dict.fromkeys(row.place for row in warned if row.place))
    names = grouped(row.name for row in behind)
    number = counted(len(behind), "trainable parameter")
    return CUTS.finding(
        f"torch said that none of a checkpoint's inputs requires a gradient, and {names} got none "
        f"in any of {counted(len(run.steps), 'step')}.",
        mechanism="A re-entrant checkpoint runs its forward under `no_grad` and asks its inputs "
        "alone whether to join the graph. Where none of them requires a gradient, its output "
        "does not either, and backward never comes to the parameters inside.",
        location=first_location([*places, run.setup.factory]),
        also_at=[location(place) for place in places[1:5]],
        evidence=[
            Evidence("parameters without gradient in any step", len(behind), 0),
            Evidence("their elements", sum(row.num_elements for row in behind)),
            Evidence("trainable parameters", sum(row.requires_grad for row in run.parameters)),
        ],
        quote=warned[0].message.strip().splitlines()[0],
        subject=names,
        parameters=number,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return ShortRun(), OneStep()


probe = Probe(
    name="checkpointed-parts",
    doc=__doc__,
    rules=(CUTS,),
    examine=examine,
    experiments=experiments,
)
