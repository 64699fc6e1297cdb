"""Models that answer all samples alike."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from tests.probes.asking import asks
from tests.probes.running import line
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from traindoctor.experiments import Lab, SwapSamples
from traindoctor.probing import Finding, NoOptions
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import CriterionRow, Trace
from traindoctor_probes.output_variety import examine

FACTS = {
    "apart": 0.0,
    "merged_by_model": True,
    "merged_by": "layer_norm",
    "merged_place": line(17, "x = F.layer_norm(x[..., None], (1,))"),
    "merged_module": "",
}


def findings(
    spread: float = 0.0, steps: int = 120, learned: bool | None = False, **facts: Any
) -> list[Finding]:
    end = CriterionRow(
        function="cross_entropy",
        input_minimum=-0.3,
        input_maximum=0.4,
        input_spread=spread,
        target_minimum=0,
        target_maximum=2,
    )
    trained = Trace(criteria=(end,), facts={"overfit": {"steps": steps, "learned": learned}})
    run = Trace(facts=FACTS | facts)
    return list(examine(asks(swap_samples=run, overfit_batch=trained), NoOptions()))


def test_one_answer_before_and_after_training_is_named_where_samples_become_equal() -> None:
    (finding,) = findings()
    assert (finding.code, finding.location.line) == ("TD712", 17)
    assert "`layer_norm`" in finding.message


def test_a_head_that_starts_at_zero_and_learns_is_healthy() -> None:
    assert findings(spread=0.8, learned=True) == []
    assert findings(spread=0.01) == []


def test_few_steps_and_a_batch_that_is_learned_say_nothing() -> None:
    assert findings(steps=20) == []
    assert findings(learned=None) == []


def test_outputs_that_differ_are_healthy() -> None:
    assert findings(apart=0.2) == []


class Bodied(nn.Module):
    """Two layers with something between."""

    def __init__(self, between: Any) -> None:
        super().__init__()
        self.stem, self.head, self.between = nn.Linear(4, 12), nn.Linear(12, 3), between

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.between(self.stem(x)))
        return found


def merged(model: nn.Module) -> dict[str, Any]:
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(torch.randn(32, 4), torch.zeros(32)), batch_size=8)
    setup = TrainingSetup(model=model, loader=loader, loss_fn=lambda out, _: out.sum())
    return Lab(setup).perform(SwapSamples()).facts


def test_the_operation_behind_which_samples_are_equal_is_found() -> None:
    facts = merged(Bodied(lambda x: F.layer_norm(x[..., None], (1,)).squeeze(-1)))
    assert (facts["apart"], facts["merged_by"]) == (0.0, "layer_norm")


def test_how_far_outputs_are_apart_is_what_two_of_them_show() -> None:
    model = Bodied(F.relu)
    facts = merged(model)
    torch.manual_seed(0)
    one, two = model(torch.randn(32, 4))[:2].detach()
    assert abs(facts["apart"] - float((one - two).abs().max() / one.abs().max())) < 1e-6
    assert "merged_by" not in facts
