"""What is kept of large parameters tells of all of them; figures are read off without copies."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from traindoctor.experiments import Lab, ShortRun
from traindoctor.instruments import before, norms
from traindoctor.instruments.before import Before, stride_of
from traindoctor.target.setup import TrainingSetup

GENERATOR = torch.Generator().manual_seed(0)


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR)


def test_what_is_kept_is_bounded_whatever_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before, "MOST_BYTES", 40_000)
    tensors = [randn(200, 500), randn(100, 300), randn(500)]
    kept = Before(tensors)._kept
    assert sum(t.numel() * t.element_size() for t in kept) < 1.1 * 40_000
    assert kept[2].equal(tensors[2])  # a small one is kept whole


def test_the_stride_divides_no_usual_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before, "MOST_BYTES", 4000)
    for needed, stride in ((1, 1), (2, 2), (9, 11), (62, 67), (64, 67)):
        assert stride_of([torch.empty(1000 * needed)]) == stride


def test_a_spread_sample_tells_how_far_all_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before, "MOST_BYTES", 100_000)
    weight, bias = randn(400, 500), randn(500)
    kept = Before([weight, bias])
    assert kept.stride > 1
    moved = weight + 0.01 * randn(400, 500) * (torch.rand(400, 500, generator=GENERATOR) < 0.25)
    of_weight, of_bias = kept.moves([moved, bias])
    assert of_weight.norm == pytest.approx(float((moved - weight).norm()), rel=0.1)
    assert of_weight.share == pytest.approx(0.25, rel=0.1)
    assert of_bias == (0.0, 0.0)


def test_all_of_it_is_kept_where_it_is_small() -> None:
    old = [randn(30, 40), torch.tensor([True, False]), torch.tensor([1, 2, 3]), torch.empty(0)]
    new = [old[0] + randn(30, 40), torch.tensor([True, True]), torch.tensor([1, 2, 5]), old[3]]
    moves = Before(old).moves(new)
    assert moves[0].norm == pytest.approx(float((new[0] - old[0]).norm()))
    assert moves[1:] == [(1.0, 0.5), (2.0, pytest.approx(1 / 3)), (0.0, 0.0)]


class Reader(nn.Module):
    """Reads 3 of 2,000 rows of an embedding; the rest gets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2000, 64)
        self.head = nn.Linear(64, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(ids))


def test_a_few_rows_of_a_large_embedding_are_seen_to_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(before, "MOST_BYTES", 20_000)
    torch.manual_seed(0)
    model = Reader()
    setup = TrainingSetup(
        model=model,
        loader=[(torch.tensor([5, 700, 1300]), torch.tensor([0, 1, 0]))] * 6,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.5),
        loss_fn=nn.CrossEntropyLoss(),
    )
    trace = Lab(setup).perform(ShortRun())
    rows = [row for row in trace.updates if row.parameter == "embedding.weight"]
    assert rows
    assert all(0 < row.share_changed < 0.01 and row.update_rms > 0 for row in rows)
    assert {row.num_changed for row in trace.steps} == {3}
    assert {row.num_elsewhere for row in trace.steps} == {0}


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2])
@pytest.mark.parametrize("piece", [7, 100, 1 << 22])
def test_norms_in_pieces_are_norms(
    monkeypatch: pytest.MonkeyPatch, kind: torch.dtype, piece: int
) -> None:
    monkeypatch.setattr(norms, "PIECE", piece)
    sizes = [(3, 5), (40, 10), (0,), (101,), (2,)]
    tensors = [randn(*size).to(kind) for size in sizes] + [torch.zeros(50).to(kind)]
    truth = [float(t.double().norm()) for t in tensors]
    assert norms.norms(tensors) == pytest.approx(truth, rel=1e-5)


def test_zeros_and_what_is_not_finite_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norms, "PIECE", 3)
    nan, inf = float("nan"), float("inf")
    tensor = torch.tensor([0.0, nan, inf, 1.0, -0.0, -inf, 2.0, 0.0])
    assert norms.num_not_finite(tensor) == 3
    assert norms.share_zero(tensor) == 3 / 8
    assert norms.share_zero(torch.empty(0)) == 0.0


class Own(torch.optim.SGD):
    sign = 1

    @torch.no_grad()
    def step(self, closure: object = None) -> None:
        for p in self.param_groups[0]["params"]:
            p.mul_(0.9).add_(p.grad, alpha=self.sign * 0.01)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_own_optimizers_steps_are_compared_with_the_gradient(
    sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Own, "sign", sign)
    net = nn.Linear(8, 3)
    batches = [(randn(16, 8), torch.arange(16) % 3) for _ in range(4)]
    given = {"model": net, "loader": batches, "loss_fn": nn.CrossEntropyLoss()}
    own = TrainingSetup(**given, optimizer=Own(net.parameters(), lr=1.0))
    cosines = [row.cosine for row in Lab(own).perform(ShortRun()).steps]
    assert all(cosine is not None and cosine * sign > 0.5 for cosine in cosines)
    torchs = TrainingSetup(**given, optimizer=torch.optim.SGD(net.parameters(), lr=0.1))
    assert {row.cosine for row in Lab(torchs).perform(ShortRun()).steps} == {None}


def test_a_cosine_leaves_out_what_only_changes_lengths() -> None:
    weight, gradient = randn(20, 30), randn(20, 30)
    aside = gradient - weight * ((gradient * weight).sum() / weight.square().sum())
    expected = float((aside * gradient).sum() / (aside.norm() * gradient.norm()))
    kept, pull = Before([weight]), Before([gradient])
    assert kept.cosine([0.5 * weight - 0.1 * gradient], pull) == pytest.approx(-expected)
    assert kept.cosine([weight], pull) is None
