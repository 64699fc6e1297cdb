"""Notes the user's line on which each optimizer, scheduler and module is built."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from traindoctor.target.patches import UNSEEN
from traindoctor.target.usercode import user_place
from traindoctor.trace import Place


def caller(built: object, frame: FrameType | None) -> FrameType | None:
    """Leave the constructors of the object itself: `super().__init__()` builds nothing.

    What other instruments have put in the place of a constructor stands between them.
    """
    while frame is not None and (frame.f_code.co_filename == UNSEEN or _constructs(frame, built)):
        frame = frame.f_back
    return frame


def _constructs(frame: FrameType, built: object) -> bool:
    return frame.f_code.co_name == "__init__" and frame.f_locals.get("self") is built


@contextmanager
def births(notice: Callable[[Any], None] = lambda _: None) -> Iterator[dict[int, Place]]:
    """Collect places by `id` while inside; the last one built under an `id` counts.

    `notice` is given each object whose constructor begins.

    The constructors that every optimizer, scheduler and module passes through are replaced, and
    come back afterwards. A few microseconds an object.
    """
    import torch

    places: dict[int, Place] = {}
    schedulers = torch.optim.lr_scheduler
    kinds: tuple[Any, ...] = (
        torch.optim.Optimizer,
        torch.nn.Module,
        schedulers.LRScheduler,
        schedulers.ReduceLROnPlateau,
        schedulers.SequentialLR,
        schedulers.ChainedScheduler,
    )
    originals = [kind.__init__ for kind in kinds]

    def noting(original: Any) -> Any:
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            places[id(self)] = user_place(caller(self, sys._getframe(1)))
            notice(self)
            original(self, *args, **kwargs)

        return init

    for kind, original in zip(kinds, originals, strict=True):
        kind.__init__ = noting(original)
    try:
        yield places
    finally:
        for kind, original in zip(kinds, originals, strict=True):
            kind.__init__ = original
