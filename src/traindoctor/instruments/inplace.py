"""Records operations that overwrite a tensor of the graph."""

from __future__ import annotations

from typing import Any

from traindoctor.instruments.recorder import Recorder, here
from traindoctor.trace import OperationRow

ASSIGNMENTS = {"__setitem__", "copy_", "data"}
MOST = 200


class InPlace:
    """A listener of `Flow`; a row for each tensor with a history that was written in place.

    `note` is the operation that had made the tensor's storage before, as far as it is known:
    the name of the node that the tensor's new history starts from.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.rows: list[OperationRow] = []

    def __call__(self, name: str, _: Any, args: Any, _kwargs: Any, _output: Any) -> None:
        """Take in one operation."""
        import torch

        if not writes_in_place(name) or not args or not isinstance(args[0], torch.Tensor):
            return
        written = args[0]
        if not written.requires_grad or len(self.rows) >= MOST:
            return
        running = self.recorder.running
        self.rows.append(
            OperationRow(
                operation=name,
                direction="in-place",
                module=running[-1]["module"] if running else "",
                place=here(),
                kind="write",
                input_shapes=(tuple(written.shape),),
                batch=max(self.recorder.batch, 0),
            )
        )


def writes_in_place(name: str) -> bool:
    """Tell `add_`, `__iadd__` and `__setitem__` from `add` and `__add__`."""
    if name in ASSIGNMENTS:
        return True
    if name.startswith("__"):
        return name.startswith("__i") and name not in ("__int__", "__index__", "__invert__")
    return name.endswith("_") and not name.endswith("__") and name != "requires_grad_"
