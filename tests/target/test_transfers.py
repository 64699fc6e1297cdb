"""What modules loaded, and what is left of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from traindoctor.target.patches import Notes
from traindoctor.target.setup import TrainingSetup
from traindoctor.target.transfers import Transfers, transfer_rows, transfers_noted
from traindoctor.trace import TransferRow


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def rows(model: nn.Module, load: Any) -> tuple[TransferRow, ...]:
    """Let `load` act while transfers are noted."""
    noted = Transfers()
    with transfers_noted(noted, Notes()):
        load()
    loader: Any = DataLoader([])
    return transfer_rows(TrainingSetup(model=model, loader=loader, transfers=noted))


def test_what_fits_is_taken_and_stays() -> None:
    model, state = net(), net().state_dict()
    (row,) = rows(model, lambda: model.load_state_dict(state))
    assert (row.num_given, row.num_taken, row.missing, row.unexpected) == (4, 4, (), ())
    assert (row.num_elements, row.overwritten) == (4 * 8 + 8 * 2, ())
    assert row.place.text.startswith("(row,) = rows(model")


def test_a_prefix_that_the_names_have_too_much_is_found() -> None:
    model, state = net(), {f"module.{k}": v for k, v in net().state_dict().items()}
    (row,) = rows(model, lambda: model.load_state_dict(state, strict=False))
    assert (row.num_taken, row.num_renamed, row.given_prefix) == (0, 4, "module.")


def test_a_prefix_that_the_names_lack_is_found() -> None:
    model, state = nn.ModuleDict({"net": net()}), net().state_dict()
    (row,) = rows(model, lambda: model.load_state_dict(state, strict=False))
    assert (row.num_renamed, row.own_prefix) == (4, "net.")


def test_names_that_fit_with_other_shapes_are_not_renamed() -> None:
    model, state = net(), {"module.0.weight": torch.zeros(3, 3)}
    (row,) = rows(model, lambda: model.load_state_dict(state, strict=False))
    assert row.num_renamed == 0


def test_what_a_second_call_brings_is_not_missing() -> None:
    model, state = net(), net().state_dict()

    def load() -> None:
        model.load_state_dict({f"x.{k}": v for k, v in state.items()}, strict=False)
        model.load_state_dict(state)

    assert [row.missing for row in rows(model, load)] == [(), ()]


def test_a_matrix_that_is_drawn_anew_is_overwritten_and_one_that_is_scaled_is_not() -> None:
    model, state = net(), net().state_dict()

    def load() -> None:
        model.load_state_dict(state)
        nn.init.normal_(model[0].weight)  # type: ignore[arg-type]
        with torch.no_grad():
            model[2].weight *= 1.1  # type: ignore[operator]

    (row,) = rows(model, load)
    assert (row.overwritten, row.num_overwritten) == (("0.weight",), 32)


def test_a_module_that_is_not_the_models_is_left_out() -> None:
    teacher = net()
    assert rows(net(), lambda: teacher.load_state_dict(net().state_dict())) == ()


def test_what_training_has_moved_is_not_overwritten() -> None:
    model, noted = net(), Transfers()
    optimizer = torch.optim.SGD(model.parameters(), lr=100.0, momentum=0.9)
    with transfers_noted(noted, Notes()):
        model.load_state_dict(net().state_dict())
        model(torch.randn(3, 4)).square().sum().backward()
        optimizer.step()
    loader: Any = DataLoader([])
    setup = TrainingSetup(model=model, loader=loader, optimizer=optimizer, transfers=noted)
    assert [row.overwritten for row in transfer_rows(setup)] == [()]
