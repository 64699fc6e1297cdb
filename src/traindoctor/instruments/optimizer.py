"""Records optimizer steps: gradients as the optimizer saw them, and what each step changed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.before import Before
from traindoctor.instruments.gaps import Gaps
from traindoctor.instruments.norms import norms, num_not_finite, share_zero
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.processes import part_of
from traindoctor.target.usercode import is_user_class, user_place
from traindoctor.target.valueless import has_values
from traindoctor.trace import GradientRow, StepRow, UpdateRow

if TYPE_CHECKING:
    import torch


@contextmanager
def steps_seen(
    recorder: Recorder,
    names: Mapping[int, str],
    orphans: Sequence[torch.nn.Parameter] = (),
    detail: bool = True,
    known: Sequence[torch.optim.Optimizer] = (),
) -> Iterator[None]:
    """Record every optimizer's steps while inside, through torch's global step hooks.

    Args:
        recorder: takes steps, and with `detail` gradients and updates.
        names: parameter names by `id`.
        orphans: trainable parameters that no optimizer holds; their gradients are recorded too.
        detail: keep statistics of each parameter (of large ones from a part of their elements).
        known: optimizers that have their numbers already; others are numbered as they step.
    """
    from torch.optim.optimizer import (
        register_optimizer_step_post_hook,
        register_optimizer_step_pre_hook,
    )

    watch = StepWatch(recorder, names, orphans, detail, known)
    handles = [
        register_optimizer_step_pre_hook(watch.before),
        register_optimizer_step_post_hook(watch.after),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class StepWatch:
    """What torch's step hooks call, before and after each step."""

    def __init__(
        self,
        recorder: Recorder,
        names: Mapping[int, str],
        orphans: Sequence[torch.nn.Parameter],
        detail: bool,
        known: Sequence[torch.optim.Optimizer],
    ) -> None:
        self.recorder, self.names, self.orphans, self.detail = recorder, names, orphans, detail
        self.keep: list[Any] = []  # holds the optimizers, so that ids stay theirs
        self.know(known)
        # By optimizer: the weights' norms before and after its last step.
        self.weights: dict[int, tuple[list[float], list[float]]] = {}
        self.gaps = Gaps(recorder, names)
        self.last_backward: dict[int, int] = {}
        self.open: dict[int, dict[str, Any]] = {}

    def know(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Number optimizers in this order, but for those that have their numbers."""
        self.keep[:] = optimizers
        for optimizer in optimizers:
            self.recorder.optimizers.of(optimizer)

    def before(self, optimizer: Any, *_: Any) -> None:
        """Note the state before a step. Re-entry through `super().step()` counts once."""
        if id(optimizer) in self.open:
            self.open[id(optimizer)]["depth"] += 1
            return
        held = [p for group in optimizer.param_groups for p in group["params"]]
        with_gradient = [p for p in held if p.grad is not None]
        sizes = norms([p.grad for p in with_gradient if p.grad is not None])
        filled = {id(p) for p, size in zip(with_gradient, sizes, strict=True) if size != 0}
        seconds = self.recorder.clock()
        state: dict[str, Any] = {
            "depth": 1,
            "held": held,
            "place": user_place(sys._getframe(1)),
            "sizes": sizes,
        }
        state["num_gradients"] = len(with_gradient)
        state["num_zero"] = len(with_gradient) - len(filled)
        state["stale"], state["cleared"], state["reused"] = self.recorder.ledger.step_begins(
            id(optimizer), {id(p) for p in held}, filled
        )
        state["rates"] = tuple(
            float(group["lr"]) for group in optimizer.param_groups if "lr" in group
        )
        if self.detail:
            self._note_gradients(held)
            state["sizes_before"] = norms(held)
            state["weights"] = Before(held)
            state["reverted"] = self._num_reverted(optimizer, state["sizes_before"])
            state["elsewhere"] = self.gaps.begins_step(id(optimizer), held, state["sizes_before"])
            state["course"] = _Course.begins(optimizer, with_gradient)
            state["num_backwards"] = len(self.recorder.backwards)
        state["start"] = seconds
        self.open[id(optimizer)] = state

    def after(self, optimizer: Any, *_: Any) -> None:
        """Compare with the state before, and add the rows."""
        state = self.open.get(id(optimizer))
        if state is None:
            return
        state["depth"] -= 1
        if state["depth"]:
            return
        del self.open[id(optimizer)]
        self.recorder.ledger.step_ends()
        ended = self.recorder.clock()
        if all(optimizer is not kept for kept in self.keep):
            self.keep.append(optimizer)
        number = self.recorder.optimizers.of(optimizer)
        changed = self._note_updates(optimizer, state) if self.detail else None
        done = len(self.recorder.backwards)
        # A closure takes gradients of its own.
        is_of_this_gradient = state.get("course") and done == state["num_backwards"]
        self.recorder.steps.append(
            StepRow(
                index=len(self.recorder.steps),
                optimizer=number,
                batch=self.recorder.batch,
                num_backwards=done - self.last_backward.get(number, 0),
                learning_rates=state["rates"],
                num_gradients=state["num_gradients"],
                num_zero_gradients=state["num_zero"],
                num_held=len(state["held"]),
                num_changed=changed,
                num_stale=state["stale"],
                num_cleared=state["cleared"],
                num_reused=state["reused"],
                num_reverted=state.get("reverted", 0),
                num_elsewhere=state.get("elsewhere", 0),
                gradient_norm=sum(size * size for size in state["sizes"]) ** 0.5,
                cosine=state["course"].cosine() if is_of_this_gradient else None,
                seconds=ended - state["start"],
                ended=ended,
                place=state["place"],
            )
        )
        self.last_backward[number] = done
        self.recorder.step = len(self.recorder.steps)

    def _num_reverted(self, optimizer: Any, now: Sequence[float]) -> int:
        """Count what its last step changed and what is now as it was before that step."""
        old, new = self.weights.get(id(optimizer), (now, now))
        if len(old) != len(now):  # a parameter group was added
            return 0
        return sum(a == b != c for a, b, c in zip(now, old, new, strict=True))

    def _note_gradients(self, held: Sequence[torch.nn.Parameter]) -> None:
        step = len(self.recorder.steps)
        seen = [p for p in [*held, *self.orphans] if id(p) in self.names]
        present = [p for p in seen if p.grad is not None]
        sizes = iter(norms([p.grad for p in present if p.grad is not None]))
        for p in seen:
            name = self.names[id(p)]
            if p.grad is None:
                self.recorder.gradients.append(GradientRow(step=step, parameter=name, is_none=True))
                continue
            norm, count = next(sizes), max(p.grad.numel(), 1)
            self.recorder.gradients.append(
                GradientRow(
                    step=step,
                    parameter=name,
                    rms=norm / count**0.5,
                    share_zero=1.0 if norm == 0 else share_zero(p.grad),
                    num_not_finite=0 if isfinite(norm) else num_not_finite(p.grad),
                )
            )

    def _note_updates(self, optimizer: Any, state: Mapping[str, Any]) -> int:
        step = len(self.recorder.steps)
        held: list[torch.nn.Parameter] = state["held"]
        sizes, moves = norms(held), state["weights"].moves(held)
        self.weights[id(optimizer)] = (state["sizes_before"], sizes)
        self.gaps.ends_step(id(optimizer), held, sizes, [move.norm for move in moves])
        changed = 0
        for p, move, was, size in zip(held, moves, state["sizes_before"], sizes, strict=True):
            if not has_values(p):
                continue
            count = max(part_of(p).numel(), 1)
            # Not every element of a large parameter is compared; its norm is that of all.
            share = move.share or (1 / count if size != was and size == size else 0.0)
            changed += share > 0
            self.recorder.updates.append(
                UpdateRow(
                    step=step,
                    parameter=self.names.get(id(p), f"(not in the model) {tuple(p.shape)}"),
                    weight_rms=size / count**0.5,
                    update_rms=max(move.norm, abs(size - was) if share else 0.0) / count**0.5,
                    share_changed=share,
                    num_not_finite=0 if isfinite(size) else num_not_finite(p),
                )
            )
        return changed


@dataclass(frozen=True, slots=True)
class _Course:
    """Where the weights stood before a step, and where the gradient points."""

    weights: Sequence[torch.Tensor]
    before: Before
    gradient: Before

    @classmethod
    def begins(cls, optimizer: Any, weights: Sequence[torch.Tensor]) -> _Course | None:
        """Return where a step begins; None of an optimizer that is not the user's own."""
        plain = [p for p in weights if _is_plain(p) and _is_plain(p.grad, p.dtype)]
        if not is_user_class(type(optimizer)) or not plain:
            return None
        return cls(plain, Before(plain), Before([p.grad for p in plain if p.grad is not None]))

    def cosine(self) -> float | None:
        """Return the cosine between what has changed since and the gradient of before."""
        return self.before.cosine(self.weights, self.gradient)


def _is_plain(tensor: torch.Tensor | None, dtype: torch.dtype | None = None) -> bool:
    import torch

    if tensor is None or part_of(tensor) is not tensor or not has_values(tensor):
        return False
    is_float = tensor.dtype.is_floating_point and tensor.dtype == (dtype or tensor.dtype)
    return is_float and tensor.layout is torch.strided and not tensor.is_nested
