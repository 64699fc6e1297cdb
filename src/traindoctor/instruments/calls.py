"""Hears of the modules that a program calls itself, and of those inside them where asked to."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.dynamic import State

if TYPE_CHECKING:
    from traindoctor.instruments.dynamics import Dynamics


@contextmanager
def calls_told(dynamics: Dynamics) -> Iterator[None]:
    """Tell of calls that are inside no other, in this thread, of modules that are trained.

    `nn.Module.__call__` is replaced, and no module is touched: what a script copies or saves holds
    nothing of ours. What is compiled is left alone: from then on no call is told.
    """
    import torch
    from torch import nn

    tap = CallTap(dynamics)
    originals = (
        (nn.Module, "__call__", tap.call(nn.Module.__call__)),
        (nn.Module, "compile", tap.compiling(nn.Module.compile)),
        (torch, "compile", tap.compiling(torch.compile)),
    )
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in originals]
    for owner, name, function in originals:
        setattr(owner, name, function)
    try:
        yield
    finally:
        for owner, name, original in before:
            setattr(owner, name, original)


class CallTap:
    """Tells of calls. Whoever has replaced `nn.Module.__call__` already hands them on to `told`."""

    def __init__(self, dynamics: Dynamics) -> None:
        self.dynamics = dynamics
        self.state: State = dynamics.state
        self.thread = threading.get_ident()
        self.is_inside = False
        self.untap: Any = None

    def call(self, original: Any) -> Any:
        """Return what stands for `nn.Module.__call__`."""
        from torch import nn

        state, tap = self.state, self

        @functools.wraps(original)
        def call(module: Any, *args: Any, **kwargs: Any) -> Any:
            if tap.is_inside and not state.inside:
                return original(module, *args, **kwargs)
            return tap.told(original, module, args, kwargs)

        self.untap = lambda: setattr(nn.Module, "__call__", original)
        return call

    def told(self, original: Any, module: Any, args: Any, kwargs: Any) -> Any:
        """Call a module, and tell of it before and after."""
        if threading.get_ident() != self.thread:
            return original(module, *args, **kwargs)
        if self.is_inside:
            output = original(module, *args, **kwargs)
            self.dynamics.tell("inner_ends", module, output)
            return output
        self.is_inside = True
        try:
            is_trained = self.is_trained(module)
            if is_trained:
                self.dynamics.tell("call_begins", module)
            output = original(module, *args, **kwargs)
            if self.state.inside:
                self.dynamics.tell("inner_ends", module, output)
            if is_trained:
                self.dynamics.tell("call_ends", module, output)
            return output
        finally:
            self.is_inside = False

    def is_trained(self, module: Any) -> bool:
        """Tell whether a module is trained; one that cannot be looked into is not."""
        try:
            return self.state.is_trained(module)
        except Exception:  # a module of the user's may refuse anything
            return False

    def compiling(self, original: Any) -> Any:
        """Return what stands for a function that compiles."""

        @functools.wraps(original)
        def compiling(*args: Any, **kwargs: Any) -> Any:
            if self.untap is not None:
                self.untap()
            return original(*args, **kwargs)

        return compiling
