"""Taps `DataLoader.__iter__`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traindoctor.target.usercode import user_place

if TYPE_CHECKING:
    from traindoctor.watching.session import Session


@contextmanager
def loaders_tapped(session: Session) -> Iterator[None]:
    """See the batches of every loader while inside."""
    from torch.utils.data import DataLoader

    original = DataLoader.__iter__
    passes: dict[int, int] = {}

    def iterate(self: Any) -> Any:
        if session.is_off:
            return original(self)
        epoch = passes[id(self)] = passes.get(id(self), -1) + 1
        if session.opening is not None:
            session.recorder.facts.setdefault("loop_places", []).append(
                user_place(sys._getframe(1))
            )
            if not session.scene.loader:
                session.scene.loader = self
        return _Pass(original(self), session, epoch)

    DataLoader.__iter__ = iterate  # type: ignore[method-assign]
    try:
        yield
    finally:
        DataLoader.__iter__ = original  # type: ignore[method-assign]


class _Pass:
    def __init__(self, iterator: Any, session: Session, epoch: int) -> None:
        self._iterator, self._session, self._epoch = iterator, session, epoch

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        session = self._session
        session.batch_asked()
        start = session.clock()
        batch = next(self._iterator)
        session.batch_given(batch, session.clock() - start, self._epoch)
        return batch

    def __len__(self) -> int:
        return len(self._iterator)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._iterator, name)
