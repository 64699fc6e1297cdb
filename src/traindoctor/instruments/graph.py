"""Compares the graphs of consecutive backward passes: what do two of them share?

After a backward pass the nodes of its graph are still there, but what they had saved is gone. A
node that the next pass reaches again is stale: it was made before the step that uses it. The
stale nodes that a fresh one points at are the boundary, and the line that made such a node is
where the value was computed that somebody kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.backward import before_each, graph_nodes
from traindoctor.instruments.finite import node_place, tracebacks_kept
from traindoctor.instruments.modules import MODULE
from traindoctor.instruments.recorder import Recorder
from traindoctor.trace import GraphRow, Place

if TYPE_CHECKING:
    import torch

NUM_KEPT = 3  # graphs of as many earlier passes are kept for comparison


class Graphs:
    """Keeps the nodes of the last backward passes and records what a new one shares with them."""

    def __init__(self, recorder: Recorder, model: torch.nn.Module) -> None:
        self.recorder, self.model = recorder, model
        self.earlier: list[tuple[Any, set[Any]]] = []  # root and nodes, of the last few passes
        self.first_number = sequence_number()
        self.started: list[int] = []  # of each batch, the number its first node could have

    @contextmanager
    def watching(self) -> Iterator[Graphs]:
        """Compare before each backward pass; nodes remember their lines while inside."""
        with tracebacks_kept(), before_each(self._compare):
            yield self

    def _compare(self, loss: Any) -> None:
        root = getattr(loss, "grad_fn", None)
        nodes = graph_nodes(root)
        inner = {node for node in nodes if getattr(node, "variable", None) is None}
        known = [(other, inner & others) for other, others in self.earlier]
        stale = set().union(*(shared for _, shared in known)) if known else set()
        row = GraphRow(
            backward=len(self.recorder.backwards),
            batch=max(self.recorder.batch, 0),
            num_nodes=len(inner),
            num_stale=len(stale),
        )
        self.recorder.graphs.append(self._boundary(row, root, inner, stale) if stale else row)
        self.earlier = [*self.earlier[-NUM_KEPT + 1 :], (root, inner)]

    def _boundary(self, row: GraphRow, root: Any, inner: set[Any], stale: set[Any]) -> GraphRow:
        import dataclasses

        roots = {other for other, _ in self.earlier}
        fresh = sorted(inner - stale, key=lambda node: -node._sequence_nr())
        pairs = [
            (node, above) for node in fresh for above, _ in node.next_functions if above in stale
        ]
        consumer, producer = pairs[0] if pairs else (None, root)
        # The attribute may hold by now what this step put there: its own graph counts too.
        holder, attribute = self._holder(stale) or self._holder(inner) or ("", "")
        return dataclasses.replace(
            row,
            is_same_loss=root in roots,
            is_earlier_loss=producer in roots,
            is_from_before=producer._sequence_nr() < self.first_number,
            operation=producer.name().removesuffix("0").removesuffix("Backward"),
            place=_place(producer),
            consumer=consumer.name() if consumer is not None else "",
            consumer_place=_place(consumer) if consumer is not None else Place(),
            module=producer.metadata.get(MODULE, ""),
            holder=holder,
            attribute=attribute,
        )

    def _holder(self, nodes: set[Any]) -> tuple[str, str] | None:
        """Name the module and attribute that hold a tensor with one of these nodes behind it."""
        import torch

        for path, module in self.model.named_modules():
            for name, value in vars(module).items():
                items = value if isinstance(value, list | tuple) else [value]
                for item in items:
                    grown = isinstance(item, torch.Tensor) and item.grad_fn is not None
                    if grown and not nodes.isdisjoint(graph_nodes(item.grad_fn)):
                        return path or type(module).__name__, name
        return None


def _place(node: Any) -> Place:
    """Return the user's line that made a node; a node that keeps no line asks its producers."""
    place = node_place(node)
    frontier = [node]
    for _ in range(8):
        if place or not frontier:
            return place
        frontier = [above for n in frontier for above, _ in n.next_functions if above is not None]
        place = next((found for n in frontier if (found := node_place(n))), Place())
    return place


def sequence_number() -> int:
    """Return the number that autograd gives the next node."""
    import torch

    with torch.enable_grad():
        probe = torch.zeros(1, requires_grad=True) * 1
    assert probe.grad_fn is not None
    return int(probe.grad_fn._sequence_nr())
