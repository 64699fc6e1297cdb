"""What a model brings along from before its training is known, cut for a while, and given back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from traindoctor.experiments import Lab, ShortRun, WatchGraph
from traindoctor.target.history import History, lines_kept
from traindoctor.target.setup import TrainingSetup


def copied(*, with_graph: bool) -> nn.Sequential:
    """Return a model whose frozen first layer has another layer's weights."""
    other, model = nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
    model[0].requires_grad_(False)
    with lines_kept(), torch.set_grad_enabled(with_graph):
        model[0].weight.copy_(2 * other.weight)  # the copy
    return model


def setup_of(model: nn.Module) -> TrainingSetup:
    batches = [(torch.randn(8, 4), torch.zeros(8, 1)) for _ in range(8)]
    return TrainingSetup(model=model, loader=batches, loss_fn=nn.MSELoss())


def test_a_weight_that_was_written_to_with_gradients_on_is_known_by_name() -> None:
    assert History(copied(with_graph=True)).names == ("0.weight",)
    assert History(copied(with_graph=False)).names == ()


def test_what_is_cut_has_the_same_values_and_comes_back_itself() -> None:
    model = copied(with_graph=True)
    before = model[0].weight
    with History(model).cut():
        assert model[0].weight.is_leaf
        assert not model[0].weight.requires_grad
        assert torch.equal(model[0].weight, before)
    assert model[0].weight is before


def test_a_run_without_the_graph_goes_on_where_one_with_it_stops_at_its_line() -> None:
    lab = Lab(setup_of(copied(with_graph=True)))
    run = lab.perform(ShortRun())
    assert (len(run.steps), run.exceptions, run.setup.inherited) == (6, (), ("0.weight",))
    watched = lab.perform(WatchGraph())
    assert "second time" in watched.exceptions[0].message
    row = watched.graphs[-1]
    assert (row.parameters, row.place.text[-10:]) == (("0.weight",), "# the copy")


def test_the_users_own_anomaly_mode_stays() -> None:
    with torch.autograd.set_detect_anomaly(True), lines_kept():
        assert torch.is_anomaly_check_nan_enabled()
    with lines_kept():
        torch.autograd.set_detect_anomaly(True)
    assert torch.is_anomaly_check_nan_enabled()
    torch.autograd.set_detect_anomaly(False)
    with pytest.raises(ValueError, match="of the user"), lines_kept():
        raise ValueError("of the user")
    assert not torch.is_anomaly_enabled()


def test_who_trains_while_the_setup_is_made_is_not_slowed_down() -> None:
    layer = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with lines_kept(until_step=True):
        assert torch.is_anomaly_enabled()
        layer(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        assert not torch.is_anomaly_enabled()
    with lines_kept():
        optimizer.step()
        assert torch.is_anomaly_enabled()
