"""Losses, optimizers, steps, loops, and what a factory makes of its parts, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from tests.hostile.world.things import (
    ERRORS,
    NAMES,
    Chameleon,
    Liar,
    LyingMapping,
    RaisingMapping,
    Touchy,
)
from torch import nn

from traindoctor.target.setup import TrainingSetup


def fail(error: str) -> Any:
    raise ERRORS[error]()


class Criterion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, outputs: Any, targets: Any) -> Any:
        return F.cross_entropy(outputs, targets) * self.scale

    def __getattr__(self, name: str) -> Any:
        if name == "reduction":
            raise RuntimeError("no reduction")
        return super().__getattr__(name)


LOSSES: dict[str, Callable[..., Any] | None] = {
    "plain": nn.CrossEntropyLoss(),
    "function": F.cross_entropy,
    "mse": F.mse_loss,
    "partial": partial(F.cross_entropy, reduction="none"),
    "own": Criterion(),
    "none": None,
    "class": nn.CrossEntropyLoss,
    "touchy": Touchy(),
    "chameleon": Chameleon(),
    "number": 3,  # type: ignore[dict-item]
    "built-in": max,
    "no arguments": lambda: 0,
    "returns None": lambda outputs, batch: None,
    "returns words": lambda outputs, batch: "low",
    "returns a number": lambda outputs, batch: 0.3,
    "returns NaN": lambda outputs, batch: outputs.sum() * float("nan"),
    "returns a vector": lambda outputs, batch: outputs.sum(1),
    "returns integers": lambda outputs, batch: outputs.argmax(),
    "returns complex": lambda outputs, batch: outputs.sum() * 1j,
    "returns nothing at all": lambda outputs, batch: outputs[:0].sum(),
    "returns touchy": lambda outputs, batch: Touchy(),
    "returns infinity": lambda outputs, batch: outputs.sum() - float("inf"),
    "returns huge": lambda outputs, batch: outputs.sum() * 1e38,
    "no graph": lambda outputs, batch: outputs.detach().sum(),
    **{f"raises {name}": (lambda outputs, batch, e=name: fail(e)) for name in ERRORS},
}


class Steps(torch.optim.SGD):
    """An optimizer that does something else."""

    def __init__(self, parameters: Any, act: Callable[[Any], Any]) -> None:
        super().__init__(parameters, lr=0.1)
        self.act = act

    def step(self, closure: Any = None) -> Any:
        self.act(self)
        return super().step(closure)


class Bare:
    """No torch optimizer, but it has groups."""

    def __init__(self, groups: Any) -> None:
        self._groups = groups

    @property
    def param_groups(self) -> Any:
        return self._groups() if callable(self._groups) else self._groups

    def step(self) -> None:
        return None

    def zero_grad(self) -> None:
        return None


OPTIMIZERS: dict[str, Callable[[list[Any]], Any]] = {
    "plain": lambda p: torch.optim.AdamW(p, lr=1e-2),
    "none": lambda p: None,
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "lbfgs": torch.optim.LBFGS,
    "sparse": torch.optim.SparseAdam,
    "several": lambda p: [torch.optim.SGD(p[:1], 0.1), torch.optim.Adam(p[1:])],
    "twice": lambda p: [torch.optim.SGD(p, 0.1)] * 2,
    "no optimizers": lambda p: [],
    "others' parameters": lambda p: torch.optim.SGD([nn.Parameter(torch.ones(2))], 0.1),
    "no parameters": lambda p: Bare([]),
    "group without": lambda p: Bare([{}]),
    "groups None": lambda p: Bare(None),
    "groups raise": lambda p: Bare(lambda: fail("value")),
    "groups touchy": lambda p: Bare([{"params": [Touchy()], "lr": Touchy()}]),
    "rate NaN": lambda p: torch.optim.SGD(p, float("nan")),
    "rate huge": lambda p: torch.optim.SGD(p, 1e30),
    "rate tensor": lambda p: torch.optim.Adam(p, torch.tensor(0.1)),
    "rate words": lambda p: Bare([{"params": p, "lr": "0.1"}]),
    "step raises": lambda p: Steps(p, lambda _: fail("unspeakable")),
    "step exits": lambda p: Steps(p, lambda _: fail("exit")),
    "forgets groups": lambda p: Steps(p, lambda o: o.param_groups.clear()),
    "forgets state": lambda p: Steps(p, lambda o: o.state.clear()),
    "rate vanishes": lambda p: Steps(p, lambda o: o.param_groups[0].pop("lr")),
    "class": lambda p: torch.optim.SGD,
    "touchy": lambda p: Touchy(),
    "chameleon": lambda p: Chameleon(),
    "words": lambda p: "adam",
}


def never_ends(model: Any, loader: Any, optimizer: Any, loss_fn: Any) -> None:
    while True:
        for x, y in loader:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()


def swallows(model: Any, loader: Any, optimizer: Any, loss_fn: Any) -> None:
    for _ in range(3):
        try:
            for batch in loader:
                optimizer.zero_grad()
                loss_fn(model(batch[0]), batch[1]).backward()
                optimizer.step()
                fail("unspeakable")
        except BaseException:
            continue


def full(parts: dict[str, Any], **more: Any) -> Any:
    return TrainingSetup(**parts, **more)


FIELDS: dict[str, tuple[Any, ...]] = {
    "accumulation_steps": (0, -1, 2, 1.5, "2", True, None, 10**9),
    "max_grad_norm": (0, -1.0, "1", float("nan"), 1e-30),
    "epochs": (0, -3, "many", 2.5, 10**9),
    "device": ("nonsense", "meta", "cuda", 3, "cpu"),
    "validation_loader": (3, [], [None], "abc"),
    "scheduler": (3, "cosine", lambda: 0),
    "scaler": (3, "amp"),
    "train_step": (
        3,
        lambda: 0,
        lambda model, batch: None,
        lambda model, batch: fail("slotted"),
        lambda nonsense: nonsense,
        max,
    ),
    "train_loop": (
        3,
        lambda: 0,
        never_ends,
        swallows,
        lambda model, loader: fail("exit"),
        lambda model, loader: list(loader),
        lambda nonsense: 0,
    ),
}

RETURNS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "plain": lambda parts: tuple(parts.values()),
    "setup": full,
    "dict": dict,
    "list": lambda parts: list(parts.values()),
    "two": lambda parts: (parts["model"], parts["loader"]),
    "one": lambda parts: (parts["model"],),
    "five": lambda parts: (*parts.values(), 5),
    "model": lambda parts: parts["model"],
    "none": lambda parts: None,
    "words": lambda parts: "a setup",
    "number": lambda parts: 3,
    "nothing": lambda parts: (),
    "Nones": lambda parts: (None, None),
    "touchy": lambda parts: Touchy(),
    "two touchy": lambda parts: (Touchy(), Touchy()),
    "chameleon": lambda parts: Chameleon(),
    "liar": lambda parts: Liar(),
    "raising mapping": lambda parts: RaisingMapping(),
    "lying mapping": lambda parts: LyingMapping(),
    "generator": lambda parts: (part for part in parts.values()),
    "coroutine": lambda parts: asyncio.sleep(0),
    "class": lambda parts: TrainingSetup,
    "odd keys": lambda parts: {**parts, 3: None},
    "touchy value": lambda parts: {**parts, "scheduler": Touchy(), "scaler": Touchy()},
    **{f"key {name}": (lambda parts, key=key: {**parts, key: 1}) for name, key in NAMES.items()},
    **{f"raises {name}": (lambda parts, e=name: fail(e)) for name in ERRORS},
    **{
        f"{name} {number}": (lambda parts, n=name, v=value: full(parts, **{n: v}))
        for name, values in FIELDS.items()
        for number, value in enumerate(values)
    },
}
