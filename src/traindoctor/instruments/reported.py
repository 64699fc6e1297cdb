"""Records the losses that the user's code reports, beside those that were differentiated."""

from __future__ import annotations

import builtins
import functools
import logging
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from traindoctor.instruments.dynamic import Part, State
from traindoctor.instruments.said import (
    is_validated,
    losses_said,
    may_be_trained,
    resolution,
    validations_said,
)
from traindoctor.instruments.served import MOST_SIZES, Served
from traindoctor.target.usercode import is_user_file, user_place
from traindoctor.trace import Place, ReportRow, WindowRow

MOST_LOSSES = MOST_SIZES  # differentiated; what is reported after them is not looked at
MOST_SERIES = 16
MOST_REPORTS = 64  # of one series
MOST_TEXT = 2000  # characters of one line
# Where it is found, once imported: module, class, method, and what the report is called.
METHODS = (
    ("tqdm.std", "tqdm", "set_postfix", "tqdm"),
    ("tqdm.std", "tqdm", "set_postfix_str", "tqdm text"),
    ("tqdm.std", "tqdm", "set_description", "tqdm text"),
    ("tqdm.std", "tqdm", "set_description_str", "tqdm text"),
    ("torch.utils.tensorboard.writer", "SummaryWriter", "add_scalar", "add_scalar"),
    ("tensorboardX.writer", "SummaryWriter", "add_scalar", "add_scalar"),
    ("transformers.trainer", "Trainer", "log", "Trainer.log"),
)


@dataclass(slots=True)
class _Report:
    name: str
    value: float
    resolution: float
    channel: str
    place: Place
    backward: int
    previous: int  # backward passes at this series' last report
    epoch: int | None  # backward passes when the epoch began
    num_dataset: int | None


class Reported(Part):
    """Listens to `print`, to loggers, and to what progress bars and their like are given."""

    def __init__(self, state: State, served: Served) -> None:
        super().__init__(state)
        self.served = served
        self.losses: list[Any] = []  # tensors, until they are read, in one go
        self.num_read = 0
        self.sizes: list[int | None] = []
        self.reports: dict[tuple[Any, ...], list[_Report]] = {}
        self.replaced: list[tuple[Any, str, Any]] = []
        self.missing = list(METHODS)
        self.num_modules = -1  # that were imported when it was last looked for these

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace `print` and the loggers' one method; others follow once they are imported."""
        self._replace(builtins, "print", self._print)
        self._replace(logging.Logger, "handle", self._handle)
        try:
            yield
        finally:
            for owner, name, original in reversed(self.replaced):
                setattr(owner, name, original)

    def _replace(self, owner: Any, name: str, around: Callable[[Any], Any]) -> None:
        original = vars(owner)[name]
        setattr(owner, name, functools.wraps(original)(around(original)))
        self.replaced.append((owner, name, original))

    def _print(self, original: Any) -> Any:
        def print_(*args: Any, **kwargs: Any) -> Any:
            self.safely(self._printed, args, sys._getframe(1))
            return original(*args, **kwargs)

        return print_

    def _handle(self, original: Any) -> Any:
        def handle(logger: Any, record: Any) -> Any:
            self.safely(self._logged, record, sys._getframe(1))
            return original(logger, record)

        return handle

    def _method(self, channel: str) -> Callable[[Any], Any]:
        def around(original: Any) -> Any:
            def method(owner: Any, *args: Any, **kwargs: Any) -> Any:
                self.safely(self._told, channel, args, kwargs, sys._getframe(1))
                return original(owner, *args, **kwargs)

            return method

        return around

    def _printed(self, args: tuple[Any, ...], frame: FrameType) -> None:
        if not is_user_file(frame.f_code.co_filename):
            return
        plain = [arg if isinstance(arg, str | int | float) else "?" for arg in args]
        if any(isinstance(arg, str) and "loss" in arg.lower() for arg in plain):
            self._text(" ".join(map(str, plain)), "print", frame)

    def _logged(self, record: Any, frame: FrameType) -> None:
        message = record.msg
        if is_user_file(record.pathname) and isinstance(message, str) and "loss" in message.lower():
            self._text(record.getMessage(), "logging", frame)

    def _text(self, text: str, channel: str, frame: FrameType) -> None:
        found = [*losses_said(text[:MOST_TEXT]), *validations_said(text[:MOST_TEXT])]
        for name, value, step in found:
            self._note(name, value, step, channel, frame)

    def _told(
        self, channel: str, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType
    ) -> None:
        if channel == "tqdm text":
            text = args[0] if args else next(iter(kwargs.values()), "")
            if isinstance(text, str) and "loss" in text.lower():
                self._text(text, "tqdm", frame)
            return
        if channel == "add_scalar":
            names = dict(zip(("tag", "scalar_value"), args, strict=False)) | kwargs
            given = {str(names.get("tag")): names.get("scalar_value")}
        else:
            given = {**(args[0] if args and isinstance(args[0], dict) else {}), **kwargs}
        for name, value in given.items():
            is_loss = may_be_trained(str(name)) or is_validated(str(name))
            if is_loss and (number := _number(value)) is not None:
                self._note(str(name).lower(), *number, channel, frame)

    def _note(self, name: str, value: float, step: float, channel: str, frame: FrameType) -> None:
        done = len(self.losses)
        if not done or done >= MOST_LOSSES:
            return
        place = user_place(frame)
        key = (place.file, place.line, name)
        if key not in self.reports and len(self.reports) >= MOST_SERIES:
            return
        series = self.reports.setdefault(key, [])
        if len(series) >= MOST_REPORTS:
            return
        previous = series[-1].backward if series else 0
        data = self.served.data_trained()
        epoch = data.began if data else None
        samples = data.num_samples if data else None
        series.append(_Report(name, value, step, channel, place, done, previous, epoch, samples))

    def backward_begins(self, loss: Any, _is_retained: bool) -> None:
        """Keep the loss and the size of its batch."""
        if self.missing and len(sys.modules) != self.num_modules:
            self._find_methods()
        if len(self.losses) < MOST_LOSSES:
            self.losses.append(_kept(loss))
            self.sizes.append(self._size())

    def _find_methods(self) -> None:
        """Replace the methods of what has been imported by now."""
        self.num_modules = len(sys.modules)
        for entry in tuple(self.missing):
            module, kind, method, channel = entry
            owner = getattr(sys.modules.get(module), kind, None)
            if owner is not None:
                self.missing.remove(entry)
                self._replace(owner, method, self._method(channel))

    def _size(self) -> int | None:
        window, batches = self.served.window, self.state.recorder.batches
        if window is not None:
            return window.size
        return batches[-1].size if batches else None

    def write(self) -> None:
        """Write each report with the losses differentiated before it."""
        self._read()
        self.state.recorder.reports[:] = [
            self._row(report) for series in self.reports.values() for report in series
        ]

    def _read(self) -> None:
        """Turn the losses kept as tensors into numbers: one transfer for each device and type."""
        import torch

        new = range(self.num_read, len(self.losses))
        waiting = [n for n in new if isinstance(self.losses[n], torch.Tensor)]
        self.num_read = len(self.losses)
        kinds: dict[Any, list[int]] = {}
        for index in waiting:
            loss = self.losses[index]
            kinds.setdefault((loss.device, loss.dtype), []).append(index)
        for indices in kinds.values():
            values = torch.stack([self.losses[index].reshape(()) for index in indices]).tolist()
            for index, value in zip(indices, values, strict=True):
                self.losses[index] = value

    def _row(self, report: _Report) -> ReportRow:
        epoch = report.epoch
        return ReportRow(
            name=report.name,
            value=report.value,
            resolution=report.resolution,
            channel=report.channel,
            place=report.place,
            backward=report.backward,
            since_report=self._window(report.previous, report.backward),
            since_epoch=WindowRow() if epoch is None else self._window(epoch, report.backward),
            num_dataset=report.num_dataset,
            is_validation=is_validated(report.name),
        )

    def _window(self, start: int, end: int) -> WindowRow:
        losses, sizes = self.losses[start:end], self.sizes[start:end]
        if None in losses:
            return WindowRow()
        finite = [loss for loss in losses if math.isfinite(loss)]
        known = [size for size in sizes if size is not None]
        is_known = len(known) == len(losses) and len(finite) == len(losses)
        return WindowRow(
            num_losses=len(losses),
            mean=math.fsum(finite) / len(finite) if finite else None,
            last=losses[-1] if losses else None,
            num_nan=sum(loss != loss for loss in losses),
            weighted=math.fsum(a * b for a, b in zip(losses, known, strict=True))
            if is_known
            else None,
            num_samples=sum(known) if len(known) == len(losses) else None,
        )


def _kept(loss: Any) -> Any:
    """Return a loss as a number, or as a tensor to be read later where reading it would stall."""
    if loss is None or loss.numel() != 1 or loss.is_complex() or loss.is_meta:
        return None
    return float(loss.item()) if loss.is_cpu else loss.detach().clone()


def _number(value: Any) -> tuple[float, float] | None:
    """Return a value that was handed over, and its resolution; None where it is no number."""
    import torch

    if isinstance(value, str):
        try:
            return float(value), resolution(value.strip())
        except ValueError:
            return None
    if isinstance(value, torch.Tensor):
        is_here = value.device.type == "cpu" and value.numel() == 1
        return (float(value.detach()), 0.0) if is_here else None
    return (float(value), 0.0) if isinstance(value, int | float) else None
