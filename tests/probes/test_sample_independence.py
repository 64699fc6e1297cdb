"""Samples whose outputs depend on one another."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.probes.asking import asks
from tests.probes.running import line, module
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from traindoctor.experiments import Lab, SwapSamples
from traindoctor.probing import Confidence, Finding, NoOptions, Severity
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import Trace
from traindoctor_probes.sample_independence import examine

FACTS = {
    "batch_size": 8,
    "change": 0.4,
    "operation": "multi_head_attention_forward",
    "place": line(12, "x = self.attention(x, x, x)"),
    "module": "attention",
}


def findings(batch_first: bool = False, **facts: Any) -> list[Finding]:
    modules = (
        module(
            "attention",
            class_name="MultiheadAttention",
            attributes={"batch_first": batch_first},
            place=line(4, "self.attention = nn.MultiheadAttention(8, 2)"),
        ),
        module("block", is_users=True),
    )
    run = Trace(modules=modules, facts=FACTS | facts)
    return list(examine(asks(swap_samples=run), NoOptions()))


def test_a_layer_that_mixes_is_named_where_it_is_called_and_where_it_is_built() -> None:
    (finding,) = findings()
    assert (finding.code, finding.location.line) == ("TD207", 12)
    assert [place.line for place in finding.also_at] == [4]
    assert "attention (MultiheadAttention)" in finding.message


def test_a_view_that_mixes_is_told_to_be_a_transpose() -> None:
    (finding,) = findings(operation="view", module="block")
    assert finding.remedies[0].recommended
    assert "transpose" in finding.remedies[0].after


@pytest.mark.parametrize(
    "facts",
    [
        {
            "given": (8, 1, 16),
            "batch_first": True,
        },  # `x[None]`, as torch's attention turns it round
        {"given": (1, 4, 8, 16), "operation": "matmul", "module": "block"},
        {"given": (1, 8, 16), "operation": "scaled_dot_product_attention", "module": "block"},
    ],
)
def test_a_batch_that_is_made_one_set_is_compared_on_purpose(facts: dict[str, Any]) -> None:
    assert findings(**facts) == []


@pytest.mark.parametrize(
    "facts",
    [
        {"given": (8, 6, 16)},  # time was taken for the batch
        {"given": (6, 8, 16), "batch_first": True},
        {"given": (6, 8, 16), "operation": "matmul", "module": "block"},
        {"given": (8, 6, 16), "operation": "gru", "module": "block"},
    ],
)
def test_samples_with_several_positions_are_mixed_up(facts: dict[str, Any]) -> None:
    (finding,) = findings(**facts)
    assert (finding.severity, finding.confidence) == (Severity.ERROR, Confidence.CERTAIN)


@pytest.mark.parametrize(
    "facts",
    [
        {"given": (8, 1, 16)},  # `x.unsqueeze(1)` without `batch_first`
        {"given": (8, 16), "batch_first": True},
        {"given": (8, 16), "operation": "matmul", "module": "block"},
        {"given": (8, 1, 16), "operation": "gru", "module": "block"},  # one sequence, unbatched
        {"given": (1, 8, 16), "operation": "lstm", "module": "block"},
    ],
)
def test_what_mixes_samples_of_one_position_may_be_meant(facts: dict[str, Any]) -> None:
    (finding,) = findings(**facts)
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.POSSIBLE)


def test_rounding_is_no_change() -> None:
    assert findings(change=2e-4) == []


def test_a_model_of_which_nothing_can_be_said_is_left_alone() -> None:
    assert list(examine(asks(swap_samples=Trace()), NoOptions())) == []


class Apply(nn.Module):
    """A linear layer between two functions of a test's."""

    def __init__(self, before: Any = None, after: Any = None) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.before, self.after = before or nn.Identity(), after or nn.Identity()

    def forward(self, x: torch.Tensor) -> Any:
        return self.after(self.layer(self.before(x)))


def change(model: nn.Module, *shape: int, batch_size: int = 8) -> float | None:
    """Return how far one sample's output moves with the others."""
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(torch.randn(32, *shape), torch.zeros(32)), batch_size)
    lab = Lab(TrainingSetup(model=model, loader=loader, loss_fn=lambda out, _: out.sum()))
    found: float | None = lab.perform(SwapSamples()).facts.get("change")
    return found


def test_the_change_is_what_calling_the_model_on_one_sample_shows() -> None:
    model = Apply(before=lambda x: x - x.mean(0, keepdim=True))
    torch.manual_seed(0)
    x = torch.randn(32, 4)[:8]
    with torch.no_grad():
        whole, swapped = (
            model(x),
            max(
                (model(x[[other, 1, *[other] * 6]])[1] - model(x)[1]).abs().max()
                for other in (0, 2)
            ),
        )
    expected = float(swapped / (whole[1] - whole[0]).abs().max())
    found = change(model, 4)
    assert found is not None
    assert abs(found - expected) < 1e-5 * expected


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_recurrence_over_samples_is_seen_from_either_end(is_reversed: bool) -> None:
    """The sample that it begins with depends on no other."""
    gru = nn.GRU(4, 4)
    if is_reversed:
        model = Apply(after=lambda x: gru(x.flip(0))[0].flip(0)[:, -1])
    else:
        model = Apply(after=lambda x: gru(x)[0][:, -1])
    assert (change(model, 6, 4) or 0.0) > 0.1


def test_a_recurrence_that_is_told_its_batch_is_over_time() -> None:
    gru = nn.GRU(4, 4, batch_first=True)
    assert change(Apply(after=lambda x: gru(x)[0][:, -1]), 6, 4) == 0.0


def test_a_view_in_the_place_of_a_transpose_mixes() -> None:
    assert (change(Apply(after=lambda x: x.view(6, 8, 4).sum(0)), 6, 4) or 0.0) > 0.1


def test_a_model_that_works_with_time_first_inside_does_not_mix() -> None:
    assert change(Apply(lambda x: x.transpose(0, 1).cumsum(0)), 6, 4) == 0.0


def test_a_softmax_over_samples_is_seen_where_every_output_has_passed_it() -> None:
    assert (change(Apply(after=lambda x: x.softmax(0)), 4) or 0.0) > 0.01


def test_scores_of_all_pairs_of_samples_are_no_samples_output() -> None:
    assert change(Apply(after=lambda x: x @ x.T), 4) == 0.0


def test_batch_norm_with_statistics_of_the_batch_is_not_judged() -> None:
    assert change(Apply(after=nn.BatchNorm1d(4, track_running_stats=False)), 4) is None


def test_a_batch_that_the_loader_does_not_count_is_not_judged() -> None:
    model = Apply(before=lambda x: x - x.mean(0, keepdim=True))
    assert change(model, 4, batch_size=2) is None


class BetweenSamples(nn.Module):
    """Attention from each sample, all its positions in one, to the others of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(24, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one_set = x.flatten(1)[None]
        mixed: torch.Tensor = self.attention(one_set, one_set, one_set)[0][0]
        return mixed


def test_attention_between_samples_is_seen_as_one_set() -> None:
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(torch.randn(32, 6, 4), torch.zeros(32)), batch_size=8)
    setup = TrainingSetup(model=BetweenSamples(), loader=loader, loss_fn=lambda out, _: out.sum())
    run = Lab(setup).perform(SwapSamples())
    assert (run.facts["operation"], run.facts["given"]) == (
        "multi_head_attention_forward",
        (8, 1, 24),
    )
    assert run.facts["change"] > 0.1
    assert list(examine(asks(swap_samples=run), NoOptions())) == []
