"""Records what the trained model is called for while batches are there that nobody trains on."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from traindoctor.instruments.dynamic import Part, State
from traindoctor.instruments.modules import tensors_of
from traindoctor.target.batches import batch_size
from traindoctor.target.fingerprints import leading_size
from traindoctor.target.looking import length
from traindoctor.target.source import branches_on_mode
from traindoctor.target.usercode import is_called_by_user, user_place
from traindoctor.trace import Place, ServedRow

MOST_DATASETS = 64
MOST_LOOKS = 3  # calls of one module over one data set in which its layers are looked at
MOST_NAMES = 50
MOST_SIZES = 8192  # backward passes after which nobody asks for a batch's size any more


@dataclass(slots=True)
class Call:
    """One call of a model while one batch was there. Nothing of the program's is held."""

    key: int  # the module's `id`
    kind: type
    place: Place
    is_training: bool
    has_graph: bool = False
    dropouts: list[str] = field(default_factory=list)
    batch_norms: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Use:
    """What one module was called for over one data set."""

    kind: type
    place: Place = Place()
    looks: int = 0
    once: int = 0
    again: int = 0
    training: int = 0
    with_graph: int = 0
    dropouts: dict[str, None] = field(default_factory=dict)  # in order of first sight
    batch_norms: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class Data:
    """One data set, with what was done over it."""

    number: int
    num_samples: int | None
    num_passes: int = 0
    num_repeated: int = 0
    num_batches: int = 0
    num_trained: int = 0
    began: int = 0  # backward passes when it was last begun
    uses: dict[int, _Use] = field(default_factory=dict)


@dataclass(slots=True)
class _Window:
    """The time from the fetch of one batch to that of the next, of whatever data set."""

    data: Data
    num_passes: int
    size: int | None
    calls: list[Call] = field(default_factory=list)


class Served(Part):
    """Replaces `DataLoader.__iter__`, which all loaders of torch's pass through."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.data: dict[int, Data] = {}  # by the data set's `id`
        self.window: _Window | None = None
        self.trained: Data | None = None  # what was trained on last
        self.looking: tuple[Call, dict[str, int]] | None = None
        self.layers: dict[int, str] = {}  # of the module that is looked at, by `id`

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace the method for as long as it is open."""
        from torch.utils.data import DataLoader

        original = DataLoader.__iter__

        @functools.wraps(original)
        def patched(loader: Any) -> Any:
            return _Serving(original(loader), self, loader)

        DataLoader.__iter__ = patched  # type: ignore[method-assign]  # taken back below
        try:
            yield
        finally:
            DataLoader.__iter__ = original  # type: ignore[method-assign]

    def begin(self, loader: Any) -> Data | None:
        """Take in that a loader is iterated."""
        self.close()
        key = id(loader.dataset)
        if key not in self.data:
            if len(self.data) >= MOST_DATASETS:
                return None
            self.data[key] = Data(len(self.data), length(loader.dataset))
        data = self.data[key]
        data.num_repeated += data.num_passes > 0 and data.began == self.state.num_backwards
        data.num_passes += 1
        data.began = self.state.num_backwards
        return data

    def fetched(self, data: Data | None, batch: Any) -> None:
        """Take in that a batch was handed out."""
        self.close()
        if data is not None:
            data.num_batches += 1
            is_asked = self.state.num_backwards < MOST_SIZES
            size = leading_size(batch) or batch_size(batch) if is_asked else None
            self.window = _Window(data, self.state.num_passes, size)

    def close(self) -> None:
        """End the window that is open: it was trained in, or its calls are counted."""
        window, self.window = self.window, None
        if window is None:
            return
        if self.state.num_passes > window.num_passes:
            window.data.num_trained += 1
            self.trained = window.data
            return
        for call in window.calls:
            use = window.data.uses.setdefault(call.key, _Use(call.kind, call.place))
            same = [other for other in window.calls if other.key == call.key]
            if len(same) == 1:
                _count(use, call)
            elif call is same[0]:
                use.again += 1

    def backward_begins(self, _loss: Any, _is_retained: bool) -> None:
        """Forget the calls on this batch."""
        if self.window is not None:
            self.window.calls.clear()  # they were made for training

    def call_begins(self, module: Any) -> None:
        """Note a call on a batch of data that nobody has trained on."""
        window = self.window
        if window is None or window.data.num_trained or len(window.calls) > 1:
            return
        if not is_called_by_user(sys._getframe(1)):
            return  # a library knows what it does: it sets the mode, or takes statistics anew
        place = user_place(sys._getframe(1))
        call = Call(id(module), type(module), place, module.training)
        window.calls.append(call)
        use = window.data.uses.get(id(module))
        if module.training and (use is None or use.looks < MOST_LOOKS):
            self.looking = (call, _versions(module))
            self.layers = {id(layer): name for name, layer in module.named_modules()}
            self.state.inside.add(self)

    def inner_ends(self, module: Any, _output: Any) -> None:
        """Note a dropout layer that drew a mask."""
        if self.looking is not None and module.training and "Drop" in type(module).__name__:
            name = self.layers.get(id(module), type(module).__name__)
            if _rate(module) > 0 and name not in self.looking[0].dropouts:
                self.looking[0].dropouts.append(name)

    def call_ends(self, module: Any, output: Any) -> None:
        """Note what its layers did, and whether it built a graph."""
        self.layers = {}
        if self.looking is not None:
            call, versions = self.looking
            self.looking = None
            self.state.inside.discard(self)
            now = _versions(module)
            call.batch_norms = [name for name in versions if versions[name] != now.get(name)]
        if self.window is not None and self.window.calls:
            call = self.window.calls[-1]
            call.has_graph = any(tensor.requires_grad for tensor in tensors_of(output))

    def data_trained(self) -> Data | None:
        """Return the data set that is trained on, if a loader of torch's serves it."""
        if self.window is not None and self.state.num_passes > self.window.num_passes:
            return self.window.data
        return self.trained

    def write(self) -> None:
        """Write a row for each module that was called over each data set."""
        self.state.recorder.served[:] = [row for data in self.data.values() for row in _rows(data)]


class _Serving:
    """A loader's iterator that tells what it hands out; all else is the iterator's own."""

    def __init__(self, iterator: Any, served: Served, loader: Any) -> None:
        self._iterator, self._served = iterator, served
        self._data: Data | None = served.safely(served.begin, loader)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        try:
            batch = next(self._iterator)
        except StopIteration:
            self._served.safely(self._served.close)
            raise
        self._served.safely(self._served.fetched, self._data, batch)
        return batch

    def __len__(self) -> int:
        return len(self._iterator)

    def __getattr__(self, name: str) -> Any:
        if name == "_iterator":  # not made yet: a copy is being made
            raise AttributeError(name)
        return getattr(self._iterator, name)


def _count(use: _Use, call: Call) -> None:
    use.once += 1
    use.place = use.place or call.place
    use.training += call.is_training
    use.with_graph += call.has_graph
    use.looks += call.is_training
    use.dropouts.update(dict.fromkeys(call.dropouts[:MOST_NAMES]))
    use.batch_norms.update(dict.fromkeys(call.batch_norms[:MOST_NAMES]))


def _rate(layer: Any) -> float:
    rate = getattr(layer, "p", getattr(layer, "drop_prob", 0.0))
    return rate if isinstance(rate, float | int) else 0.0


def _versions(module: Any) -> dict[str, int]:
    """Return how often each running statistic was written to; a count that the host keeps."""
    return {
        name: layer.num_batches_tracked._version
        for name, layer in module.named_modules()
        if "BatchNorm" in type(layer).__name__
        and layer.training
        and getattr(layer, "num_batches_tracked", None) is not None
    }


def _rows(data: Data) -> list[ServedRow]:
    given: dict[str, Any] = {
        "dataset": data.number,
        "num_passes": data.num_passes,
        "num_repeated": data.num_repeated,
        "num_batches": data.num_batches,
        "num_trained": data.num_trained,
    }
    return [
        ServedRow(
            **given,
            module_class=use.kind.__name__,
            place=use.place,
            num_called=use.once,
            num_called_again=use.again,
            num_training=use.training,
            num_with_graph=use.with_graph,
            dropouts=tuple(use.dropouts),
            batch_norms=tuple(use.batch_norms),
            branches_on_mode=branches_on_mode(use.kind),
        )
        for use in data.uses.values()
    ] or [ServedRow(**given)]
