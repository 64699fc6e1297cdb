"""What is clipped, by how much, and what had been done to it before."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from tests.instruments.loops import batches, loss_of, network, trace_of
from torch.nn.utils import clip_grad_norm_

from traindoctor.instruments.clipping import FIRST, LAST
from traindoctor.instruments.recorder import Recorder
from traindoctor.trace import ClipRow


def usual(clip: Any, where: str = "between", scaler: Any = None) -> Any:
    """Return a loop that clips where it is told."""

    def loop(recorder: Recorder) -> list[float]:
        model, norms = network(), []
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in batches(recorder):
            optimizer.zero_grad()
            loss = loss_of(model)
            if where == "before":
                clip(model.parameters())
            (scaler.scale(loss) if scaler else loss).backward()
            if where == "unscaled":
                scaler.unscale_(optimizer)
            if where in ("between", "unscaled"):
                norms.append(clip(model.parameters()))
            if scaler:
                scaler.step(optimizer)
                scaler.update()
            else:
                optimizer.step()
            if where == "after":
                clip(model.parameters())
        return [float(norm) for norm in norms if norm is not None]

    return loop


def row_of(loop: Any) -> ClipRow:
    (row,) = trace_of(loop).clips
    return row


@pytest.mark.parametrize(
    "clip",
    [
        lambda p: torch.nn.utils.clip_grad_norm_(p, max_norm=0.25),
        lambda p: clip_grad_norm_(p, 0.25),  # bound to this name before it was watched
        lambda p: torch.nn.utils.clip_grad.clip_grad_norm_(list(p), 0.25, foreach=False),
    ],
)
def test_the_norms_are_those_that_clipping_returns_under_whatever_name(clip: Any) -> None:
    loop, returned = usual(clip), []
    row = row_of(lambda recorder: returned.extend(loop(recorder)))
    assert row.norms == pytest.approx(returned)
    assert (row.count, row.limits, row.kind, row.optimizer) == (6, (0.25,) * 6, "norm", 0)
    assert (row.num_absent, row.num_used, row.num_scaled) == (0, 0, 0)
    assert row.place.function == "<lambda>"


def test_norms_clipped_in_two_calls_are_seen_in_the_second() -> None:
    def clip(parameters: Any) -> Any:
        held = list(parameters)
        norm = torch.nn.utils.get_total_norm([p.grad for p in held])
        torch.nn.utils.clip_grads_with_norm_(held, 0.25, norm)
        return norm

    assert row_of(usual(clip)).count == 6


def test_values_have_no_common_norm() -> None:
    row = row_of(usual(lambda p: torch.nn.utils.clip_grad_value_(p, clip_value=0.01)))
    assert (row.kind, row.norms, row.limits) == ("value", (), (0.01,) * 6)


@pytest.mark.parametrize(("where", "expected"), [("before", (6, 0)), ("after", (0, 6))])
def test_gradients_that_are_not_there_or_were_used_are_told_apart(
    where: str, expected: tuple[int, int]
) -> None:
    row = row_of(usual(lambda p: clip_grad_norm_(p, 1.0), where))
    assert (row.num_absent, row.num_used) == expected


@pytest.mark.parametrize(("where", "expected"), [("between", 6), ("unscaled", 0)])
def test_scaled_gradients_are_known_until_they_are_unscaled(where: str, expected: int) -> None:
    scaler = torch.amp.GradScaler("cpu")
    row = row_of(usual(lambda p: clip_grad_norm_(p, 1.0), where, scaler))
    assert row.num_scaled == expected


def test_gradients_that_user_code_divides_by_the_scale_are_its_own_affair() -> None:
    scaler = torch.amp.GradScaler("cpu")

    def clip(parameters: Any) -> None:
        held = list(parameters)
        for p in held:
            p.grad.div_(scaler.get_scale())
        clip_grad_norm_(held, 1.0)

    assert row_of(usual(clip, "between", scaler)).num_scaled == 0


def test_gradients_that_no_backward_call_made_are_fresh_all_the_same() -> None:
    def loop(recorder: Recorder) -> None:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in batches(recorder):
            held = list(model.parameters())
            for p, gradient in zip(held, torch.autograd.grad(loss_of(model), held), strict=True):
                p.grad = gradient
            clip_grad_norm_(held, 1.0)
            optimizer.step()

    assert row_of(loop).num_used == 0


def test_a_million_calls_keep_a_few_hundred_norms() -> None:
    p = torch.nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)

    def loop(recorder: Recorder) -> None:
        for _ in range(2 * (FIRST + LAST)):
            clip_grad_norm_([p], 10.0)

    row = row_of(loop)
    assert (row.count, len(row.norms)) == (2 * (FIRST + LAST), FIRST + LAST)


def test_the_function_is_the_same_object_with_its_signature_and_comes_back() -> None:
    cell = clip_grad_norm_.__closure__[0]
    before, signature = cell.cell_contents, inspect.signature(clip_grad_norm_)
    seen: list[Any] = []
    trace_of(lambda _: seen.extend([clip_grad_norm_, inspect.signature(clip_grad_norm_)]))
    assert seen[0] is torch.nn.utils.clip_grad_norm_
    assert (seen[1], cell.cell_contents) == (signature, before)


def test_wrong_arguments_raise_what_torch_raises() -> None:
    with pytest.raises(TypeError, match="max_norm"):
        trace_of(lambda _: clip_grad_norm_([torch.nn.Parameter(torch.ones(1))]))
