"""One thing is changed in a batch, and only that; what its loss is then is taken from one state."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from traindoctor.experiments import ChangedBatch, Lab
from traindoctor.experiments.changes import Changes
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import Trace


def setup(model: nn.Module, batch: Any, loss_fn: Any, **facts: Any) -> TrainingSetup:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return TrainingSetup(model=model, loader=[batch], optimizer=optimizer, loss_fn=loss_fn, **facts)


def ran(made: TrainingSetup) -> tuple[Trace, dict[str, float]]:
    trace = Lab(made).perform(ChangedBatch())
    return trace, {row.label: row.value for row in trace.evaluations}


def points() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(8, 3), torch.arange(8) % 2


def test_the_losses_are_those_of_a_plain_computation() -> None:
    x, y = points()
    model = nn.Linear(3, 2)
    twin = nn.Linear(3, 2)
    twin.load_state_dict(model.state_dict())
    _, losses = ran(setup(model, (x, y), F.cross_entropy))
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(twin(x), y).backward()
        optimizer.step()
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    assert losses["plain"] == losses["plain again"] == F.cross_entropy(twin(x), y).item()
    assert losses["labels permuted"] == F.cross_entropy(twin(x), y[order]).item()
    assert losses["inputs permuted"] == F.cross_entropy(twin(x[order]), y).item()
    assert losses["labels of one sample"] == F.cross_entropy(twin(x), y[:1].expand(8)).item()
    assert losses["every sample twice"] == pytest.approx(losses["plain"])


def test_a_head_at_zero_hides_the_inputs_from_the_loss_and_not_from_its_gradients() -> None:
    x, y = points()
    model = nn.Linear(3, 2)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    made = setup(model, (x, y), F.cross_entropy)
    made.optimizer.param_groups[0]["lr"] = 0.0
    trace, losses = ran(made)
    assert losses["inputs permuted"] == pytest.approx(losses["plain"])
    assert "inputs permuted" not in trace.facts["same_gradients"]


def test_steps_of_the_users_own_are_taken_back_between_the_changes() -> None:
    x, y = points()

    def train_step(model: nn.Module, batch: Any, optimizer: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    model = nn.Linear(3, 2)
    before = model.weight.clone()
    _, losses = ran(setup(model, (x, y), None, train_step=train_step))
    assert losses["plain"] == losses["plain again"]
    assert torch.equal(model.weight, before)


def test_operations_on_labels_are_seen_and_their_moves_are_not() -> None:
    trace, _ = ran(setup(nn.Linear(3, 2), points(), lambda out, batch: out.square().mean()))
    assert trace.facts["label_uses"] == ()
    assert trace.facts["wants_labels"] == ""
    trace, _ = ran(setup(nn.Linear(3, 2), points(), F.cross_entropy))
    assert trace.facts["wants_labels"] == "loss_fn"


IDS = torch.tensor([[5, 6, 7, 8, 2, 0, 0, 0], [5, 8, 6, 2, 0, 0, 0, 0], [6, 5, 7, 8, 6, 7, 5, 2]])


def test_padding_is_known_by_the_mask_and_changed_alone() -> None:
    mask = (IDS != 0).long()
    batch = {"input_ids": IDS, "attention_mask": mask, "labels": IDS.clone()}
    changes = Changes(batch, nn.Identity())
    made = {change.label: change.batch for change in changes.made()}
    assert changes.padding == {
        "mask": "attention_mask",
        "tokens": "input_ids",
        "share": pytest.approx(7 / 24),
        "value": 0,
        "label": 0,
        "label_share": 7 / 24,
        "is_inverted": False,
    }
    real = mask.bool()
    labelled = made["labels at padding changed"]["labels"]
    assert torch.equal(labelled[real], IDS[real])
    assert bool((labelled[~real] != 0).all())
    other = made["no labels at padding, tokens there changed"]
    assert torch.equal(other["input_ids"][real], IDS[real])
    assert bool((other["input_ids"][~real] != 0).all())
    assert bool((other["labels"][~real] == -100).all())
    longer = made["no labels at padding, more of it"]
    assert longer["input_ids"].shape == longer["attention_mask"].shape == (3, 16)
    assert torch.equal(longer["input_ids"][:, :8], IDS)
    assert int(longer["attention_mask"][:, 8:].sum()) == 0


def test_a_mask_the_wrong_way_round_keeps_one_token() -> None:
    batch = {"input_ids": IDS, "attention_mask": (IDS == 0).long(), "labels": torch.arange(3)}
    padding = Changes(batch, nn.Identity()).padding
    assert padding is not None
    assert padding["is_inverted"]


def test_behind_a_mask_the_wrong_way_round_tokens_change_and_labels_stay() -> None:
    mask = (IDS == 0).long()
    batch = {"input_ids": IDS, "attention_mask": mask, "labels": IDS.masked_fill(IDS == 0, -100)}
    made = {change.label: change.batch for change in Changes(batch, nn.Identity()).made()}
    other = made["no labels at padding, tokens there changed"]
    assert torch.equal(other["labels"], batch["labels"])
    assert bool((other["input_ids"][:2] == 0).all())
    assert torch.equal(other["input_ids"][2], IDS[2])  # its mask keeps nothing: all are attended to


class Letters(nn.Module):
    """Sums embeddings of this token and those before it, or of all."""

    def __init__(self, is_causal: bool) -> None:
        super().__init__()
        self.embedding, self.is_causal = nn.Embedding(9, 9), is_causal

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(input_ids)
        return x.cumsum(1) if self.is_causal else x + x.sum(1, keepdim=True)


@pytest.mark.parametrize(("is_causal", "ahead"), [(True, 1), (True, 2), (True, 0), (False, 1)])
def test_what_the_logits_see_and_how_far_the_targets_are_ahead(is_causal: bool, ahead: int) -> None:
    torch.manual_seed(0)
    ids = torch.randint(9, (16, 12))

    def loss_fn(outputs: torch.Tensor, batch: Any) -> torch.Tensor:
        kept = outputs[:, : outputs.shape[1] - ahead]
        return F.cross_entropy(kept.flatten(0, 1), batch["input_ids"][:, ahead:].flatten())

    trace, _ = ran(setup(Letters(is_causal), {"input_ids": ids}, loss_fn))
    sight = trace.facts["sight"]
    assert sight["offsets"][str(ahead)] == 1.0
    assert max(share for k, share in sight["offsets"].items() if k != str(ahead)) < 0.3
    assert (sight["seen_later"] == 0) is is_causal
