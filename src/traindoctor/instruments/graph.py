"""Compares the graphs of consecutive backward passes: what do two of them share?

After a backward pass the nodes of its graph are still there, but what they had saved is gone. A
node that the next pass reaches again is stale: it was made before the step that uses it. The
stale nodes that a fresh one points at are the boundary, and the line that made such a node is
where the value was computed that somebody kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.backward import before_each, graph_nodes
from traindoctor.instruments.finite import node_place
from traindoctor.instruments.holdings import held, roots_of
from traindoctor.instruments.modules import MODULE, ModuleCalls, tensors_of
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.terms import operation_of
from traindoctor.target.history import lines_kept
from traindoctor.trace import GraphRow, Place

if TYPE_CHECKING:
    import torch

    from traindoctor.target.setup import TrainingSetup

NUM_KEPT = 3  # graphs of as many earlier passes are kept for comparison


class Graphs:
    """Keeps the nodes of the last backward passes and records what a new one shares with them.

    Nodes from before the watch began are shared by any two steps.
    """

    def __init__(self, recorder: Recorder, setup: TrainingSetup, calls: ModuleCalls) -> None:
        self.recorder, self.setup, self.calls = recorder, setup, calls
        self.earlier: list[tuple[Any, set[Any]]] = []  # root and nodes, of the last few passes
        self.first_number = sequence_number()

    @contextmanager
    def watching(self) -> Iterator[Graphs]:
        """Compare before each backward pass; nodes remember their lines while inside."""
        with lines_kept(), before_each(self._compare):
            yield self

    def _compare(self, loss: Any) -> None:
        root = getattr(loss, "grad_fn", None)
        nodes = graph_nodes(root)
        inner = {node for node in nodes if getattr(node, "variable", None) is None}
        stale = set().union(*(inner & others for _, others in self.earlier))
        stale |= {node for node in inner if node._sequence_nr() < self.first_number}
        row = GraphRow(
            backward=len(self.recorder.backwards),
            batch=max(self.recorder.batch, 0),
            num_nodes=len(inner),
            num_stale=len(stale),
        )
        self.recorder.graphs += self._boundaries(row, root, inner, stale) if stale else [row]
        self.earlier = [*self.earlier[-NUM_KEPT + 1 :], (root, inner)]

    def _boundaries(
        self, row: GraphRow, root: Any, inner: set[Any], stale: set[Any]
    ) -> list[GraphRow]:
        """Return a row for each value that is shared: what was made on one line is one."""
        fresh = sorted(inner - stale, key=lambda node: -node._sequence_nr())
        pairs = [
            (node, above) for node in fresh for above, _ in node.next_functions if above in stale
        ]
        groups: dict[Any, list[tuple[Any, Any]]] = {}
        for consumer, producer in pairs or [(None, root)]:
            place = _place(producer)
            groups.setdefault((place, producer.name() if place else id(producer)), []).append(
                (consumer, producer)
            )
        found = [self._boundary(row, pairs, inner, stale) for pairs in groups.values()]
        held = [other for other in found if other.holder or other.parameters]
        return held or found[:1]  # what nobody keeps is a part of what somebody does

    def _boundary(
        self, row: GraphRow, pairs: list[tuple[Any, Any]], inner: set[Any], stale: set[Any]
    ) -> GraphRow:
        roots = {other for other, _ in self.earlier}
        consumer, producer = pairs[0]
        producers = {above for _, above in pairs}
        behind = stale.intersection(node for above in producers for node in graph_nodes(above))
        parameters = self._parameters(producers)
        # The attribute may hold by now what this step put there: its own graph counts too.
        holder, attribute = ("", "")
        if not parameters:
            holder, attribute = self._holder(behind) or self._holder(inner) or ("", "")
        module = _module_of(producer, stale)
        seen = self.calls.seen.get(module) if module else None
        return dataclasses.replace(
            row,
            num_behind=len(behind),
            is_same_loss=producer in roots and consumer is None,
            is_earlier_loss=producer in roots,
            is_from_before=producer._sequence_nr() < self.first_number,
            operation=operation_of(producer),
            place=_place(producer),
            consumer=operation_of(consumer) if consumer is not None else "",
            consumer_place=_place(consumer) if consumer is not None else Place(),
            module=module,
            module_place=seen.place if seen else Place(),
            parameters=parameters,
            holder=holder,
            attribute=attribute,
        )

    def _parameters(self, producers: set[Any]) -> tuple[str, ...]:
        """Name the parameters and buffers that these nodes made."""
        model = self.setup.model
        return tuple(
            name
            for name, tensor in (*model.named_parameters(), *model.named_buffers())
            if tensor.grad_fn is not None and tensor.grad_fn in producers
        )

    def _holder(self, nodes: set[Any]) -> tuple[str, str] | None:
        """Name who holds a tensor with one of these nodes behind it, and under which name."""
        for path, module in self.setup.model.named_modules():
            for name, value in vars(module).items():
                if not name.startswith("_") and _any_grown(tensors_of(value), nodes):
                    return path or type(module).__name__, name
        roots = {name: part for name, part in roots_of(self.setup).items() if name != "model"}
        for path, part in held(roots):
            if _any_grown(tensors_of(part), nodes):
                holder, _, name = path.rpartition(".")
                return holder.replace(".self", "").replace(".function", ""), name
        return None


def _any_grown(tensors: list[torch.Tensor], nodes: set[Any]) -> bool:
    return any(
        tensor.grad_fn is not None and not nodes.isdisjoint(graph_nodes(tensor.grad_fn))
        for tensor in tensors
    )


def _module_of(node: Any, stale: set[Any]) -> str:
    """Return the module that made a node, or the nearest of those that it was computed from."""
    frontier = [node]
    while frontier:
        for found in frontier:
            if found.metadata.get(MODULE):
                return str(found.metadata[MODULE])
        frontier = [a for n in frontier for a, _ in n.next_functions if a in stale]
    return ""


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
