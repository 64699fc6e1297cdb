"""Watching changes nothing, costs little, and never harms the loop that is watched."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tests.instruments.loops import batches, loss_of, network, trace_of
from torch import nn

from traindoctor.instruments.account import Account
from traindoctor.instruments.handling import handling_seen
from traindoctor.instruments.recorder import Recorder


def everything(recorder: Recorder) -> dict[str, torch.Tensor]:
    """Train with all that is watched: scaler, clipping, schedule, dropout."""
    model = nn.Sequential(network(), nn.Dropout(0.1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=30)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    for _ in batches(recorder, 20):
        optimizer.zero_grad()
        scaler.scale(loss_of(model)).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 0.3)
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
    return copy.deepcopy(model.state_dict())


def test_weights_are_bit_for_bit_those_of_the_bare_loop() -> None:
    bare = everything(Recorder())
    state = torch.get_rng_state()
    recorder = Recorder()
    with handling_seen(recorder):
        watched = everything(recorder)
    assert all(torch.equal(bare[key], watched[key]) for key in bare)
    assert torch.equal(torch.get_rng_state(), state)
    assert recorder.facts == {}


def test_everything_comes_back_even_if_the_loop_raises() -> None:
    owners = torch.autograd, torch.optim.Optimizer, torch.amp.GradScaler, nn.Module
    before = [dict(vars(owner)) for owner in owners]
    with pytest.raises(KeyboardInterrupt), handling_seen(Recorder()):
        raise KeyboardInterrupt
    assert [dict(vars(owner)) for owner in owners] == before


def test_what_user_code_has_put_over_a_replacement_stays_and_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    with handling_seen(Recorder()):
        inner = torch.amp.GradScaler.update
        monkeypatch.setattr(
            torch.amp.GradScaler, "update", lambda *a: [calls.append("mine"), inner(*a)][1]
        )
    everything(Recorder())
    assert calls == ["mine"] * 20


def test_an_instrument_that_fails_is_switched_off_and_the_loop_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: Any) -> None:
        raise ZeroDivisionError("no stamps today")

    monkeypatch.setattr(Account, "stamps", broken)
    recorder = Recorder()
    with handling_seen(recorder):
        everything(recorder)
    assert recorder.facts["broken_instruments"]["order"] == "ZeroDivisionError: no stamps today"
    assert recorder.trace().handling == ()


def test_a_trace_can_be_had_while_the_loop_runs() -> None:
    seen: list[int] = []

    def loop(recorder: Recorder) -> None:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in batches(recorder):
            loss_of(model).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            seen.append(recorder.trace().clips[0].count)

    trace_of(loop)
    assert seen == [1, 2, 3, 4, 5, 6]


def test_a_compiled_function_is_traced_as_it_is_written() -> None:
    p = nn.Parameter(torch.ones(3))
    p.grad = torch.full((3,), 2.0)

    @torch.compile(backend="eager", fullgraph=True)
    def clip() -> torch.Tensor:
        return nn.utils.clip_grad_norm_([p], 1.0)

    trace_of(lambda _: clip())
    assert float(p.grad.norm()) == pytest.approx(1.0)
