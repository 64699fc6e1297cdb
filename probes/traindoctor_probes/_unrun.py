"""What a training loop's source shows before anything runs: nodes, with what stands there."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from traindoctor.probing.syntax import last_name, subtrees
from traindoctor.trace import SourceRow
from traindoctor_probes._training_loops import (
    differentiated,
    mentions,
    method_calls,
    receiver,
    training_loops,
)

BROAD = ("Exception", "BaseException")
OFF_THE_GRAPH = ("item", "detach", "float", "tolist", "numpy")


def idle_handlers(row: SourceRow) -> Iterator[ast.ExceptHandler]:
    """Yield handlers of everything around a backward pass that do nothing but go on."""
    for loop in training_loops(row):
        for node in ast.walk(loop):
            if not isinstance(node, ast.Try) or not any(map(differentiated, node.body)):
                continue
            for handler in node.handlers:
                is_broad = handler.type is None or last_name(handler.type) in BROAD
                if is_broad and all(isinstance(s, ast.Pass | ast.Continue) for s in handler.body):
                    yield handler


def ends_at_once(loop: ast.For) -> ast.stmt | None:
    """Return the unconditional `break` or `return` in a loop's body, if it has one."""
    waiting: list[ast.stmt] = list(loop.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Break | ast.Return):
            return node
        if isinstance(node, ast.With):
            waiting = [*node.body, *waiting]
    return None


def kept_losses(row: SourceRow) -> Iterator[tuple[ast.stmt, str]]:
    """Yield statements that add a differentiated loss to a total, with the total's name."""
    for loop in training_loops(row):
        losses = {ast.unparse(node) for node in differentiated(loop)}
        whole = {ast.unparse(node) for node in _all_differentiated(row)}
        for node in ast.walk(loop):
            if not isinstance(node, ast.AugAssign) or not isinstance(node.op, ast.Add):
                continue
            total, added = ast.unparse(node.target), node.value
            names = {ast.unparse(inner) for inner in ast.walk(added)}
            is_number = mentions([added], *OFF_THE_GRAPH)
            if names & losses and not is_number and total not in whole:
                yield node, total


def uncleared_steps(row: SourceRow) -> Iterator[ast.Call]:
    """Yield optimizer steps in loops of a file that nowhere clears gradients."""
    module = list(subtrees(row, ast.Module))
    if any(method_calls(node, "zero_grad") for node in module) or mentions(module, "grad"):
        return
    for loop in training_loops(row):
        for call in method_calls(loop, "step"):
            owner = receiver(call)
            if owner is not None and "opt" in last_name(owner).lower():
                yield call
                break


def _all_differentiated(row: SourceRow) -> list[ast.expr]:
    return [owner for module in subtrees(row, ast.Module) for owner in differentiated(module)]
