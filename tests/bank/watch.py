"""What a program does when it is simply run: the bank's own loop, as plain as it can be."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook


@dataclass(slots=True)
class Seen:
    """What a run showed.

    Attributes:
        losses: the value at each backward pass.
        num_batches: batches that the loader gave.
        num_steps: optimizer steps taken.
        num_stale: backward passes that found gradients other than 0 to add to.
        num_held_twice: how many more parameters the optimizers hold than there are.
        rates: the largest learning rate of each step.
        norms: the norm of the gradients that each step used.
        error: what ended the run early.
        gradients: of each trainable parameter, the largest absolute value at the first backward
            pass that gave it one; None where none ever did.
        moved: names of the parameters that are not what they were at the start.
        weights_are_finite: whether every parameter is finite at the end.
        is_training: whether the model is in train mode at the end.
        warnings: what was warned of.
    """

    losses: list[float] = field(default_factory=list)
    num_batches: int = 0
    num_steps: int = 0
    num_stale: int = 0
    num_held_twice: int = 0
    rates: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    error: Exception | None = None
    gradients: dict[str, float | None] = field(default_factory=dict)
    moved: frozenset[str] = frozenset()
    weights_are_finite: bool = True
    is_training: bool = True
    warnings: list[str] = field(default_factory=list)


def load(file: Path, factory: str) -> dict[str, Any]:
    """Import a program by its path and return what its factory hands over."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with contextlib.redirect_stdout(io.StringIO()):
        target = getattr(module, factory)()
    return target if isinstance(target, dict) else taken_apart(target)


def taken_apart(trainer: Any) -> dict[str, Any]:
    """Return a `transformers.Trainer` as a target whose step is the plainest that it takes."""
    optimizer = trainer.create_optimizer()

    def step(model: torch.nn.Module, batch: Any, _: Any) -> None:
        optimizer.zero_grad()
        trainer.compute_loss(model, batch).backward()
        optimizer.step()

    return {
        "model": trainer.model,
        "loader": trainer.get_train_dataloader(),
        "optimizer": optimizer,
        "train_step": step,
    }


def run(target: dict[str, Any], *, epochs: int = 2, same_batch: int = 0) -> Seen:
    """Train as the target says and note what happens.

    Args:
        target: what a factory handed over.
        epochs: how often to go over the data.
        same_batch: train this often on the first batch instead.
    """
    seen = Seen()
    model = target["model"]
    groups = [group for optimizer in optimizers_of(target) for group in optimizer.param_groups]
    held = [id(parameter) for group in groups for parameter in group["params"]]
    seen.num_held_twice = len(held) - len(set(held))
    model.train()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    torch.manual_seed(0)
    quiet = contextlib.redirect_stdout(io.StringIO())
    with recorded(seen, model), quiet, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if "train_loop" in target:
                loop = target["train_loop"]
                loader = Repeated(target["loader"], seen, same_batch)
                loop(model, loader, target["optimizer"], 1 if same_batch else epochs)
            else:
                train(target, Repeated(target["loader"], seen, same_batch), epochs)
        except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
            seen.error = error
    seen.warnings = [str(warning.message) for warning in caught]
    seen.is_training = model.training
    after = dict(model.named_parameters())
    seen.moved = frozenset(
        name
        for name, value in before.items()
        if not value.is_meta and not torch.equal(value, after[name].detach())
    )
    seen.weights_are_finite = all(
        bool(parameter.isfinite().all()) for parameter in after.values() if not parameter.is_meta
    )
    return seen


class Repeated:
    """A loader that counts, and that gives its first batch again and again where asked to."""

    def __init__(self, loader: Any, seen: Seen, times: int) -> None:
        self.loader, self.seen, self.times = loader, seen, times

    def __len__(self) -> int:
        return self.times or len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        batches = itertools.repeat(next(iter(self.loader)), self.times)
        for batch in batches if self.times else self.loader:
            self.seen.num_batches += 1
            yield batch


@contextlib.contextmanager
def recorded(seen: Seen, model: torch.nn.Module) -> Iterator[None]:
    """Note losses, gradients and steps while the context is open."""
    backward = torch.Tensor.backward

    def noting(loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        seen.losses.append(loss.item())
        gradients = [parameter.grad for parameter in model.parameters()]
        seen.num_stale += any(gradient is not None and gradient.any() for gradient in gradients)
        backward(loss, *args, **kwargs)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and seen.gradients.get(name) is None:
                gradient = parameter.grad
                seen.gradients[name] = None if gradient is None else gradient.abs().max().item()

    def count(optimizer: Any, *_: Any) -> None:
        seen.num_steps += 1
        seen.rates.append(max(group["lr"] for group in optimizer.param_groups))
        held = [p for group in optimizer.param_groups for p in group["params"]]
        squares = [p.grad.pow(2).sum().item() for p in held if p.grad is not None]
        seen.norms.append(sum(squares) ** 0.5)

    hook = register_optimizer_step_post_hook(count)
    torch.Tensor.backward = noting  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        torch.Tensor.backward = backward  # type: ignore[method-assign]
        hook.remove()


def train(target: dict[str, Any], loader: Repeated, epochs: int) -> None:
    """Go over the data with the target's train step, or with a canonical one."""
    step: Callable[..., Any] | None = target.get("train_step")
    count = itertools.count(1)
    for _ in range(1 if loader.times else epochs):
        for batch in loader:
            if step is not None:
                step(target["model"], batch, target["optimizer"])
            else:
                train_step(target, batch, next(count) % target.get("accumulation_steps", 1) == 0)


def train_step(target: dict[str, Any], batch: Any, is_step: bool) -> None:
    """Take one canonical step: forward, loss, backward, clip, step."""
    model = target["model"]
    (loss_of(target, model, batch) / target.get("accumulation_steps", 1)).backward()
    if is_step:
        if "max_grad_norm" in target:
            torch.nn.utils.clip_grad_norm_(model.parameters(), target["max_grad_norm"])
        for optimizer in optimizers_of(target):
            optimizer.step()
            optimizer.zero_grad()
        model.zero_grad()
        if "scheduler" in target:
            target["scheduler"].step()


def optimizers_of(target: dict[str, Any]) -> list[torch.optim.Optimizer]:
    """Return the target's optimizers, however many."""
    optimizer = target["optimizer"]
    return optimizer if isinstance(optimizer, list) else [optimizer]


def loss_of(target: dict[str, Any], model: torch.nn.Module, batch: Any) -> torch.Tensor:
    """Return the loss of a batch, by the loss function or from the model's own output."""
    loss_fn = target.get("loss_fn")
    if isinstance(batch, tuple | list):
        outputs, labels = model(batch[0]), batch[1]
    elif not isinstance(batch, dict) and not is_dataclass(batch):
        raise TypeError(f"a batch of type {type(batch).__name__}")
    else:
        named = dict(batch) if isinstance(batch, dict) else vars(batch)
        labels = named["labels"]
        if "labels" not in inspect.signature(model.forward).parameters and loss_fn is not None:
            named = {key: value for key, value in named.items() if key != "labels"}
        outputs = model(**named)
    if loss_fn is None:
        loss: torch.Tensor = outputs["loss"]
        return loss
    wants_batch = list(inspect.signature(loss_fn).parameters)[1] == "batch"
    result: torch.Tensor = loss_fn(outputs, batch if wants_batch else labels)
    return result
