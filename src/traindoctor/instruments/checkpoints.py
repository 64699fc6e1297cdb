"""Records whether a run that goes on from a checkpoint goes on with its optimizer's state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from traindoctor.instruments.account import Account
from traindoctor.instruments.notes import notes_of
from traindoctor.instruments.order import Order, order_of
from traindoctor.instruments.recorder import Recorder, here
from traindoctor.target.checkpoints import (
    Checkpoints,
    Loaded,
    checkpoints_noted,
    num_states,
    state_names,
)
from traindoctor.trace import CheckpointRow


class _Resumed:
    """Compares each optimizer's state before and after its first step."""

    def __init__(self, checkpoints: Checkpoints, order: Order) -> None:
        self.checkpoints, self.order = checkpoints, order
        self.firsts: dict[Loaded, dict[str, Any]] = {}  # the first optimizer that trains its module

    def begins_step(self, optimizer: Any, account: Account) -> None:
        """Take in an optimizer's first step, if it trains what got a checkpoint's weights."""
        if account.num_steps:
            return
        held = {id(p): p for group in optimizer.param_groups for p in group["params"]}
        for loaded in self.checkpoints.loaded:
            module = loaded.module() if loaded.module is not None else None
            if module is None or loaded in self.firsts:
                continue
            parameters = list(module.parameters())
            num_shared = sum(id(p) in held for p in parameters)
            if num_shared:
                self.firsts[loaded] = {
                    "optimizer_class": type(optimizer).__name__,
                    "num_restored": num_states(optimizer.state),
                    "num_shared": num_shared,
                    "num_parameters": len(parameters),
                    "num_trained": len(held),
                    "step_place": here(),
                }

    def ends_step(self, optimizer: Any, account: Account) -> None:
        """Take in what it keeps once it has stepped."""
        if account.num_steps > 1:
            return
        for first in self.firsts.values():
            if "optimizer" not in first:
                first["optimizer"] = account.number
                first["num_kept"] = num_states(optimizer.state)
                first["kept_names"] = state_names(optimizer.state)

    def _steps(self, optimizer: Any) -> bool:
        account = None if optimizer is None else self.order.find(optimizer)
        return account is not None and account.num_steps > 0

    def rows(self) -> list[CheckpointRow]:
        """Return a row a file."""
        receivers = self.checkpoints.receivers
        return [
            CheckpointRow(
                place=loaded.place,
                keys=loaded.keys,
                num_states=loaded.num_states,
                num_held=loaded.num_held,
                state_names=loaded.state_names,
                module_class=loaded.module_class,
                module_place=loaded.module_place,
                num_received=len(receivers),
                num_wasted=sum(not self._steps(ref()) for ref in receivers),
                **self.firsts.get(loaded, {}),
            )
            for loaded in self.checkpoints.loaded
        ]


@contextmanager
def checkpoints_seen(recorder: Recorder, earlier: Checkpoints | None = None) -> Iterator[None]:
    """Record what `torch.load` reads and what becomes of it. Needs `order_seen`.

    Args:
        recorder: takes the rows.
        earlier: what was read before, while the target was made.
    """
    checkpoints = earlier or Checkpoints()
    order = order_of(recorder)
    resumed = _Resumed(checkpoints, order)
    notes = notes_of(recorder, "checkpoints", "checkpoints", resumed.rows)
    order.listeners.append(resumed)
    try:
        with checkpoints_noted(checkpoints, notes):
            yield
    finally:
        order.listeners.remove(resumed)
