"""Do loss functions get what they ask for: logits, or log-probabilities?

## What it measures
What each loss function of one step is given: its range, the sums of its rows and of its columns,
and the operation that made it.

## Why it matters
`cross_entropy` applies a softmax and `binary_cross_entropy_with_logits` a sigmoid. Given
probabilities they squash them a second time: the loss cannot come near zero, its gradient is
small, and training is slow and ends early. `nll_loss` and `ctc_loss` apply no logarithm. Given
probabilities `nll_loss` is bounded below by -1, and is pulled with the same force however wrong an
answer is; `ctc_loss` takes each of them for a probability of at least 1.

## Known limits
Logits that happen to be probabilities to three decimals in every row would be taken for them.
Logits that `nll_loss` or `ctc_loss` is given, without a softmax at all, are not seen.
A sigmoid that is made with `1 / (1 + exp(-x))` has no name, and is not seen.

## References
torch.nn.functional: `cross_entropy` expects unnormalised logits; `nll_loss` and `ctc_loss`
log-probabilities.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from traindoctor.experiments import Experiment, OneStep
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
from traindoctor.probing.syntax import last_name, subtrees
from traindoctor.probing.wording import figure, first_location, location
from traindoctor.trace import CriterionRow, Place, SourceRow
from traindoctor_probes._loss_input import is_told, made_at
from traindoctor_probes._training_loops import spot

LIKELIHOODS = ("nll_loss", "ctc_loss")  # which want log-probabilities

# By what it normalises itself, and under which names it is called.
NORMALISES = {
    "cross_entropy": "softmax",
    "CrossEntropyLoss": "softmax",
    "binary_cross_entropy_with_logits": "sigmoid",
    "BCEWithLogitsLoss": "sigmoid",
}

TOLERANCE = 1e-3  # of a sum that is one; half-precision probabilities come that near

DOUBLE = Rule(
    code="TD107",
    name="double-softmax",
    severity=Severity.ERROR,
    title="`{function}` is given {given}, not {wanted}",
    what="A loss function that normalises by itself is given what is normalised already.",
    why="The loss cannot reach zero, and its gradient is far too small where the model is wrong.",
    known_limits="Only activations that torch has a function for are recognised by name.",
    remedies=(
        Remedy(
            "Give the loss function the logits",
            recommended=True,
            pros="Stable for large logits too.",
            before="return F.softmax(self.head(x), dim=1)",
            after="return self.head(x)",
        ),
        Remedy(
            "Take the softmax where probabilities are read",
            pros="Evaluation keeps its probabilities.",
            after="with torch.no_grad():\n    probabilities = model(x).softmax(dim=1)",
        ),
        Remedy(
            "Give `nll_loss` and `ctc_loss` log-probabilities",
            pros="`log_softmax` stays finite where the logarithm of a softmax does not.",
            before="F.softmax(logits, dim=-1)",
            after="F.log_softmax(logits, dim=-1)",
        ),
    ),
    explains=("TD104", "TD106", "TD204", "TD409", "TD6"),
)


OVER_BATCH = "a softmax over the batch"


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at what each loss function was given."""
    step = ask(OneStep())
    seen = set()
    for row in step.criteria:
        fault = fault_of(row)
        if fault is None or (row.function, row.place) in seen:
            continue
        seen.add((row.function, row.place))
        given, wanted = fault
        where = places(row, made_at(ask, step, row))
        maker = f"`{row.input_operation}`" if row.input_operation else "the model's last operation"
        yield DOUBLE.finding(
            f"The input of `{row.function}` lies between {figure(row.input_minimum)} and "
            f"{figure(row.input_maximum)}{sums(row)}: {given}, made by {maker}. "
            f"It wants {wanted}.",
            mechanism=mechanism(row),
            location=first_location([*where, step.setup.factory]),
            also_at=[location(place) for place in where[1:]],
            evidence=[
                Evidence("smallest input", row.input_minimum),
                Evidence("largest input", row.input_maximum),
                Evidence("largest |row sum - 1|", row.row_sum_error),
                Evidence("largest |column sum - 1|", row.column_sum_error),
                Evidence("made by", row.input_operation or "unknown"),
                Evidence("loss", row.value),
            ],
            # Who divides by a sum over the batch mixes its samples, too.
            explains=[*DOUBLE.explains, *(["TD207"] if given == OVER_BATCH else [])],
            function=row.function,
            remedies=remedies(row),
            given=given,
            wanted=wanted,
        )


def places(row: CriterionRow, made: Place) -> list[Place]:
    """Return where its input was made, if that line says by what, and where the loss is computed.

    A line that calls a whole model shows no reader what is wrong.
    """
    both = [made, row.place] if is_told(row, made) else [row.place, made]
    return [place for place in both if place]


def fault_of(row: CriterionRow) -> tuple[str, str] | None:
    """Return what a loss function was given and what it wants, if these differ."""
    low, high = row.input_minimum, row.input_maximum
    if low is None or high is None or low < 0 or high > 1:
        return None
    rows = row.row_sum_error is not None and row.row_sum_error < TOLERANCE
    columns = row.column_sum_error is not None and row.column_sum_error < TOLERANCE
    softmax = row.input_operation in ("softmax", "softmin")
    several = (row.num_classes or 0) > 1
    if row.function == "cross_entropy" and several:
        if rows:
            return "probabilities", "logits"
        if columns and softmax:
            return OVER_BATCH, "logits"
        if row.input_operation == "sigmoid":
            return "sigmoid outputs", "logits"
    if row.function in LIKELIHOODS and several and (rows or softmax):
        return "probabilities", "log-probabilities"
    if row.function == "binary_cross_entropy_with_logits" and row.input_operation == "sigmoid":
        return "sigmoid outputs", "logits"
    return None


def sums(row: CriterionRow) -> str:
    """Say which way the input sums to one."""
    if row.row_sum_error is not None and row.row_sum_error < TOLERANCE:
        return " and each row sums to 1"
    if row.column_sum_error is not None and row.column_sum_error < TOLERANCE:
        return " and each column sums to 1 over the batch"
    return ""


def mechanism(row: CriterionRow) -> str:
    """Say what the second squashing, or the missing logarithm, does."""
    if row.function == "nll_loss":
        return (
            "`nll_loss` picks the target's entry and negates it. Of a probability that is a "
            "number between -1 and 0: its slope does not grow where the model is wrong."
        )
    if row.function == "ctc_loss":
        return (
            "`ctc_loss` takes the exponential of what it is given. Of a probability that is a "
            "number between 1 and e: no symbol is unlikely, and the slope is small where the "
            "model is wrong."
        )
    return (
        f"`{row.function}` squashes its input by itself. Numbers between 0 and 1 differ by at "
        "most 1 as logits, so that even a perfect answer keeps a large loss."
    )


def remedies(row: CriterionRow) -> list[Remedy]:
    """Return the ways out for one loss function."""
    *logits, logarithm = DOUBLE.remedies
    return [replace(logarithm, recommended=True)] if row.function in LIKELIHOODS else logits


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (OneStep(),)


def lint(row: SourceRow) -> Iterator[Finding]:
    """Yield calls of loss functions on what the same line has normalised already."""
    if not any(name in row.text for name in NORMALISES):
        return
    criteria = {
        last_name(target): last_name(node.value.func)
        for node in subtrees(row, ast.Assign)
        if isinstance(node.value, ast.Call) and last_name(node.value.func) in NORMALISES
        for target in node.targets
    }
    for call in subtrees(row, ast.Call):
        called = call.func.func if isinstance(call.func, ast.Call) else call.func
        function = criteria.get(last_name(called), last_name(called))
        given = call.args[0] if call.args else None
        if function not in NORMALISES or not isinstance(given, ast.Call):
            continue
        if last_name(given.func) == NORMALISES[function]:
            yield DOUBLE.suspicion(
                f"`{function}` is given the result of `{last_name(given.func)}`",
                f"`{ast.unparse(call)}` normalises twice: the loss cannot come near zero, and its "
                "gradients are small.",
                location=spot(row, call),
                subject=ast.unparse(call),
                confidence=Confidence.CERTAIN,
            )


probe = Probe(
    name="loss-inputs",
    doc=__doc__,
    rules=(DOUBLE,),
    examine=examine,
    experiments=experiments,
    lint=lint,
)
