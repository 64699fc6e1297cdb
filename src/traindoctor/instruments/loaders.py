"""Sees every pass over every DataLoader, whoever iterates, without changing what they get."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import Any

from traindoctor.instruments.one_pass import Pass
from traindoctor.instruments.passes import Passes
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.workers import Workers
from traindoctor.target.births import caller
from traindoctor.target.usercode import is_ours, is_user_file, user_place
from traindoctor.trace import LoaderRow, PassRow, Place, WorkerRow

MOST_FRAMES = 24  # between a loader and the code that trains
MOST_PLACES = 32


class Loaders:
    """What `loaders_seen` has seen so far; if it failed itself, with what."""

    def __init__(self, recorder: Recorder, keeps_all: bool = False) -> None:
        self.recorder = recorder
        self.passes = Passes(recorder, keeps_all, self._built)
        self.workers = Workers()
        self.error: Exception | None = None
        self._places: dict[int, tuple[Any, Place]] = {}  # by `id`, while the loader lives

    def rows(self) -> tuple[tuple[LoaderRow, ...], tuple[PassRow, ...], tuple[WorkerRow, ...]]:
        """Return loaders, passes and workers as they stand now."""
        return *self.passes.rows(), self.workers.rows()

    def note_birth(self, loader: Any, place: Place) -> None:
        """Remember the user's line that builds a loader."""
        key = id(loader)
        gone = weakref.ref(loader, lambda _: self._places.pop(key, None))
        self._places[key] = gone, place

    def _built(self, loader: Any) -> Place:
        return self._places.get(id(loader), (None, Place()))[1]

    def safely(self, act: Callable[[], Any]) -> Any:
        """Do what records; an error of it is kept, and ends the recording, not the user's run."""
        if self.error is not None:
            return None
        try:
            return act()
        except Exception as error:  # batches and loaders of the user's may be of any make
            self.error = error
            return None

    def in_use(self) -> Any:
        """Return the loader whose batch is in use, if there is one."""
        return self.passes.loader_in_use()

    def finish(self, is_over: bool = True) -> None:
        """Put everything into the recorder; as it stands now, if it is not over."""
        self.safely(self.passes.finish if is_over else self.passes.write)
        self.recorder.workers[:] = self.safely(self.workers.rows) or ()
        if is_over:
            self.workers.close()
        trained = [row for row in self.recorder.passes if not row.is_evaluation]
        asked = [row.asked_place for row in trained for _ in range(row.num_asked_after_end)]
        self.recorder.facts["loop_places"] = [row.place for row in trained]
        self.recorder.facts["asked_after_end"] = asked[:MOST_PLACES]


@contextmanager
def loaders_seen(recorder: Recorder, keeps_all: bool = False) -> Iterator[Loaders]:
    """Record each pass over each DataLoader while inside; `keeps_all` is for short experiments.

    `DataLoader.__iter__` returns an iterator that passes everything on to the real one. Loaders
    that are iterated by a class of their own, calling this one, are seen once.
    """
    from torch.utils.data import DataLoader

    seen = Loaders(recorder, keeps_all)
    original, original_init = DataLoader.__iter__, DataLoader.__init__

    @wraps(original_init)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        frame = sys._getframe(1)
        seen.safely(lambda: seen.note_birth(self, user_place(caller(self, frame))))
        original_init(self, *args, **kwargs)

    @wraps(original)
    def iterate(self: Any) -> Any:
        frame = _consumer(sys._getframe(1))
        by_user = is_user_file(frame.f_code.co_filename)
        on = seen.safely(lambda: seen.passes.begin(self, user_place(frame), by_user))
        if on is None:
            return original(self)
        with seen.workers.watching(self, on.loader.row.index, on.number):
            real = original(self)
        return watched(real, on, seen)

    DataLoader.__init__ = init  # type: ignore[method-assign]  # taken back below
    DataLoader.__iter__ = iterate  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        DataLoader.__init__ = original_init  # type: ignore[method-assign]
        DataLoader.__iter__ = original  # type: ignore[method-assign]
        seen.finish()


def watched(real: Iterator[Any], on: Pass, seen: Loaders) -> Any:
    """Return an iterator that is the real one to everybody, and tells of what it gives."""
    return _Watched(real, on, seen)


class _Watched:
    """Stands for a loader's iterator. Its own three names begin with `_td_`."""

    __slots__ = ("__weakref__", "_td_on", "_td_real", "_td_seen")

    def __init__(self, real: Iterator[Any], on: Pass, seen: Loaders) -> None:
        object.__setattr__(self, "_td_real", real)
        object.__setattr__(self, "_td_on", on)
        object.__setattr__(self, "_td_seen", seen)

    def __iter__(self) -> _Watched:
        return self

    def __next__(self) -> Any:
        import torch

        on, seen, recorder = self._td_on, self._td_seen, self._td_seen.recorder
        for asked in recorder.on_fetch:
            seen.safely(asked)
        start = recorder.clock()
        try:
            batch = next(self._td_real)
        except StopIteration:
            frame = sys._getframe(1)
            if on.is_over:
                seen.safely(lambda: seen.passes.asked(on, user_place(frame)))
            seen.safely(lambda: seen.passes.over(on))
            raise
        seconds = recorder.clock() - start
        if not on.num_batches:
            on.lag, on.is_bulk = _reading(sys._getframe(1))
        if seen.error is None:
            try:
                seen.passes.fetched(on, batch, seconds, torch.is_grad_enabled())
                for given in recorder.after_fetch:
                    given(on, seconds)
            except Exception as error:  # as `safely`, which costs more
                seen.error = error
        return batch

    def __del__(self) -> None:
        seen, on = self._td_seen, self._td_on
        seen.safely(lambda: seen.passes.left(on))

    @property  # type: ignore[misc]  # what isinstance() asks
    def __class__(self) -> Any:
        return type(self._td_real)

    def __len__(self) -> int:
        return len(self._td_real)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._td_real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._td_real, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._td_real, name)

    def __dir__(self) -> list[str]:
        return dir(self._td_real)

    def __repr__(self) -> str:
        return repr(self._td_real)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._td_real.__reduce_ex__(protocol)


def _consumer(frame: FrameType) -> FrameType:
    """Leave the `__iter__` methods of loaders that are made from another, and our own."""
    while frame.f_back is not None and (
        frame.f_code.co_name == "__iter__" or is_ours(frame.f_code.co_filename)
    ):
        frame = frame.f_back
    return frame


def _reading(frame: FrameType | None) -> tuple[int, bool]:
    """Return how many batches the reader keeps back, and whether it fetches several to use.

    Known are accelerate's loaders and Lightning's fetchers, which look for the end one batch
    ahead, transformers' Trainer, which fetches what one step accumulates, and other threads.
    """
    lag, is_bulk = 0, threading.current_thread() is not threading.main_thread()
    for _ in range(MOST_FRAMES):
        if frame is None or is_user_file(frame.f_code.co_filename):
            break
        file, name = frame.f_code.co_filename.replace("\\", "/"), frame.f_code.co_name
        if name == "__iter__" and file.endswith("accelerate/data_loader.py"):
            lag = 1
        elif name == "__next__" and file.endswith("loops/fetchers.py"):
            fetcher = frame.f_locals.get("self")
            if getattr(fetcher, "length", 0) is None:
                lag = getattr(fetcher, "prefetch_batches", 0)
        elif name == "get_batch_samples":
            is_bulk = is_bulk or frame.f_locals.get("num_batches", 1) > 1
        frame = frame.f_back
    return lag, is_bulk
