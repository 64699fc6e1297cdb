"""Where are the tensors of a batch made, and where do the values in them come from?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.target.batches import as_mapping, leaves
from traindoctor.target.usercode import user_place
from traindoctor.trace import Place, Trace

if TYPE_CHECKING:
    import torch

MOST_OPERATIONS = 20_000


@dataclass(frozen=True)
class TraceBatch(Experiment):
    """The first batch fetched once more, by the user's own code in this process.

    Facts: `made`, the user's line whose operation made each of its tensors; `largest`, of integer
    tensors the line of the first operation with a value as large as their largest. Both by key;
    a tensor that no operation was seen to make is in neither.
    """

    name: ClassVar[str] = "trace-batch"
    cost: ClassVar[int] = 1

    def run(self, lab: Lab) -> Trace:
        """Return the facts; empty for a loader that works elsewhere or cannot be asked again."""
        from torch.utils.data import DataLoader

        loader = lab.setup.loader
        facts: dict[str, dict[str, Place]] = {"made": {}, "largest": {}}
        if not isinstance(loader, DataLoader) or loader.num_workers:
            return Trace(setup=lab.anatomy.facts, facts=facts)
        batch: Any = None
        with operations_seen() as seen, suppress(Exception):  # what it raises is told elsewhere
            batch = next(iter(loader), None)
        for key, tensor in leaves(as_mapping(batch) or batch):
            made = [place for output, place in seen if output is tensor]
            if made:
                facts["made"][key] = made[0]  # later ones wrote to it, or moved it to where it was
            if not tensor.is_floating_point() and tensor.numel() and not tensor.is_complex():
                place = _first_with(seen, int(tensor.max()))
                if place:
                    facts["largest"][key] = place
        return Trace(setup=lab.anatomy.facts, facts=facts)


def _first_with(seen: list[tuple[torch.Tensor, Place]], value: int) -> Place:
    for output, place in seen:
        is_integer = not (output.is_floating_point() or output.is_complex())
        if is_integer and output.numel() and int(output.max()) >= value:
            return place
    return Place()


@contextmanager
def operations_seen() -> Iterator[list[tuple[torch.Tensor, Place]]]:
    """Collect each tensor that an operation of the user's returns, with the user's line."""
    import torch
    from torch.overrides import TorchFunctionMode

    seen: list[tuple[torch.Tensor, Place]] = []

    class Seeing(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]  # as torch has it
            output = func(*args, **(kwargs or {}))
            if isinstance(output, torch.Tensor) and len(seen) < MOST_OPERATIONS:
                place = user_place(sys._getframe(1))
                if place:
                    seen.append((output, place))
            return output

    with Seeing():
        yield seen
