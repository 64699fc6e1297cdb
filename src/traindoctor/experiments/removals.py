"""What may be taken away from a setup, one thing at a time, to see whether it trains without it."""
# ruff: noqa: ARG001  every change is called alike, and the functions that replace others too

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from traindoctor.experiments.lab import Lab
from traindoctor.target.patches import inner_replaced, replaced

if TYPE_CHECKING:
    import torch

Optimizers = Sequence["torch.optim.Optimizer"]
Change = Callable[[Lab, Optimizers], AbstractContextManager[None]]
Setting = tuple[Callable[[float], None], float]  # what sets a number, and its value
LOW_PRECISION = "low precision"
_DROPOUTS = (
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_alpha_dropout",
)


@contextmanager
def _clipping(lab: Lab, optimizers: Optimizers) -> Iterator[None]:
    """Lift the limit of every call that clips gradients, the user's and the loop's own."""
    from torch.nn import utils

    functions = {
        utils.clip_grad_norm_,
        utils.clip_grad_value_,
        getattr(utils, "clip_grads_with_norm_", utils.clip_grad_norm_),
    }
    with ExitStack() as stack:
        for function in functions:
            stack.enter_context(inner_replaced(function, _without_limit))
        yield


def _without_limit(original: Any) -> Any:
    signature = inspect.signature(original)

    def clip(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        given["max_norm" if "max_norm" in given else "clip_value"] = math.inf
        return original(**given)

    return clip


@contextmanager
def _decay(lab: Lab, optimizers: Optimizers) -> Iterator[None]:
    groups = [g for o in optimizers for g in o.param_groups if "weight_decay" in g]
    with set_to_zero(
        *((functools.partial(g.__setitem__, "weight_decay"), g["weight_decay"]) for g in groups)
    ):
        yield


@contextmanager
def no_dropout(model: torch.nn.Module) -> Iterator[None]:
    """Switch dropout off, also where the user's forward calls it as a function."""
    import torch.nn.functional as F

    with ExitStack() as stack:
        stack.enter_context(set_to_zero(*_dropouts(model)))
        for name in _DROPOUTS:
            stack.enter_context(replaced(F, name, _as_it_came))
        yield


def _as_it_came(original: Any) -> Any:
    def dropout(input: Any, *_: Any, **__: Any) -> Any:
        return input

    return dropout


@contextmanager
def _scaler(lab: Lab, optimizers: Optimizers) -> Iterator[None]:
    scaler = lab.setup.scaler
    if scaler is None:
        yield
        return
    was_enabled, scaler._enabled = scaler._enabled, False
    try:
        yield
    finally:
        scaler._enabled = was_enabled


@contextmanager
def _autocast(lab: Lab, optimizers: Optimizers) -> Iterator[None]:
    import torch

    def make(original: Any) -> Any:
        def enter(self: Any) -> Any:
            self._enabled = False
            return original(self)

        return enter

    with replaced(torch.amp.autocast_mode.autocast, "__enter__", make):
        yield


@contextmanager
def _schedule(lab: Lab, optimizers: Optimizers) -> Iterator[None]:
    """Leave rates as they begin: torch's schedulers step once, as they are built, and no more."""
    from torch.optim.lr_scheduler import LRScheduler

    def make(original: Any) -> Any:
        def step(self: Any, *args: Any, **kwargs: Any) -> Any:
            return original(self, *args, **kwargs) if self.last_epoch < 0 else None

        return step

    with replaced(LRScheduler, "step", make):
        yield


@contextmanager
def _freezing(lab: Lab, optimizers: Optimizers) -> Iterator[None]:
    """Train copies of the frozen parameters as well; the parameters themselves are not written."""
    from torch.autograd.grad_mode import _unsafe_preserve_version_counter

    frozen = [
        p
        for p in lab.setup.model.parameters()
        if not p.requires_grad and (p.is_floating_point() or p.is_complex())
    ]
    before = [p.data for p in frozen]
    # A frozen parameter that was not copied is known by its version to be as it was.
    with _unsafe_preserve_version_counter(tuple(frozen)):
        for p in frozen:
            p.data = p.data.clone()
            p.requires_grad_(True)
        try:
            with _omission(lab, optimizers):
                yield
        finally:
            for p, data in zip(frozen, before, strict=True):
                p.requires_grad_(False)
                p.data, p.grad = data, None


@contextmanager
def _omission(lab: Lab, optimizers: Optimizers) -> Iterator[None]:
    """Give the first optimizer every trainable parameter that none of them holds."""
    held = {id(p) for o in optimizers for g in o.param_groups for p in g["params"]}
    left_out = [p for p in lab.setup.model.parameters() if p.requires_grad and id(p) not in held]
    members = optimizers[0].param_groups[0]["params"]
    members += left_out
    try:
        yield
    finally:
        del members[len(members) - len(left_out) :]


@contextmanager
def _low_precision(lab: Lab, optimizers: Optimizers) -> Iterator[None]:
    """Keep weights and buffers in float32."""
    import torch

    model = lab.setup.model
    low = [
        t
        for t in (*model.parameters(), *model.buffers())
        if t.dtype in (torch.float16, torch.bfloat16)
    ]
    before = [t.data for t in low]
    for t in low:
        t.data = t.data.float()
        t.grad = None
    try:
        yield
    finally:
        for t, data in zip(low, before, strict=True):
            t.data, t.grad = data, None


WITHOUT: Mapping[str, Change] = {
    "clipping": _clipping,
    "weight decay": _decay,
    "dropout": lambda lab, _: no_dropout(lab.setup.model),
    "the scaler": _scaler,
    "autocast": _autocast,
    "the schedule": _schedule,
    "freezing": _freezing,
    "leaving parameters out": _omission,
    LOW_PRECISION: _low_precision,
}


def _dropouts(model: torch.nn.Module) -> Iterator[Setting]:
    """Yield every probability of a model's modules with which something is dropped."""
    for module in model.modules():
        for name in ("p", "dropout", "attention_dropout"):
            value = getattr(module, name, None)
            if isinstance(value, float) and 0 < value < 1:
                yield functools.partial(setattr, module, name), value


@contextmanager
def set_to_zero(*settings: Setting) -> Iterator[None]:
    """Set numbers to 0 while inside."""
    for change, _ in settings:
        change(0.0)
    try:
        yield
    finally:
        for change, value in settings:
            change(value)
