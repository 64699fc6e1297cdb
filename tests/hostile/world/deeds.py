"""What a model does to its process and to torch while it runs, by name."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from tests.hostile.world.models import Net
from torch import nn


def flood(_: Any) -> None:
    print("\0\x1b[31m rubbish" * 20_000)
    print("\x1b]0;title\x07" * 2_000, file=sys.stderr)


def patch(owner: Any, name: str) -> Callable[[Any], None]:
    """Return a deed that wraps one of torch's functions, again and again."""

    def act(_: Any) -> None:
        original = getattr(owner, name)
        setattr(owner, name, lambda *args, **kwargs: original(*args, **kwargs))  # noqa: PLW0108

    return act


ORIGINALS = {
    (owner, name): vars(owner)[name]
    for owner, name in (
        (torch.Tensor, "backward"),
        (torch.autograd, "backward"),
        (torch.autograd, "grad"),
        (nn.Module, "__call__"),
        (nn.Module, "_call_impl"),
        (nn.Module, "train"),
        (torch.optim.Optimizer, "zero_grad"),
        (torch.optim.Adam, "step"),
        (torch.optim.SGD, "step"),
        (nn.functional, "cross_entropy"),
        (nn.utils, "clip_grad_norm_"),
        (torch, "manual_seed"),
        (torch, "load"),
        (torch.utils.data.DataLoader, "__iter__"),
    )
}


def undo_patches(_: Any) -> None:
    """Put torch back as it came, whoever has changed it since."""
    for (owner, name), original in ORIGINALS.items():
        setattr(owner, name, original)


def delete(*names: str) -> Callable[[Any], None]:
    def act(net: Any) -> None:
        for name in names:
            owner, _, last = name.rpartition(".")
            part = net.get_submodule(owner)
            if hasattr(part, last):
                delattr(part, last)

    return act


def replace_weight(net: Any) -> None:
    net.head.weight = nn.Parameter(net.head.weight.detach() * 1)


def become(net: Any) -> None:
    net.__class__ = type("Other", (Net,), {})


def forget_hooks(net: Any) -> None:
    for module in net.modules():
        for name in vars(module):
            if name.endswith("_hooks"):
                vars(module)[name].clear()


def set_forward(net: Any) -> None:
    net.head.forward = lambda x: nn.functional.linear(x, net.head.weight)


DEEDS: dict[str, Callable[[Any], None]] = {
    "flood": flood,
    "no stdout": lambda _: setattr(sys, "stdout", None),
    "closed stdout": lambda _: sys.stdout.close() if sys.stdout else None,
    "no stderr": lambda _: setattr(sys, "stderr", None),
    "changes folder": lambda _: os.chdir("/"),
    "double": lambda _: torch.set_default_dtype(torch.float64),
    "meta": lambda _: torch.set_default_device("meta"),
    "no gradients": lambda _: torch.set_grad_enabled(False),
    "deterministic": lambda _: torch.use_deterministic_algorithms(True),
    "anomaly": lambda _: torch.autograd.set_detect_anomaly(True),
    "threads": lambda _: torch.set_num_threads(1),
    "seeds": lambda _: (random.seed(0), np.random.seed(0), torch.manual_seed(0)),
    "no warnings": lambda _: warnings.simplefilter("error"),
    "warns": lambda _: warnings.warn("\x1b[31mwarned\x1b[0m", stacklevel=1),
    "no logging": lambda _: logging.disable(logging.CRITICAL),
    "no recursion": lambda _: sys.setrecursionlimit(400),
    "no collection": lambda _: gc.disable(),
    "signals": lambda _: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "alarm": lambda _: signal.setitimer(signal.ITIMER_REAL, 0),
    "tracing": lambda _: sys.settrace(None),
    "excepthook": lambda _: setattr(sys, "excepthook", lambda *_: None),
    "modules": lambda _: sys.modules.pop("traindoctor.instruments.hooks", None),
    "thread": lambda _: threading.Thread(target=lambda: None).start(),
    "environment": lambda _: os.environ.pop("PATH", None),
    "path": lambda _: sys.path.clear(),
    "no attribute": delete("head.bias"),
    "no layer": delete("first"),
    "other weight": replace_weight,
    "becomes another": become,
    "forgets hooks": forget_hooks,
    "other forward": set_forward,
    "eval": lambda net: net.eval(),
    "freezes": lambda net: net.requires_grad_(False),
    "to double": lambda net: net.double(),
    "clears gradients": lambda net: net.zero_grad(),
    "fills with NaN": lambda net: net.head.weight.data.fill_(float("nan")),
    "undoes patches": undo_patches,
    **{
        f"patches {getattr(owner, '__name__', owner)}.{name}": patch(owner, name)
        for owner, name in ORIGINALS
    },
}
