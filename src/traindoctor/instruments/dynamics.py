"""Watches how a run goes on: what is called when, what is kept, switched and reported.

Everything here needs only a recorder: it can be installed before a script has made its model. One
hub hears of backward passes, steps and calls, and tells its parts, each of which keeps one table.
A part that fails is switched off and named in the fact `switched_off`; the run goes on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import MappingProxyType
from typing import Any

from traindoctor.instruments.autocasts import Autocasts
from traindoctor.instruments.calls import calls_told
from traindoctor.instruments.dynamic import Part, State
from traindoctor.instruments.flips import Flips
from traindoctor.instruments.kept_graphs import KeptGraphs
from traindoctor.instruments.logged import Logged
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.reported import Reported
from traindoctor.instruments.seeds import Seeds
from traindoctor.instruments.served import Served
from traindoctor.instruments.unheld import Unheld

EVENTS = (
    "backward_begins",
    "gradient_begins",
    "step_begins",
    "call_begins",
    "call_ends",
    "inner_ends",
    "write",
)


@contextmanager
def dynamics_seen(
    recorder: Recorder, names: Mapping[int, str] = MappingProxyType({}), hears_calls: bool = True
) -> Iterator[Dynamics]:
    """Fill the tables graphs, kept, served, autocasts, flips, reports, seeds and warnings.

    Constant memory, whatever the length of the run; a few microseconds for each backward pass,
    step and call of a model; no value of an accelerator's is read before the rows are written.
    They are written at the end, and whenever `write` is called before.

    Args:
        recorder: takes the rows.
        names: of parameters, by `id`, where they are known.
        hears_calls: False where the caller tells of modules' calls, by a `CallTap` of its own.
    """
    dynamics = Dynamics(recorder, names)
    with ExitStack() as stack:
        stack.enter_context(_passes_told(dynamics))
        stack.enter_context(recorder.stepping.told(dynamics.step_begins, dynamics.step_ended))
        if hears_calls:
            stack.enter_context(calls_told(dynamics))
        for part in dynamics.parts:
            stack.enter_context(part.installed())
        try:
            yield dynamics
        finally:
            dynamics.write()


class Dynamics:
    """The hub: it counts, and passes on what happens."""

    def __init__(self, recorder: Recorder, names: Mapping[int, str]) -> None:
        self.state = State(recorder, names)
        served = Served(self.state)
        self.parts: list[Part] = [
            served,
            KeptGraphs(self.state),
            Autocasts(self.state),
            Flips(self.state),
            Reported(self.state, served),
            Logged(self.state),
            Seeds(self.state),
            Unheld(self.state),
        ]

        self.listen()
        self.state.switched_off = self.listen

    def listen(self) -> None:
        """Tell from now on those parts that are not off."""
        self.listeners = {name: self._listening(name) for name in EVENTS}

    def _listening(self, event: str) -> list[Callable[..., Any]]:
        """Return what the parts do at an event, where they do anything."""
        idle = getattr(Part, event)
        acting = [p for p in self.parts if getattr(type(p), event) is not idle and not p.is_off]
        return [getattr(part, event) for part in acting]

    def tell(self, event: str, *facts: Any) -> None:
        """Let the parts know; one that raises is not asked again."""
        for act in self.listeners[event]:
            try:
                act(*facts)
            except Exception as error:  # an instrument's failure is not the user's
                act.__self__.switch_off(error)  # type: ignore[attr-defined]  # a part's method

    def step_begins(self, optimizer: Any) -> None:
        """Take in a step; the first of an optimizer tells what is trained."""
        try:
            self.state.step_begins(optimizer)
        except Exception as error:  # nobody can tell any more what is trained
            for part in self.parts:
                part.switch_off(error)
        self.tell("step_begins", optimizer)

    def step_ended(self, _optimizer: Any) -> None:
        """Take in that it is over."""
        self.state.num_steps += 1

    def write(self) -> None:
        """Bring the recorder's tables up to date; may be called as often as wanted."""
        self.tell("write")


def _passes_told(dynamics: Dynamics) -> AbstractContextManager[None]:
    """Hear of `torch.autograd.backward` and `grad`; a call from inside another is not told."""
    import torch

    state, is_open = dynamics.state, [False]
    original, original_grad = torch.autograd.backward, torch.autograd.grad

    @functools.wraps(original)
    def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        if is_open[0]:
            return original(tensors, *args, **kwargs)
        is_open[0] = True
        try:
            retains, creates = asked_of(args, kwargs)
            dynamics.tell("backward_begins", _first(tensors), retains and not creates)
            result = original(tensors, *args, **kwargs)
            state.num_backwards += 1
            state.num_passes += 1
            return result
        finally:
            is_open[0] = False

    @functools.wraps(original_grad)
    def grad(outputs: Any, *args: Any, **kwargs: Any) -> Any:
        dynamics.tell("gradient_begins", _first(outputs))
        state.num_passes += 1
        return original_grad(outputs, *args, **kwargs)

    return _replaced({"backward": backward, "grad": grad})


@contextmanager
def _replaced(functions: dict[str, Any]) -> Iterator[None]:
    import torch

    originals = {name: getattr(torch.autograd, name) for name in functions}
    for name, function in functions.items():
        setattr(torch.autograd, name, function)
    try:
        yield
    finally:
        for name, function in originals.items():
            setattr(torch.autograd, name, function)


def asked_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[bool, bool]:
    """Tell whether `autograd.backward(tensors, *args, **kwargs)` retains and creates a graph.

    `Tensor.backward` passes both by position. With nothing said, what creates one retains it.
    """
    _, retain_graph, create_graph, *_ = (*args, None, None, None)
    said = kwargs.get("retain_graph", retain_graph)
    creates = bool(kwargs.get("create_graph", create_graph))
    return creates if said is None else bool(said), creates


def _first(tensors: Any) -> Any:
    """Return the tensor itself, or the first of several."""
    if isinstance(tensors, list | tuple):
        return tensors[0] if tensors else None
    return tensors
