"""Where values leave the graph, and whether they still reach the loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from traindoctor.experiments import Lab, OneStep
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import CutRow, Trace


class Two(nn.Module):
    """Two layers with something in between."""

    def __init__(self, between, num_classes) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.encoder, self.between = nn.Linear(4, 4), between
        self.head = nn.Linear(4, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.between(self, x))


def one_step(between, loss_fn=None, num_classes=3) -> Trace:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    batch = (torch.randn(6, 4), torch.randint(0, 3, (6,)))
    setup = TrainingSetup(
        model=Two(between, num_classes), loader=[batch], loss_fn=loss_fn or nn.CrossEntropyLoss()
    )
    return Lab(setup).perform(OneStep())


def detached(model: Two, x: torch.Tensor) -> torch.Tensor:
    return torch.relu(model.encoder(x).detach())  # cut here


def through_data(model: Two, x: torch.Tensor) -> torch.Tensor:
    return model.encoder(x).data * 2  # cut here


def through_numpy(model: Two, x: torch.Tensor) -> torch.Tensor:
    array = model.encoder(x).detach().numpy()  # cut here
    return torch.from_numpy(np.tanh(array))


def without_grad(model: Two, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():  # cut here
        hidden = model.encoder(x)
    return hidden * 2


def rewrapped(model: Two, x: torch.Tensor) -> torch.Tensor:
    return torch.tensor(model.encoder(x).tolist())  # cut here


def cut_lines(trace: Trace) -> list[CutRow]:
    return [cut for cut in trace.cuts if cut.reaches_loss]


@pytest.mark.parametrize(
    "between", [detached, through_data, through_numpy, without_grad, rewrapped]
)
def test_a_cut_between_two_layers_is_found_at_its_line_with_what_it_cut_off(between) -> None:  # type: ignore[no-untyped-def]
    trace = one_step(between)
    found = cut_lines(trace)
    assert found
    assert all("# cut here" in cut.place.text for cut in found)
    assert {"encoder.weight", "encoder.bias"} <= {name for cut in found for name in cut.parameters}
    assert set(trace.facts["in_graph"]) == {"head.weight", "head.bias"}
    assert not any(cut.is_output_cut for cut in found)


def straight_through(model: Two, x: torch.Tensor) -> torch.Tensor:
    hidden = model.encoder(x)
    return hidden + (hidden.round() - hidden).detach()


def only_logged(model: Two, x: torch.Tensor) -> torch.Tensor:
    hidden = model.encoder(x)
    model.last_norm = hidden.detach().norm().item()
    return hidden


def test_a_straight_through_estimator_leaves_its_parameters_in_the_graph() -> None:
    assert "encoder.weight" in one_step(straight_through).facts["in_graph"]


def rescaled(model: Two, x: torch.Tensor) -> torch.Tensor:
    hidden = model.encoder(x)
    size = hidden.detach().abs().amax()  # a statistic
    return hidden.detach() / size  # cut here


def test_a_statistic_that_scales_the_values_is_told_from_these() -> None:
    found = cut_lines(one_step(rescaled))
    assert {cut.place.text.partition("# ")[2]: cut.only_scales for cut in found} == {
        "a statistic": True,
        "cut here": False,
    }


def test_what_is_only_logged_does_not_reach_the_loss() -> None:
    trace = one_step(only_logged)
    assert trace.cuts
    assert cut_lines(trace) == []


def test_a_loss_cut_off_at_its_end_is_told_apart() -> None:
    def loss_fn(outputs: torch.Tensor, batch: object) -> torch.Tensor:
        return F.cross_entropy(outputs, batch[1]).detach()  # type: ignore[index]  # cut here

    trace = one_step(lambda model, x: model.encoder(x), loss_fn)
    assert [cut.operation for cut in trace.cuts if cut.is_output_cut] == ["detach"]
    assert trace.losses[0].requires_grad is False
    assert trace.backwards == ()


def test_a_loss_function_is_recorded_with_what_it_was_given() -> None:
    def loss_fn(outputs: torch.Tensor, batch: object) -> torch.Tensor:
        probabilities = torch.softmax(outputs, dim=-1)  # softmax here
        return -F.cross_entropy(probabilities.view(6, 3), batch[1])  # type: ignore[index]

    (row,) = one_step(lambda model, x: model.encoder(x), loss_fn).criteria
    assert (row.function, row.num_classes, row.input_operation) == ("cross_entropy", 3, "softmax")
    assert "# softmax here" in row.input_place.text
    assert row.row_sum_error == pytest.approx(0, abs=1e-6)
    assert row.gradient_sign == -1
    assert row.value == pytest.approx(1.1, abs=0.3)


def test_the_module_that_made_what_a_loss_function_gets_is_recorded() -> None:
    batch = (torch.randn(6, 4), torch.randint(0, 3, (6,)))
    model = nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1))
    setup = TrainingSetup(model=model, loader=[batch], loss_fn=nn.CrossEntropyLoss())
    (row,) = Lab(setup).perform(OneStep()).criteria
    assert (row.input_operation, row.input_module) == ("softmax", "1")


@pytest.mark.parametrize(
    ("shape", "targets", "lengths"),
    [((6, 1, 4), [[1, 2]], [6]), ((6, 4), [1, 2], 6)],  # (time, batch, classes), (time, classes)
)
@pytest.mark.parametrize("squash", [torch.softmax, torch.log_softmax])
def test_classes_of_a_ctc_loss_are_on_the_last_axis(
    shape: tuple[int, ...],
    targets: list[object],
    lengths: object,
    squash: Callable[..., torch.Tensor],
) -> None:
    def loss_fn(outputs: torch.Tensor, batch: object) -> torch.Tensor:
        many = torch.tensor([2] if len(shape) == 3 else 2)
        given = squash(outputs, -1).view(shape)
        return F.ctc_loss(given, torch.tensor(targets), torch.tensor(lengths), many)

    (row,) = one_step(lambda model, x: model.encoder(x), loss_fn, num_classes=4).criteria
    assert (row.function, row.num_classes) == ("ctc_loss", 4)
    assert row.input_operation == squash.__name__.removeprefix("_")
    is_one = row.row_sum_error is not None and row.row_sum_error < 1e-6
    assert is_one == (squash is torch.softmax)


def test_a_hand_written_difference_that_broadcasts_is_recorded() -> None:
    def loss_fn(outputs: torch.Tensor, batch: object) -> torch.Tensor:
        return ((outputs[:, :1] - batch[1].float()) ** 2).mean()  # type: ignore[index]

    (row,) = one_step(lambda model, x: model.encoder(x), loss_fn).criteria
    assert (row.input_shape, row.target_shape) == ((6, 1), (6,))


def test_what_a_library_detaches_is_not_the_users_cut() -> None:
    def between(model: Two, x: torch.Tensor) -> torch.Tensor:
        hidden = model.encoder(x)
        torch.nn.utils.clip_grad_norm_([hidden], 1.0)  # uses detach inside torch
        return hidden

    assert one_step(between).cuts == ()
