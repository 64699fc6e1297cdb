"""Where a watched process is tapped: the few names of torch that every training run goes through.

Installed once, when torch has been imported, and only passing on to a `Session`. What is tapped
is a class or a module of torch, never an object of the script's: nothing of ours is copied,
pickled or saved with a model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.calls import CallTap

if TYPE_CHECKING:
    from traindoctor.instruments.dynamics import Dynamics
    from traindoctor.watching.session import Session


def tap(session: Session) -> None:
    """Tap modules, backward passes and compilation."""
    import torch

    if session.dynamics is not None:
        _modules(session, session.dynamics)
    torch.autograd.backward = _backward(session, torch.autograd.backward)
    torch.autograd.grad = _grad(session, torch.autograd.grad)
    _compilation(session)


def _modules(session: Session, dynamics: Dynamics) -> None:
    from torch import nn

    original: Callable[..., Any] = nn.Module.__call__
    clock, calls, inside = session.clock, session.calls, dynamics.state.inside
    heard = functools.partial(CallTap(dynamics).told, original)

    @functools.wraps(original)
    def call(*given: Any, **kwargs: Any) -> Any:
        if calls.is_deaf:
            return original(*given, **kwargs)  # mostly, and handed on as it is
        if calls.is_inside and session.watcher is None and not inside:
            calls.is_deaf = True
            return original(*given, **kwargs)
        module, args = given[0], given[1:]
        if session.is_off:
            return heard(module, args, kwargs)
        if session.watcher is not None:
            return _closely(session, heard, module, args, kwargs)
        if calls.is_inside:
            return heard(module, args, kwargs)
        calls.is_inside, start = True, clock()
        try:
            session.take(calls.root_begins, module, args, kwargs)
            output = heard(module, args, kwargs)
            calls.root_returned(output)
        finally:
            calls.is_inside = calls.is_deaf = False
            session.meter.since.forward_seconds += clock() - start
        return output

    nn.Module.__call__ = call  # type: ignore[method-assign]
    session.uncalled = lambda: setattr(nn.Module, "__call__", original)


def _closely(
    session: Session, heard: Callable[..., Any], module: Any, args: Any, kwargs: Any
) -> Any:
    """Call a module while its inner modules are seen as well."""
    is_root, start = not session.calls.is_inside, session.clock()
    session.calls.is_inside = True
    try:
        if is_root:
            session.take(session.calls.root_begins, module, args, kwargs)
        session.calls.inner_begins(module, args, kwargs)
        output = heard(module, args, kwargs)
        session.calls.inner_returned(module, args, output)
        if is_root:
            session.calls.root_returned(output)
    finally:
        if is_root:
            session.calls.is_inside = session.calls.is_deaf = False
            session.meter.since.forward_seconds += session.clock() - start
    return output


def _backward(session: Session, original: Callable[..., Any]) -> Callable[..., Any]:
    clock = session.clock

    @functools.wraps(original)
    def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        if session.is_off:
            return original(tensors, *args, **kwargs)
        session.take(session.backwards.begins, tensors, kwargs)
        start = clock()
        result = original(tensors, *args, **kwargs)
        session.take(session.backwards.ended, clock() - start)
        return result

    return backward


def _grad(session: Session, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def grad(*args: Any, **kwargs: Any) -> Any:
        # A penalty's gradient is part of a loss to come; one without a graph is a pass of its own.
        session.recorder.num_passes += not kwargs.get("create_graph")
        return original(*args, **kwargs)

    return grad


def _compilation(session: Session) -> None:
    """Leave modules alone from the moment on that something is compiled."""
    import torch
    from torch import nn

    compile_function, compile_module = torch.compile, nn.Module.compile

    @functools.wraps(compile_function)
    def compiled(*args: Any, **kwargs: Any) -> Any:
        session.compiles()
        return compile_function(*args, **kwargs)

    @functools.wraps(compile_module)
    def compiled_module(self: Any, *args: Any, **kwargs: Any) -> None:
        session.compiles()
        compile_module(self, *args, **kwargs)

    torch.compile = compiled
    nn.Module.compile = compiled_module  # type: ignore[method-assign]
