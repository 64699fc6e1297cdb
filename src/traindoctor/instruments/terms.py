"""Takes a loss apart that is a sum of terms, and measures what each of them pulls with."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MOST_TERMS = 8
# What hands a value on, scaled or not.
_THROUGH = {"Mean", "Sum", "ToCopy", "View", "UnsafeView", "Squeeze", "Unsqueeze", "Alias", "Clone"}
# Loss functions with a target, and what the cross entropy of probabilities is made of.
_SUPERVISED = {
    "NllLoss", "NllLossNd", "NllLoss2D", "MseLoss", "SmoothL1Loss", "HuberLoss", "LogSoftmax",
    "BinaryCrossEntropy", "BinaryCrossEntropyWithLogits", "CtcLoss", "CudnnCtcLoss",
    "MultiMarginLoss", "MultilabelMarginLoss", "SoftMarginLoss",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a sum: its graph node, what made it, and the constants it is multiplied with."""

    node: Any
    operation: str
    made_by: Any  # the node of that operation
    weight: float = 1.0

    @property
    def is_supervised(self) -> bool:
        """Tell the value of a loss function with a target; the distance to one is, too."""
        above = [operation_of(node) for node, _ in self.made_by.next_functions if node is not None]
        return self.operation in _SUPERVISED or (self.operation == "Abs" and above == ["Sub"])


def terms_of(root: Any) -> list[Term]:
    """Return the terms that a loss is the sum of; the loss alone where it is no sum, or a long one.

    What the whole sum is multiplied with (accumulation, a scaler) counts for none of them.
    """
    if root is None:
        return []
    whole = replace(_followed(Term(root, "", root)), weight=1.0)
    found: list[Term] = []
    waiting = [whole]
    while waiting and len(found) + len(waiting) <= MOST_TERMS:
        term = waiting.pop()
        parts = _parts(term)
        if parts:
            waiting += map(_followed, parts)
        else:
            found.append(term)
    return found[::-1] if not waiting and _are_apart(found) else [whole]


def operation_of(node: Any) -> str:
    """Return a node's operation: `Mean` for `MeanBackward1`, `Copy` for a written tensor."""
    return re.sub(r"Backwards?\d*$", "", str(node.name()).rpartition("::")[2])


def _followed(term: Term) -> Term:
    """Follow a value to the operation that made it, through all that only scales it."""
    node, weight = term.made_by, term.weight
    while True:
        name, above = operation_of(node), [n for n, _ in node.next_functions if n is not None]
        if len(above) != 1 or name not in {*_THROUGH, "Mul", "Div", "Neg"}:
            return replace(term, operation=name, made_by=node, weight=weight)
        weight *= {"Mul": _constant(node), "Div": 1 / (_constant(node) or 1.0)}.get(name, 1.0)
        node = above[0]


def _constant(node: Any) -> float:
    """Return the number that a value is multiplied with, or divided by; 1 for a tensor of several.

    It is kept for the derivative, whichever side it stood on: as a tensor or as a number, until the
    graph is freed.
    """
    for name in ("_saved_other", "_saved_self"):
        try:
            value = getattr(node, name, None)
        except RuntimeError:  # the graph was gone through before
            continue
        if isinstance(value, int | float | complex):
            return abs(value)
        if value is not None and value.numel() == 1 and not value.is_meta:
            return float(abs(value.detach().cpu().item()))
    return 1.0


def _parts(term: Term) -> list[Term]:
    """Return what a sum adds up."""
    node = term.made_by
    above = [n for n, _ in node.next_functions]
    if term.operation in ("Add", "Sub"):
        alphas = [1.0, abs(float(node._saved_alpha))]
    elif term.operation == "Stack":
        alphas = [1.0] * len(above)
    else:
        return []
    pairs = zip(above, alphas, strict=False)
    return [Term(n, "", n, term.weight * alpha) for n, alpha in pairs if n is not None]


def _are_apart(terms: Sequence[Term]) -> bool:
    """Tell terms none of which is part of another: only such can be taken away one by one."""
    nodes = [term.node for term in terms]
    if len(set(nodes)) < len(nodes):
        return False
    seen = set()
    frontier = [above for node in nodes for above, _ in node.next_functions]
    while frontier:
        node = frontier.pop()
        if node is not None and node not in seen:
            seen.add(node)
            frontier += [above for above, _ in node.next_functions]
    return not seen & set(nodes)


def term_gradients(
    loss: torch.Tensor,
    terms: Sequence[Term],
    parameters: Sequence[torch.nn.Parameter],
    differentiate: Callable[..., Any],
) -> list[list[float]]:
    """Return the norm of each parameter's gradient, a list a term; the graph is kept.

    Each term is differentiated with all others at zero, by hooks at their nodes.

    Args:
        loss: the sum.
        terms: its terms.
        parameters: those to look at.
        differentiate: `torch.autograd.grad`.
    """
    from traindoctor.instruments.norms import norms

    found = []
    for term in terms:
        hooks = [other.node.register_prehook(_zeros) for other in terms if other is not term]
        try:
            gradients = differentiate(loss, parameters, retain_graph=True, allow_unused=True)
        finally:
            for hook in hooks:
                hook.remove()
        there = [index for index, gradient in enumerate(gradients) if gradient is not None]
        sizes = [0.0] * len(parameters)
        for index, size in zip(there, norms([gradients[i] for i in there]), strict=True):
            sizes[index] = size
        found.append(sizes)
    return found


def _zeros(gradients: tuple[Any, ...]) -> tuple[Any, ...]:
    import torch

    return tuple(None if g is None else torch.zeros_like(g) for g in gradients)


def largest_beside(sizes: Sequence[Sequence[float]], term: int) -> tuple[int | None, float]:
    """Return which other term pulls most at the parameters that a term reaches, and its norm."""
    reached = [index for index, size in enumerate(sizes[term]) if size > 0]
    others = {
        number: math.hypot(*(own[index] for index in reached))
        for number, own in enumerate(sizes)
        if number != term
    }
    largest = max(others, key=lambda number: others[number], default=None)
    return (None, 0.0) if largest is None else (largest, others[largest])
