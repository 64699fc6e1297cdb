"""Each number an instrument records equals the slowest obvious way to get it."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from traindoctor.experiments import Lab, ShortRun
from traindoctor.instruments.backward import backwards_seen, norms, present
from traindoctor.instruments.optimizer import steps_seen
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.warned import warnings_seen
from traindoctor.target.setup import TrainingSetup


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.second = nn.Linear(8, 3)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


def batches(number: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(5, 4, generator=generator), torch.randint(0, 3, (5,), generator=generator))
        for _ in range(number)
    ]


def a_setup(**more: object) -> TrainingSetup:
    torch.manual_seed(0)
    model = Net()
    settings = {
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        "loss_fn": nn.CrossEntropyLoss(),
    } | more
    return TrainingSetup(model=model, loader=batches(), **settings)


def by_hand(setup: TrainingSetup, accumulate: int = 1) -> list[dict[str, object]]:
    """Train as the setup says, with plain code, and keep everything that the tables hold."""
    model = copy.deepcopy(setup.model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    steps, losses = [], []
    for index, (x, y) in enumerate(batches()):
        loss = F.cross_entropy(model(x), y)
        losses.append(loss.item())
        (loss / accumulate).backward()
        if (index + 1) % accumulate:
            continue
        if setup.max_grad_norm:
            nn.utils.clip_grad_norm_(model.parameters(), setup.max_grad_norm)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        gradients = {
            name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()
        }
        optimizer.step()
        optimizer.zero_grad()
        after = {name: p.detach().clone() for name, p in model.named_parameters()}
        steps.append({"losses": losses, "gradients": gradients, "before": before, "after": after})
    return steps


@pytest.mark.parametrize(("accumulate", "clip"), [(1, None), (1, 0.05), (2, None)])
def test_a_short_run_measures_what_a_plain_loop_measures(
    accumulate: int, clip: float | None
) -> None:
    setup = a_setup(accumulation_steps=accumulate, max_grad_norm=clip)
    truth = by_hand(setup, accumulate)
    trace = Lab(setup).perform(ShortRun())

    assert [row.value for row in trace.losses] == pytest.approx(truth[-1]["losses"])
    assert len(trace.steps) == len(truth)
    assert {row.num_backwards for row in trace.steps} == {accumulate}
    for row in trace.gradients:
        expected = truth[row.step]["gradients"][row.parameter]
        assert row.is_none == (expected is None)
        if expected is not None:
            assert row.rms == pytest.approx(expected.pow(2).mean().sqrt().item(), rel=1e-5)
            assert row.share_zero == pytest.approx((expected == 0).float().mean().item())
    for row in trace.updates:
        before, after = (truth[row.step][when][row.parameter] for when in ("before", "after"))
        assert row.update_rms == pytest.approx(
            (after - before).pow(2).mean().sqrt().item(), rel=1e-4
        )
        assert row.weight_rms == pytest.approx(after.pow(2).mean().sqrt().item(), rel=1e-5)
        assert row.share_changed == pytest.approx((after != before).float().mean().item())
    for row, step in zip(trace.steps, truth, strict=True):
        total = sum(g.pow(2).sum().item() for g in step["gradients"].values() if g is not None)
        assert row.gradient_norm == pytest.approx(total**0.5, rel=1e-5)


def test_module_calls_come_in_forward_order_and_the_unused_one_has_none() -> None:
    trace = Lab(a_setup()).perform(ShortRun(num_batches=3))
    rows = {row.path: row for row in trace.modules}
    assert (rows["first"].order or 0) < (rows["second"].order or 0)
    assert rows["first"].num_calls == 3
    assert rows["first"].input_shapes == ((5, 4),)
    assert rows["second"].output_shapes == ((5, 3),)
    assert rows["unused"].order is None


def test_norms_equal_torch_for_every_kind_of_tensor() -> None:
    tensors = [
        torch.randn(3, 4),
        torch.randn(5, dtype=torch.float64),
        torch.full((4,), 300.0, dtype=torch.float16) * 100,  # its square overflows float16
        torch.randn(6, dtype=torch.bfloat16),
        torch.randn(3, dtype=torch.complex64),
        torch.tensor([[0.0, 2.0], [0.0, 0.0]]).to_sparse(),
        torch.empty(0),
        torch.tensor([1.0, float("nan")]),
    ]
    found = norms(tensors)
    for tensor, norm in list(zip(tensors, found, strict=True))[:-1]:
        dense = tensor.to_dense() if tensor.is_sparse else tensor
        kind = torch.complex128 if dense.is_complex() else torch.float64
        assert norm == pytest.approx(dense.to(kind).abs().pow(2).sum().sqrt().item(), rel=1e-3)
    assert found[-1] != found[-1]


def test_backward_passes_are_seen_in_both_spellings_with_the_users_line() -> None:
    recorder, p = Recorder(), nn.Parameter(torch.ones(2))
    original = torch.autograd.backward
    with backwards_seen(recorder, [p]):
        (p * 3).sum().backward()
        torch.autograd.backward([(p * 0).sum()])
    assert torch.autograd.backward is original
    assert [row.loss for row in recorder.backwards] == [6.0, 0.0]
    assert [row.num_present_before for row in recorder.backwards] == [0, 1]
    assert recorder.backwards[0].place.text == "(p * 3).sum().backward()"


def test_a_zero_gradient_is_not_a_present_one() -> None:
    p, q = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    p.grad, q.grad = torch.zeros(2), torch.tensor([0.0, 1e-30])
    assert len(present([p, q, nn.Parameter(torch.ones(1))])) == 1


class CallsSuper(torch.optim.Adam):
    def step(self, closure=None):  # type: ignore[no-untyped-def, override]
        return super().step(closure)


def test_an_optimizer_that_calls_its_base_class_steps_once() -> None:
    recorder, p = Recorder(), nn.Parameter(torch.ones(2))
    torch.optim.Adam([nn.Parameter(torch.ones(1))])  # after this torch's hooks fire twice
    optimizer = CallsSuper([p])
    p.grad = torch.ones(2)
    with steps_seen(recorder, {id(p): "p"}):
        optimizer.step()
    optimizer.step()
    assert len(recorder.steps) == 1
    assert recorder.steps[0].num_changed == 1


def test_warnings_are_counted_by_text_and_place_and_the_filters_come_back() -> None:
    recorder, filters = Recorder(), list(warnings.filters)
    with warnings_seen(recorder):
        for _ in range(3):
            F.mse_loss(torch.zeros(4, 1), torch.zeros(4))
    assert [row.count for row in recorder.warnings] == [3]
    assert "target size" in recorder.warnings[0].message
    assert recorder.warnings[0].place.file == __file__
    assert warnings.filters == filters
