"""Is the model validated as it will be used?

## What it measures
What the user's own loop calls the trained model for while batches are there that nobody trains on:
how often, in which mode, with or without gradients; which dropout layers drew a mask in those calls
and which running statistics they wrote to.

## Why it matters
In train mode dropout still draws masks while the model is validated: the figures are those of a
worse, random model. Batch norm normalises by the validation batch and takes it into its running
statistics: the model that is kept has seen the validation data.

## Known limits
Judged over `DataLoader`s whose data nobody trains on, from two batches on. Several calls a batch,
or passes one after the other, are taken for sampling (Monte Carlo dropout, generation) and left
alone; so are models whose `forward` itself asks for the mode, and runs with several optimizers
(GANs draw in train mode on purpose). A function that calls `train()` itself may mean it: it is a
likely warning where it trains nothing, takes no gradients and uses the output, while masks are
drawn and statistics are written to, and silent else. Validation on the train loader, or on tensors
without a loader, is not seen, nor dropout that is a function and no module.

## References
torch.nn.Module.eval documentation; Gal and Ghahramani, "Dropout as a Bayesian Approximation", 2016.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from traindoctor.experiments import Experiment, LongRun, ReadSource, ShortRun
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
from traindoctor.probing.syntax import function_at, statement_at
from traindoctor.probing.wording import counted, first_location, grouped, location
from traindoctor.trace import Place, ServedRow, SourceRow, Trace

LEAST_BATCHES = 2
LEAST_SHARE = 0.9  # of the batches on which the model was called once

IN_TRAIN_MODE = Rule(
    code="TD702",
    name="validating-in-train-mode",
    severity=Severity.ERROR,
    title="The model is validated {how}",
    what="The model is called in train mode, or with gradients on, over data that nobody trains "
    "on.",
    why="Dropout and batch norm behave as in training: the figures are wrong, and running "
    "statistics take in the validation data. With gradients on, a graph is built that nobody uses.",
    known_limits="Only data that a DataLoader serves, with one call of the model for each batch.",
    remedies=(
        Remedy(
            "Set eval mode for the validation, and train mode after it",
            recommended=True,
            before="for batch in validation_loader:\n    outputs = model(batch)",
            after="model.eval()\nfor batch in validation_loader:\n    outputs = model(batch)",
        ),
        Remedy(
            "Turn gradients off where nothing is differentiated",
            pros="Less memory, and no way to train on validation data by mistake.",
            before="for batch in validation_loader:\n    outputs = model(batch)",
            after="with torch.no_grad():\n    for batch in validation_loader:\n"
            "        outputs = model(batch)",
        ),
    ),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at what the model was called for over data that nobody trains on, early or later."""
    run = ask(ShortRun())
    run.require(backwards=1)
    found = list(judged(run, ask))
    yield from found or judged(ask(LongRun()), ask)


def judged(run: Trace, ask: Ask) -> Iterator[Finding]:
    """Judge each module's calls over each data set."""
    rows = [row for row in run.served if is_validation(row)]
    if not rows or len({step.optimizer for step in run.steps}) != 1:
        return
    source = ask(ReadSource()).source
    for row in rows:
        depends = row.dropouts or row.batch_norms
        setting = train_call(source, row)
        is_meant = row.branches_on_mode or (setting and not is_mistaken(source, row, setting))
        if row.num_training >= LEAST_SHARE * row.num_called and depends and not is_meant:
            yield in_train_mode(row, Place(row.place.file, setting.lineno) if setting else Place())
        elif row.num_with_graph >= LEAST_SHARE * row.num_called:
            yield with_graph(row)


def is_validation(row: ServedRow) -> bool:
    """Tell data that is only looked at, by one call for each batch and once at a time."""
    is_single = row.num_called >= LEAST_BATCHES and row.num_called_again <= 0.1 * row.num_called
    is_sampled = row.num_repeated >= max(2, row.num_passes / 2)
    return row.num_trained == 0 and is_single and not is_sampled


def train_call(source: tuple[SourceRow, ...], row: ServedRow) -> ast.Call | None:
    """Return what sets train mode for these very calls: no other loop has come in between."""
    function, line = function_at(source, row.place), row.place.line or 0
    nodes = list(ast.walk(function)) if function else []
    setting = [
        node
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "train"
        and node.lineno < line
        and not any(isinstance(arg, ast.Constant) and arg.value is False for arg in node.args)
    ]
    loops = [
        node
        for node in nodes
        if isinstance(node, ast.For | ast.While) and (node.end_lineno or 0) < line
    ]
    last = max(setting, key=lambda node: node.lineno, default=None)
    is_between = last is not None and any(loop.lineno > last.lineno for loop in loops)
    return None if is_between else last


def is_mistaken(source: tuple[SourceRow, ...], row: ServedRow, setting: ast.Call) -> bool:
    """Tell train mode that serves no purpose, although the function itself sets it.

    Drawing samples writes no statistics, taking statistics anew drops the output, and guessing
    the labels of more data is a part of training.
    """
    function, (statement, _) = function_at(source, row.place), statement_at(source, row.place)
    trains = any(
        isinstance(node, ast.Attribute) and node.attr == "backward"
        for node in ast.walk(function or ast.Pass())
    )
    model = ast.unparse(setting.func).removesuffix(".train")
    called = [
        node
        for node in ast.walk(statement or ast.Pass())
        if isinstance(node, ast.Call) and ast.unparse(node.func) == model
    ]
    is_dropped = isinstance(statement, ast.Expr) and statement.value in called
    acts = row.dropouts and row.batch_norms and not row.num_with_graph
    return bool(acts and called) and not (is_dropped or trains)


def in_train_mode(row: ServedRow, setting: Place) -> Finding:
    """Return the finding for a validation in train mode, by a line of its own if there is one."""
    batches = counted(row.num_training, "validation batch")
    acts = []
    if row.dropouts:
        acts.append(f"dropout drew a mask in {grouped(row.dropouts)}")
    if row.batch_norms:
        acts.append(f"running statistics of {grouped(row.batch_norms)} were written to")
    also = " Gradients were on as well." if row.num_with_graph else ""
    return IN_TRAIN_MODE.finding(
        f"In {batches}, on which nothing was trained, {row.module_class} was called in train mode: "
        f"{', and '.join(acts)}.{also}",
        severity=Severity.WARNING if setting else None,
        confidence=Confidence.LIKELY if setting else Confidence.CERTAIN,
        mechanism="A module is in the mode that was set last, by train() or eval(); no_grad() "
        "changes nothing about it.",
        location=first_location([setting, row.place]),
        also_at=[location(row.place)] if setting else [],
        evidence=[
            Evidence("validation batches in train mode", row.num_training, 0),
            Evidence("validation batches", row.num_called),
            Evidence("dropout layers that drew a mask", len(row.dropouts), 0),
            Evidence("batch norms that took in statistics", len(row.batch_norms), 0),
        ],
        subject="mode",
        how=f"in train mode, over {batches}",
    )


def with_graph(row: ServedRow) -> Finding:
    """Return the finding for a validation that builds graphs."""
    batches = counted(row.num_with_graph, "validation batch")
    remedy = IN_TRAIN_MODE.remedies[1]
    return IN_TRAIN_MODE.finding(
        f"In {batches}, on which nothing was differentiated, the output of {row.module_class} "
        "required a gradient.",
        severity=Severity.WARNING,
        mechanism="With gradients on, every layer keeps what its derivative would need, until the "
        "output is gone: memory as in training, for nothing.",
        location=location(row.place),
        evidence=[
            Evidence("validation batches with a graph", row.num_with_graph, 0),
            Evidence("validation batches", row.num_called),
        ],
        remedies=[replace(remedy, recommended=True)],
        subject="graph",
        how=f"with gradients on, over {batches}",
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return ShortRun(), LongRun()


probe = Probe(
    name="validation-mode",
    doc=__doc__,
    rules=(IN_TRAIN_MODE,),
    examine=examine,
    experiments=experiments,
)
