"""Records backward passes: how many, on what loss, from which line, onto which gradients."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.norms import norms as norms  # noqa: PLC0414  asked for here too
from traindoctor.instruments.recorder import BATCH, Recorder
from traindoctor.instruments.terms import terms_of
from traindoctor.target.usercode import user_place
from traindoctor.trace import BackwardRow, Place

if TYPE_CHECKING:
    import torch


@contextmanager
def backwards_seen(recorder: Recorder, parameters: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    """Record each call of `torch.autograd.backward` while inside.

    `Tensor.backward` looks the function up when it is called, so replacing this one name sees
    both spellings and scaled losses too. Its gradients are counted over `parameters`; without
    any, neither they nor the graph's nodes are.
    """
    import torch

    original, original_grad = torch.autograd.backward, torch.autograd.grad

    def grad(*args: Any, **kwargs: Any) -> Any:
        # A penalty's gradient is part of a loss to come; one without a graph is a pass of its own.
        recorder.num_passes += not kwargs.get("create_graph")
        return original_grad(*args, **kwargs)

    torch.autograd.backward = watched_backward(original, recorder, parameters)
    torch.autograd.grad = grad
    try:
        yield
    finally:
        torch.autograd.backward, torch.autograd.grad = original, original_grad


def watched_backward(
    original: Callable[..., Any], recorder: Recorder, parameters: Sequence[torch.nn.Parameter]
) -> Callable[..., Any]:
    """Return `torch.autograd.backward` as it is, recorded."""
    watch = BackwardWatch(recorder, parameters)

    def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        watch.begins(tensors, kwargs, user_place(sys._getframe(1)))
        start = recorder.clock()
        result = original(tensors, *args, **kwargs)
        watch.ends(recorder.clock() - start)
        return result

    return backward


class BackwardWatch:
    """What is to be called before and after each backward pass; one that raises has no end.

    Args:
        recorder: takes the rows.
        parameters: their gradients are counted; without any, neither they nor the graph's nodes.
        is_by_hand: tells whether nothing but the script itself could move them.
    """

    def __init__(
        self,
        recorder: Recorder,
        parameters: Sequence[torch.nn.Parameter],
        is_by_hand: Callable[[], bool] = lambda: False,
    ) -> None:
        self.recorder, self.parameters, self.is_by_hand = recorder, parameters, is_by_hand
        self.facts: dict[str, Any] = {}
        self.is_inside = False  # a pass is under way, in which checkpointed modules run again
        self._sizes: dict[int, float] = {}  # of the parameters at the last pass

    def begins(self, tensors: Any, kwargs: Mapping[str, Any], place: Place) -> None:
        """Take in what is to be differentiated, with the keywords of the call and its line."""
        recorder, self.is_inside = self.recorder, True
        before = present(self.parameters)
        recorder.ledger.backward_begins(before)
        for listener in recorder.on_backward:
            listener()
        loss = _value(tensors)
        recorder.num_passes += 1
        recorder.last_loss = tensors if not isinstance(tensors, list | tuple) else tensors[0]
        nodes = graph_nodes(recorder.last_loss.grad_fn) if self.parameters else []
        self.facts = {
            "step": recorder.step,
            "batch": recorder.batch,
            "loss": loss,
            "num_present_before": len(before),
            "num_moved_before": self._num_moved() if self.is_by_hand() else 0,
            "retain_graph": bool(kwargs.get("retain_graph")),
            "num_nodes": len(nodes),
            "num_terms": len(terms_of(recorder.last_loss.grad_fn)) if nodes else 1,
            "through": tuple(sorted({n.metadata[BATCH] for n in nodes if BATCH in n.metadata})),
            "place": place,
        }

    def _num_moved(self) -> int:
        sizes = norms(self.parameters)
        now = {id(p): size for p, size in zip(self.parameters, sizes, strict=True)}
        before, self._sizes = self._sizes, now
        return sum(key in before and before[key] != size for key, size in now.items())

    def ends(self, seconds: float) -> None:
        """Take in that it is over, and how long it took."""
        recorder, self.is_inside = self.recorder, False
        sizes = gradient_norms(self.parameters)
        after = frozenset(key for key, size in sizes.items() if size != 0)
        recorder.ledger.backward_ends(after)
        recorder.backwards.append(
            BackwardRow(
                index=len(recorder.backwards),
                num_present_after=len(after),
                num_not_finite=sum(not math.isfinite(size) for size in sizes.values()),
                seconds=seconds,
                **self.facts,
            )
        )
        for listener in recorder.after_backward:
            listener()


@contextmanager
def before_each(act: Callable[[Any], None]) -> Iterator[None]:
    """Call `act` with the tensor that is about to be differentiated, before each backward."""
    import torch

    inner = torch.autograd.backward

    def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        act(tensors[0] if isinstance(tensors, list | tuple) else tensors)
        return inner(tensors, *args, **kwargs)

    torch.autograd.backward = backward
    try:
        yield
    finally:
        torch.autograd.backward = inner


def graph_nodes(root: Any) -> list[Any]:
    """Return every node that a graph node descends from, itself included."""
    found: dict[Any, None] = {}
    frontier = [root] if root is not None else []
    while frontier:
        node = frontier.pop()
        if node in found:
            continue
        found[node] = None
        frontier += [above for above, _ in node.next_functions if above is not None]
    return list(found)


def graph_leaves(root: Any) -> set[int]:
    """Return the `id` of each parameter that a tensor descends from."""
    nodes = graph_nodes(getattr(root, "grad_fn", None))
    return {id(leaf) for node in nodes if (leaf := getattr(node, "variable", None)) is not None}


def present(parameters: Sequence[torch.nn.Parameter]) -> frozenset[int]:
    """Return the `id` of each parameter whose gradient is there and not all zero."""
    return frozenset(key for key, size in gradient_norms(parameters).items() if size != 0)


def gradient_norms(parameters: Sequence[torch.nn.Parameter]) -> dict[int, float]:
    """Return the norm of each gradient that is there, by the `id` of its parameter."""
    filled = [(id(p), p.grad) for p in parameters if p.grad is not None]
    sizes = norms([grad for _, grad in filled])
    return {key: size for (key, _), size in zip(filled, sizes, strict=True)}


def _value(tensors: Any) -> float | None:
    """Return the loss that is being differentiated, if it is one number."""
    first = tensors[0] if isinstance(tensors, list | tuple) and tensors else tensors
    if getattr(first, "numel", lambda: 0)() != 1 or first.is_meta:
        return None
    return float(first.detach())
