"""Does the loss lead back to the parameters?

## What it measures
One training step with every torch operation seen: whether the loss requires a gradient, which
operation of the user's code took that away, and which parameters stand in the loss's graph.

## Why it matters
`backward` starts at the loss and walks its graph. A loss without a graph is a number: nothing
behind it can be trained, whatever the optimizer does.

## Known limits
A loss that a hand-written loop computes and never differentiates is not seen. A cut inside a
library's code is told, but has no line of the user's. Where operations were not seen one by one
(under `vmap`, say), the assignment of what is differentiated is read instead. A graph that ends
at tensors which no module holds is not told from a useful one.

## References
torch documentation, "Autograd mechanics": `requires_grad`, and what `detach` and `no_grad` do.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from traindoctor.experiments import Experiment, OneStep, ReadSource, ShortRun
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
from traindoctor.probing.syntax import at, function_at, last_name, statement_at, subtrees
from traindoctor.probing.wording import counted, first_location, grouped
from traindoctor.trace import CutRow, ExceptionRow, Place, SourceRow, Trace
from traindoctor_probes._training_loops import differentiated, spot

OFF_THE_GRAPH = ("item", "detach", "float", "numpy")
NO_GRAPH = re.compile(
    r"does not require grad and does not have a grad_fn|"
    r"'(?:float|int|ndarray|numpy\.\w+)' object has no attribute 'backward'"
)

WITHOUT_GRADIENT = Rule(
    code="TD101",
    name="loss-without-gradient",
    severity=Severity.CRITICAL,
    title="The loss has no gradient: {cause}",
    what="The loss that the step ends with does not depend on any parameter as autograd sees it.",
    why="No parameter gets a gradient, so no step can train anything.",
    known_limits="A loss that is computed and never differentiated is not seen in a loop by hand.",
    remedies=(
        Remedy(
            "Differentiate the tensor, and take numbers from it afterwards",
            recommended=True,
            pros="The graph stays whole; logging still gets its number.",
            before="loss = criterion(outputs, targets).item()",
            after="loss = criterion(outputs, targets)\nloss.backward()\nlogged = loss.item()",
        ),
        Remedy(
            "Train on a differentiable stand-in where the metric itself has no gradient",
            pros="Accuracy, rank and rounding have none: cross entropy or a soft count has.",
            cons="What is trained is no longer exactly what is measured.",
        ),
    ),
    explains=("TD103", "TD106", "TD20", "TD403", "TD404", "TD405", "TD409", "TD6"),
)
WHY = {
    "item": "turns the loss into a Python number",
    "tolist": "turns the loss into Python numbers",
    "__float__": "turns the loss into a Python number",
    "numpy": "hands the values to numpy, which keeps no graph",
    "__array__": "hands the values to numpy, which keeps no graph",
    "no_grad": "switches autograd off for everything computed inside",
    "argmax": "gives an index, which does not change smoothly with its input",
    "argmin": "gives an index, which does not change smoothly with its input",
    "argsort": "gives indices, which do not change smoothly with their input",
    "long": "rounds to integers, which have no gradient",
    "int": "rounds to integers, which have no gradient",
    "tensor": "copies the values into a new tensor without a graph",
}


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at the loss of one step."""
    step = ask(OneStep())
    run = ask(ShortRun()) if step.setup.kind == "script" else step
    trainable = [row for row in step.parameters if row.requires_grad]
    refused = next((row for row in run.exceptions if NO_GRAPH.search(row.message)), None)
    if not trainable or not (refused or is_without_graph(step)):
        return
    cut = output_cut(step)
    if cut is None and refused and not step.cuts:  # operations were not seen, or none of a cut
        cut = written_cut(ask(ReadSource()).source, refused.place)
    cause = f"`{cut.operation}` ends its graph" if cut else "no parameter is behind it"
    kind = step.facts.get("loss_type") or "Tensor"
    yield WITHOUT_GRADIENT.finding(
        message(step, cut, refused),
        mechanism=mechanism(cut),
        location=first_location(
            [
                *([cut.place] if cut else []),
                *([refused.place] if refused else []),
                *(row.place for row in reversed(step.criteria)),
                step.setup.factory,
            ]
        ),
        evidence=[
            Evidence("loss requires a gradient", False, True),
            *([Evidence("type of the loss", kind, "Tensor")] if kind != "Tensor" else []),
            Evidence("parameters in its graph", 0, len(trainable)),
            *([Evidence("parameters behind the cut", len(cut.parameters))] if cut else []),
        ],
        cause=cause,
        quote=refused.message.splitlines()[0] if refused else "",
    )


def is_without_graph(step: Trace) -> bool:
    """Tell a loss that was to be trained on and has no parameter in its graph."""
    if not step.losses or step.backwards:
        return False
    last = step.losses[-1]
    by_hand = last.source == "train_step" and bool(step.steps)
    return not last.requires_grad and not by_hand


def output_cut(step: Trace) -> CutRow | None:
    """Return the operation with which the loss lost its gradient, if one was seen."""
    return next((row for row in step.cuts if row.is_output_cut), None)


def written_cut(source: Sequence[SourceRow], place: Place) -> CutRow | None:
    """Return what ends the graph in the last assignment to what a line differentiates."""
    row = next((row for row in source if row.file == place.file), None)
    function = function_at(source, place)
    statement, _ = statement_at(source, place)
    names = {ast.unparse(owner) for owner in differentiated(statement)} if statement else set()
    if row is None or function is None:
        return None
    assignments = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and node.lineno < (place.line or 0)
        if names & {ast.unparse(target) for target in node.targets}
    ]
    last = max(assignments, key=lambda node: node.lineno, default=None)
    for call in ast.walk(last.value) if last else ():
        if isinstance(call, ast.Call) and last_name(call.func) in OFF_THE_GRAPH:
            return CutRow(operation=last_name(call.func), place=at(row, call), module="")
    return None


def message(step: Trace, cut: CutRow | None, refused: ExceptionRow | None) -> str:
    """State what was seen."""
    trainable = sum(row.requires_grad for row in step.parameters)
    fact = f"None of {counted(trainable, 'trainable parameter')} is in the loss's graph"
    if refused:
        fact += ", and backward refuses it"
    if cut is None:
        return fact + "."
    behind = f"; the values of {grouped(cut.parameters)} pass it" if cut.parameters else ""
    return f"{fact}. The last operation that ends a graph on the way is `{cut.operation}`{behind}."


def mechanism(cut: CutRow | None) -> str:
    """Say how the gradient was lost."""
    if cut is None:
        return (
            "The loss is computed from values that require no gradient. It may not use the "
            "model's output at all, or gradients are switched off where the model runs."
        )
    why = WHY.get(cut.operation, "returns the values without their graph")
    return f"`{cut.operation}` {why}. From there on autograd knows nothing of the parameters."


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return OneStep(), ShortRun()


def lint(row: SourceRow) -> Iterator[Finding]:
    """Yield `loss.item().backward()` and its kin."""
    if "backward(" not in row.text:
        return
    for call in subtrees(row, ast.Expr):
        for owner in differentiated(call):
            if isinstance(owner, ast.Call) and last_name(owner.func) in OFF_THE_GRAPH:
                yield WITHOUT_GRADIENT.suspicion(
                    f"`{last_name(owner.func)}` stands between the loss and `backward`",
                    f"`{ast.unparse(call)}` differentiates what has no graph: it raises, or moves "
                    "nothing.",
                    location=spot(row, call),
                    subject=ast.unparse(call),
                    confidence=Confidence.CERTAIN,
                )


probe = Probe(
    name="loss-gradient",
    doc=__doc__,
    rules=(WITHOUT_GRADIENT,),
    examine=examine,
    experiments=experiments,
    lint=lint,
    core=True,
)
