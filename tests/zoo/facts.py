"""What healthy training looks like in figures: `python -m tests.zoo.facts --output FILE`.

The loop here is slow and obvious on purpose and shares no code with traindoctor, so that its
figures can be held against the thresholds of probes.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tests.zoo.catalog import SPECIMENS, missing, named
from tests.zoo.pool import Row, in_pool
from torch import Tensor, nn

OVERFIT_STEPS = 60
LAST_FEW = 5


class Program:
    """A specimen's target, ready to be stepped by hand."""

    def __init__(self, name: str, lr: float | None = None) -> None:
        target = named(name).build()
        if not isinstance(target, dict):  # a transformers.Trainer
            target = {"model": target.model, "loader": target.get_train_dataloader()}
        self.target: dict[str, Any] = target
        self.model: nn.Module = target["model"].train()
        self.loader = target["loader"]
        given = target.get("optimizer")
        self.own_step: Callable[..., Any] | None = target.get("train_step")
        if self.own_step is None and (lr is not None or given is None):
            trainable = [p for p in self.model.parameters() if p.requires_grad]
            sparse = isinstance(given, torch.optim.Adagrad)
            kind = torch.optim.Adagrad if sparse else torch.optim.AdamW
            given = kind(trainable, lr=lr or 1e-3)
        self.optimizer = given

    def loss(self, batch: Any) -> Tensor:
        """Return the loss of a batch, as the specimen's own conventions define it."""
        if "train_loop" in self.target:
            return F.cross_entropy(self.model(batch[0]), batch[1])
        if isinstance(batch, dict):
            outputs = self.model(**batch)
        else:
            outputs = self.model(batch[0] if isinstance(batch, (tuple, list)) else batch)
        loss_fn = self.target.get("loss_fn")
        if loss_fn is None:
            return outputs["loss"]
        wants_batch = "batch" in inspect.signature(loss_fn).parameters
        return loss_fn(outputs, batch if wants_batch else batch[1])

    def step(self, batch: Any) -> float:
        """Take one optimizer step and return the loss before it."""
        if self.own_step is not None:
            wanted = inspect.signature(self.own_step).parameters
            known = {**self.target, "model": self.model, "batch": batch}
            loss = self.own_step(**{name: known[name] for name in wanted})
            if "optimizer" in wanted:
                return float(loss)
        else:
            loss = self.loss(batch)
        self.optimizer = self.optimizer or self.target["optimizer"]
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss)

    def gradients(self, batch: Any) -> dict[str, Tensor | None]:
        """Return each trainable parameter's gradient on one batch, and leave none behind."""
        self.model.zero_grad(set_to_none=True)
        if self.own_step is not None:
            self.step(batch)
        else:
            self.loss(batch).backward()
        found = {
            name: None if p.grad is None else p.grad.detach().to_dense().clone()
            for name, p in self.model.named_parameters()
            if p.requires_grad
        }
        self.model.zero_grad(set_to_none=True)
        return found


def measure(name: str) -> Row:
    """Return every figure of one specimen."""
    started = time.perf_counter()
    program = Program(name)
    build_seconds = time.perf_counter() - started
    stream = endless(program.loader)
    with cross_entropies() as seen:
        gradients = [program.gradients(next(stream)) for _ in range(4)]
    trainable = gradients[0]
    matrices = [
        float(g.float().square().mean().sqrt())
        for name, g in trainable.items()
        if g is not None and g.ndim >= 2
    ]
    moving = [rms for rms in matrices if rms > 0]
    clock = time.perf_counter()
    losses = [program.step(next(stream)) for _ in range(3)]
    step_seconds = (time.perf_counter() - clock) / 3
    later = program.gradients(next(stream))
    classes, first_value = seen[0] if seen else (None, None)
    return {
        "name": name,
        "family": named(name).family,
        "slow": named(name).slow,
        "num_parameters": sum(p.numel() for p in program.model.parameters()),
        "num_tensors": len(trainable),
        "num_none": sum(all(g[n] is None for g in gradients) for n in trainable),
        "num_sometimes_none": sum(
            0 < sum(g[n] is None for g in gradients) < len(gradients) for n in trainable
        ),
        "num_zero_at_first": num_zero(trainable),
        "num_zero_at_step_3": num_zero(later),
        "gradient_rms_ratio": min(moving) / max(moving) if moving else None,
        "gradient_rms_max": max(moving, default=None),
        "losses": losses,
        "build_seconds": build_seconds,
        "five_steps_seconds": 5 * step_seconds,
        "num_classes": classes,
        "first_cross_entropy_over_ln_classes": (
            first_value / math.log(classes) if classes and classes > 1 else None
        ),
        "overfit_own": overfit(name, None),
        "overfit_1e-3": overfit(name, 1e-3),
        "overfit_1e-2": overfit(name, 1e-2),
    }


def num_zero(gradients: dict[str, Tensor | None]) -> int:
    """Count the gradients that are there and zero everywhere."""
    return sum(g is not None and not bool(g.any()) for g in gradients.values())


def overfit(name: str, lr: float | None) -> Row:
    """Train on one batch, dropout on, and return the loss at both ends (own rate if None)."""
    program = Program(name, lr)
    batch = next(iter(program.loader))
    losses = [program.step(batch) for _ in range(OVERFIT_STEPS)]
    tail = losses[-LAST_FEW:]
    return {"first": losses[0], "last": sum(tail) / len(tail), "best": min(losses)}


def endless(loader: Any) -> Iterator[Any]:
    """Yield batches, epoch after epoch."""
    while True:
        yield from loader


@contextmanager
def cross_entropies() -> Iterator[list[tuple[int, float]]]:
    """Collect (number of classes, mean value) of every cross-entropy over class indices."""
    seen: list[tuple[int, float]] = []
    original = F.cross_entropy

    def watched(input: Tensor, target: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        value = original(input, target, *args, **kwargs)
        if not target.is_floating_point() and input.ndim > 1:
            mean = original(
                input.detach().float(), target, ignore_index=kwargs.get("ignore_index", -100)
            )
            seen.append((input.shape[1], float(mean)))
        return value

    F.cross_entropy = watched
    try:
        yield seen
    finally:
        F.cross_entropy = original


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    names = [s.name for s in SPECIMENS if options.only in s.name and not missing(s)]
    rows = []
    for row in in_pool(measure, names, options.jobs):
        rows.append(row)
        print(row["name"], row["overfit_1e-3"], flush=True)
    options.output.write_text(json.dumps(sorted(rows, key=lambda row: row["name"]), indent=1))


if __name__ == "__main__":
    main()
