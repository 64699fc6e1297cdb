"""Finds the operation at which a gradient becomes exactly zero on its way back."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.backward import graph_nodes
from traindoctor.instruments.finite import FRAME, saved_range
from traindoctor.target.usercode import is_user_file
from traindoctor.trace import OperationRow, Place

if TYPE_CHECKING:
    import torch

ZERO = "zero"
OTHER_FACTOR_IS_TRAINED = "the other factor is trained"
USERS = "a backward of the user's own"


def watch_for_zeros(
    loss: torch.Tensor, targets: Mapping[int, str], rows: list[OperationRow], batch: int
) -> None:
    """Hook the nodes between a loss and some leaves; `rows` gets those that zero a gradient.

    That is a node which is handed a gradient that is not zero, and hands only zeros on towards
    every leaf of `targets` (parameter names by `id`) behind it. The forward pass must have run
    under `lines_kept`; places are empty where a library called the operation, not the user.
    A row's shapes are those of the zeroed gradients, then that of what the node had kept.
    """
    import torch

    between = _between(loss, targets)

    def hook_of(node: Any) -> Any:
        on_the_way = [number for number, (fn, _) in enumerate(node.next_functions) if fn in between]

        def hook(gradients_in: Any, gradients_out: Any) -> None:
            handed_on = [gradients_in[number] for number in on_the_way]
            if any(_is_alive(g) for g in handed_on) or not any(map(_is_alive, gradients_out)):
                return
            live = sum(fn is not None for fn, _ in node.next_functions)
            facts = saved_range(node)
            zeroed = tuple(tuple(g.shape) for g in handed_on if g is not None)
            behind = {id(getattr(n, "variable", None)) for n in graph_nodes(node)}
            note = OTHER_FACTOR_IS_TRAINED if live > 1 else facts.get("note", "")
            note = USERS if isinstance(node, torch.autograd.function.BackwardCFunction) else note
            rows.append(
                OperationRow(
                    operation=re.sub(r"Backward\d*$", "", node.name()),
                    direction="backward",
                    place=_direct_place(node),
                    kind=ZERO,
                    batch=batch,
                    parameters=tuple(name for key, name in targets.items() if key in behind),
                    **{
                        **facts,
                        "input_shapes": (*zeroed, *facts.get("input_shapes", ())),
                        "note": note,
                    },
                )
            )

        return hook

    for node in between:
        if getattr(node, "variable", None) is None:
            node.register_hook(hook_of(node))


def _between(loss: torch.Tensor, targets: Container[int]) -> set[Any]:
    """Return the nodes behind a loss from which one of the targets is reached, the leaves too."""
    nodes = graph_nodes(loss.grad_fn)
    above: dict[Any, list[Any]] = {}
    for node in nodes:
        for fn, _ in node.next_functions:
            if fn is not None:
                above.setdefault(fn, []).append(node)
    frontier = [n for n in nodes if id(getattr(n, "variable", None)) in targets]
    found = set(frontier)
    while frontier:
        for node in above.get(frontier.pop(), []):
            if node not in found:
                found.add(node)
                frontier.append(node)
    return found


def _is_alive(gradient: Any) -> bool:
    return gradient is not None and bool((gradient != 0).any())


def _direct_place(node: Any) -> Place:
    """Return the line that called the operation, if it is the user's own."""
    import linecache

    for entry in reversed(node.metadata.get("traceback_", [])):
        match = FRAME.search(entry)
        if match is None or _is_torch(match[1]):
            continue
        if not is_user_file(match[1]):
            return Place()
        line = int(match[2])
        return Place(match[1], line, match[3], linecache.getline(match[1], line).strip())
    return Place()


@lru_cache(maxsize=1024)
def _is_torch(file: str) -> bool:
    import torch

    return file.startswith(os.path.dirname(torch.__file__) + os.sep)
