"""Looks for what makes a gradient zero, once in a run whose first steps have nothing but zeros."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.backward import graph_leaves
from traindoctor.instruments.zeros import watch_for_zeros
from traindoctor.target.history import lines_kept
from traindoctor.trace import OperationRow, Trace

if TYPE_CHECKING:
    from traindoctor.watching.opening import Opening

WARM_UP = 2  # steps that do not count, as the probe does not count them
LAST = WARM_UP + 2  # the step after which nobody begins to look: the opening is over soon
MOST_PASSES = 4  # backward passes that may have another graph


class ZeroGradients:
    """Follows an opening, and watches one backward pass of it closely if there is reason to."""

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.rows: list[OperationRow] = []
        self.names: tuple[str, ...] = ()
        self.num_passes = 0
        self._lines = ExitStack()

    @property
    def trace(self) -> Trace | None:
        """What `LocateZeroGradient` would give; None where nobody has looked."""
        if not self.num_passes:
            return None
        return Trace(operations=tuple(self.rows), facts={"parameters": self.names})

    def after_step(self) -> None:
        """Let the next forward pass keep its lines, if a gradient was zero step after step."""
        is_due = WARM_UP < len(self.opening.recorder.steps) <= LAST
        if self.names or not is_due or self.opening.is_compiled:
            return
        rows = [row for row in self.opening.recorder.gradients if row.step >= WARM_UP]
        alive = {row.parameter for row in rows if row.is_none or row.rms or row.num_not_finite}
        self.names = tuple(sorted({row.parameter for row in rows} - alive))
        if self.names:
            self._lines.enter_context(lines_kept())

    def before_backward(self, loss: Any) -> None:
        """Watch the pass, if it goes through one of these parameters."""
        if not self.names or self.rows or self.num_passes >= MOST_PASSES:
            return
        self.num_passes += 1
        names = set(self.names)
        targets = {key: name for key, name in self.opening.names.items() if name in names}
        if targets.keys() & graph_leaves(loss):
            self._lines.close()
            watch_for_zeros(loss, targets, self.rows, self.opening.recorder.batch)
            self.num_passes = MOST_PASSES

    def close(self) -> None:
        """Keep no lines any more, and the opening no longer alive."""
        self._lines.close()
        del self.opening
