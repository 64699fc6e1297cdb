"""Records graphs that outlive their step: kept by somebody, retained, or gone through again."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from traindoctor.instruments.backward import graph_nodes
from traindoctor.instruments.dynamic import Part, State
from traindoctor.instruments.holders import Holder, holder_of, keeper_of
from traindoctor.instruments.modules import tensors_of
from traindoctor.target.usercode import user_place
from traindoctor.trace import GraphRow, KeptRow, Place

CANARY = "traindoctor.canary"  # the key of a graph node's metadata that holds a canary
NUM_WALKED = 12  # backward passes, the first ones, whose nodes are looked at
NUM_RECENT = 3  # passes whose graphs may still be there
MOST_ALIVE = 4096  # graphs; by then it is known that they are kept
ASKED_AT = (6, 10, 32, 100)  # kept graphs, at which it is asked who keeps them
GROWTH = 1.2  # from one row to the next, once there is no row for every pass
NUM_ROWS = 32  # passes that have a row each
CALM_AFTER = 256  # passes of which nothing was kept
EVERY = 8  # passes from then on, of which one is marked


class Canary:
    """Lives as long as the graph node that holds it."""

    __slots__ = ("alive", "number")

    def __init__(self, alive: dict[int, int], number: int) -> None:
        self.alive, self.number = alive, number
        alive[number] = alive.get(number, 0) + 1

    def __del__(self) -> None:
        left = self.alive.get(self.number, 0) - 1
        if left > 0:
            self.alive[self.number] = left
        else:
            self.alive.pop(self.number, None)


@dataclass(slots=True)
class _Walked:
    """The graph of one pass; nodes are known by the number that autograd gave them."""

    place: Place
    batch: int
    is_retained: bool
    numbers: set[int]
    root: int  # of these, what was differentiated
    num_stale: int
    is_same_loss: bool
    is_earlier_loss: bool
    keeper: str  # of what is shared, where a variable holds the very tensor
    reached_again: set[int] = field(default_factory=set)


class KeptGraphs(Part):
    """Puts a canary into each graph, and compares the nodes of the first passes.

    The canary of a pass stands at what was differentiated, or at the output of the model: it dies
    when the last tensor is gone that has this node behind it. Where nothing was ever kept, only
    some passes are marked, until one of these is.
    """

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.alive: dict[int, int] = {}  # canaries, by the pass they came before
        self.walked: list[_Walked] = []
        self.rows: list[KeptRow] = []
        self.latest = (-1, 0)  # the last pass that was marked, and what was kept then
        self.is_marked = True  # the pass that comes next
        self.next_row = 0
        self.asked: list[int] = list(ASKED_AT)
        self.holder: Holder | None = None

    def backward_begins(self, loss: Any, is_retained: bool) -> None:
        """Walk the first graphs, mark each, and count those of earlier passes."""
        if not self._goes_on():
            return
        root, number = getattr(loss, "grad_fn", None), self.state.num_backwards
        if len(self.walked) < NUM_WALKED:
            self._walk(root, is_retained)
        self._plant(root)
        kept = self.num_kept()
        if self.asked and kept >= self.asked[0]:
            self.asked.pop(0)
            # The first one found stands nearest to the line at fault: others may hold it in turn.
            self.holder = self.holder or holder_of(sys._getframe(1), CANARY, number - NUM_RECENT)
        self.latest = (number, kept)
        if number >= self.next_row:
            self.rows.append(self._row(number, kept))
            self.next_row = number + 1 if number < NUM_ROWS else int(number * GROWTH)

    def gradient_begins(self, output: Any) -> None:
        """Note which walked graphs it goes through again."""
        self._reach(graph_nodes(getattr(output, "grad_fn", None)) if self._is_walking() else [])

    def call_ends(self, _module: Any, output: Any) -> None:
        """Mark the graph of what the model returned."""
        if not self.is_marked:
            return
        for tensor in tensors_of(output)[:1]:
            self._plant(tensor.grad_fn)

    def _goes_on(self) -> bool:
        """Tell whether this pass is marked, and say whether the next one will be."""
        was_marked, done = self.is_marked, self.state.num_backwards + 1
        is_calm = done >= CALM_AFTER and not self.latest[1] and self.asked == [*ASKED_AT]
        self.is_marked = not is_calm or done % EVERY == 0
        return was_marked

    def num_kept(self) -> int:
        """Count the earlier passes of whose graphs something is alive, the last few left out."""
        recent = range(self.state.num_backwards - NUM_RECENT, self.state.num_backwards + 1)
        return len(self.alive) - sum(map(self.alive.__contains__, recent))

    def write(self) -> None:
        """Write the first graphs, and how many were kept as the run went on."""
        recorder = self.state.recorder
        is_told = not self.rows or self.rows[-1].backward == self.latest[0]
        recorder.kept[:] = [*self.rows, *([] if is_told else [self._row(*self.latest)])]
        recorder.graphs[:] = [
            GraphRow(
                backward=index,
                batch=max(walked.batch, 0),
                num_nodes=len(walked.numbers),
                num_stale=walked.num_stale,
                consumer_place=walked.place,
                is_same_loss=walked.is_same_loss,
                is_earlier_loss=walked.is_earlier_loss,
                is_retained=walked.is_retained,
                num_reached_again=len(walked.reached_again),
                attribute=walked.keeper,
            )
            for index, walked in enumerate(self.walked)
        ]

    def _row(self, number: int, kept: int) -> KeptRow:
        holder = self.holder
        if holder is None:
            return KeptRow(backward=number, num_kept=kept)
        return KeptRow(
            backward=number,
            num_kept=kept,
            holder=holder.name,
            kind=holder.kind,
            num_held=holder.num_held,
            place=holder.place,
        )

    def _plant(self, node: Any) -> None:
        if node is None or len(self.alive) >= MOST_ALIVE:
            return
        about: Any = node.metadata  # a dict, whatever the stubs say
        if CANARY not in about:
            about[CANARY] = Canary(self.alive, self.state.num_backwards)

    def _walk(self, root: Any, is_retained: bool) -> None:
        nodes = graph_nodes(root)
        shared = self._reach(nodes)
        numbers, root_number = _numbers(nodes), max(_numbers(nodes[:1]), default=-1)
        roots = numbers & {walked.root for walked in self.walked}
        is_hidden = shared and not roots  # else it is a loss that is shared
        keeper = keeper_of(sys._getframe(1), shared) if is_hidden else ""
        self.walked.append(
            _Walked(
                place=user_place(sys._getframe(1)),
                batch=self.state.recorder.batch,
                is_retained=is_retained,
                numbers=numbers,
                root=root_number,
                num_stale=len(shared),
                is_same_loss=root_number in roots,
                is_earlier_loss=bool(roots - {root_number}),
                keeper=keeper,
            )
        )

    def _is_walking(self) -> bool:
        return 0 < len(self.walked) < NUM_WALKED

    def _reach(self, nodes: list[Any]) -> set[int]:
        """Note which walked graphs these nodes belong to. Returns the numbers of those that do."""
        numbers, stale = _numbers(nodes), set[int]()
        for walked in self.walked:
            shared = numbers & walked.numbers
            walked.reached_again |= shared
            stale |= shared
        return stale


def _numbers(nodes: list[Any]) -> set[int]:
    """Return the numbers of nodes, but for those that end at a parameter: they are no one's own."""
    return {node._sequence_nr() for node in nodes if getattr(node, "variable", None) is None}
