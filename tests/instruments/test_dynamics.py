"""What the dynamics record equals the slow way to find it, and the program runs as without them."""

from __future__ import annotations

import builtins
import copy
import gc
import logging
import pickle
import weakref
from collections import deque
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from traindoctor.instruments.backward import graph_nodes
from traindoctor.instruments.dynamics import Dynamics, dynamics_seen
from traindoctor.instruments.kept_graphs import MOST_ALIVE, NUM_WALKED
from traindoctor.instruments.recorder import Recorder
from traindoctor.trace import KeptRow


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def loader(seed: int = 0, num_samples: int = 32) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_samples, 4, generator=generator)
    return DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), batch_size=8)


class Program:
    """A model, its optimizer, and one epoch of training."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = Net()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.loader = loader()

    def step(self, x: torch.Tensor, y: torch.Tensor, **how: Any) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        loss.backward(**how)  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss

    def epoch(self, **how: Any) -> list[torch.Tensor]:
        return [self.step(x, y, **how).detach() for x, y in self.loader]


def replaced() -> list[Any]:
    autocast = torch.amp.autocast_mode.autocast
    return [
        torch.autograd.backward,
        torch.autograd.grad,
        torch.compile,
        nn.Module.__call__,
        nn.Module.compile,
        DataLoader.__iter__,
        logging.Logger.handle,
        autocast.__enter__,
        autocast.__exit__,
        builtins.print,
    ]


def test_a_run_is_bit_for_bit_what_it_is_without_and_everything_is_as_it_was() -> None:
    before, bare = replaced(), Program()
    expected = [*bare.epoch(), *bare.epoch()]
    watched = Program()
    with dynamics_seen(Recorder()) as dynamics:
        assert all(a is not b for a, b in zip(before, replaced(), strict=True))
        losses = [*watched.epoch(), *watched.epoch()]
        pickle.dumps(watched.model)
        copy.deepcopy(watched.optimizer)
    assert all(a is b for a, b in zip(before, replaced(), strict=True))
    assert torch.equal(torch.stack(losses), torch.stack(expected))
    pairs = zip(bare.model.parameters(), watched.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert "switched_off" not in dynamics.state.recorder.facts


def test_names_and_signatures_stay_those_of_the_originals() -> None:
    names = [(item.__name__, item.__doc__) for item in replaced()]
    with dynamics_seen(Recorder()):
        assert [(item.__name__, item.__doc__) for item in replaced()] == names


def test_a_part_that_fails_is_switched_off_and_the_program_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("no")

    monkeypatch.setattr("traindoctor.instruments.kept_graphs.graph_nodes", fail)
    recorder, program = Recorder(), Program()
    with dynamics_seen(recorder):
        program.epoch()
    assert recorder.facts["switched_off"] == ["KeptGraphs: ValueError: no"]
    assert [row.num_trained for row in recorder.served] == [4]


class Unhashable(torch.optim.SGD):
    __hash__ = None  # type: ignore[assignment]


def test_an_optimizer_that_cannot_be_looked_at_steps_all_the_same() -> None:
    recorder, program = Recorder(), Program()
    program.optimizer = Unhashable(program.model.parameters(), lr=0.1)
    with dynamics_seen(recorder):
        program.epoch()
    expected = Program()
    expected.epoch()
    assert torch.equal(program.model.head.weight, expected.model.head.weight)
    assert "Flips: TypeError: unhashable type: 'Unhashable'" in recorder.facts["switched_off"]


# Served


def validated(program: Program, validate: Any, epochs: int = 2) -> Any:
    recorder, other = Recorder(), loader(seed=1)
    with dynamics_seen(recorder):
        for _ in range(epochs):
            program.model.train()
            program.epoch()
            validate(program.model, other)
    return next(row for row in recorder.served if row.num_trained == 0)


def test_a_validation_in_train_mode_shows_what_its_layers_did() -> None:
    def validate(model: nn.Module, loader: Any) -> None:
        with torch.no_grad():
            for x, _ in loader:
                model(x)

    row = validated(Program(), validate)
    assert (row.num_passes, row.num_batches, row.num_called) == (2, 8, 8)
    assert (row.num_training, row.num_with_graph) == (8, 0)
    assert (row.dropouts, row.batch_norms) == (("body.3",), ("body.1",))
    assert row.place.text == "model(x)"
    assert row.module_class == "Net"


def test_a_validation_in_eval_mode_does_not() -> None:
    def validate(model: nn.Module, loader: Any) -> None:
        model.eval()
        for x, _ in loader:
            model(x)

    row = validated(Program(), validate)
    assert (row.num_called, row.num_training, row.num_with_graph) == (8, 0, 8)
    assert (row.dropouts, row.batch_norms) == ((), ())


def test_several_calls_a_batch_and_passes_in_a_row_are_told_apart() -> None:
    def validate(model: nn.Module, loader: Any) -> None:
        for _ in range(3):
            for x, _y in loader:
                model(x)
                model(x)

    row = validated(Program(), validate, epochs=1)
    assert (row.num_called, row.num_called_again) == (0, 12)
    assert (row.num_passes, row.num_repeated) == (3, 2)


def test_what_is_trained_on_is_no_validation_and_libraries_calls_are_theirs() -> None:
    recorder, program, other = Recorder(), Program(), loader(seed=1)
    with dynamics_seen(recorder):
        program.epoch()
        for x, _ in other:
            with torch.no_grad():
                y = program.model(x).argmax(1)
            program.step(x, y)
        torch.optim.swa_utils.update_bn(loader(seed=2), program.model)  # type: ignore[no-untyped-call]
    assert [row.num_trained for row in recorder.served] == [4, 4, 0]
    assert [row.num_called for row in recorder.served] == [0, 0, 0]


# Kept graphs. The loops stand in functions of their own: pytest's asserts look at variables.


def listing(program: Program, losses: Any, epochs: int) -> None:
    for _ in range(epochs):
        for x, y in program.loader:
            losses.append(program.step(x, y))


def adding(program: Program, epochs: int) -> torch.Tensor:
    total = torch.zeros(())
    for _ in range(epochs):
        for x, y in program.loader:
            total = total + program.step(x, y)
    return total


def kept(train: Any) -> list[KeptRow]:
    recorder = Recorder()
    with dynamics_seen(recorder):
        train(Program())
    assert "switched_off" not in recorder.facts
    return recorder.kept


def test_graphs_that_a_list_keeps_are_counted_and_the_list_is_named() -> None:
    rows = kept(lambda program: listing(program, [], 5))
    assert (rows[-1].backward, rows[-1].num_kept) == (19, 16)  # the last three are left out
    assert (rows[-1].holder, rows[-1].kind) == ("losses", "list")
    assert rows[-1].num_held == 6  # it was looked for when there were six
    assert [row.num_kept for row in rows[:6]] == [0, 0, 0, 0, 1, 2]


def test_a_sum_of_losses_keeps_them_all_and_is_named() -> None:
    rows = kept(lambda program: adding(program, 4))
    assert (rows[-1].num_kept, rows[-1].holder, rows[-1].kind) == (12, "total", "Tensor")


def test_numbers_and_the_last_loss_keep_nothing() -> None:
    rows = kept(lambda program: [[loss.item() for loss in program.epoch()] for _ in range(4)])
    assert {row.num_kept for row in rows} == {0}


def test_where_nothing_is_kept_some_passes_are_marked_and_a_leak_is_still_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("traindoctor.instruments.kept_graphs.CALM_AFTER", 20)

    def train(program: Program) -> None:
        for _ in range(10):
            program.epoch()
        listing(program, [], 10)

    rows = kept(train)
    assert {row.num_kept for row in rows if row.backward < 40} == {0}
    # Of the first eight that were kept one was marked; then each, the last three left out.
    assert 40 - 3 - 2 * 8 <= rows[-1].num_kept <= 40 - 3
    assert rows[-1].kind == "list"


def test_a_deque_that_drops_its_oldest_is_a_kind_of_its_own() -> None:
    rows = kept(lambda program: listing(program, deque(maxlen=100), 4))
    assert (rows[-1].holder, rows[-1].kind) == ("losses", "bounded deque")


def test_a_function_that_looks_at_its_own_variables_is_left_alone() -> None:
    recorder, program, losses = Recorder(), Program(), []
    mine = locals()
    before = dict(mine)
    with dynamics_seen(recorder):
        for _ in range(4):
            for x, y in program.loader:
                losses.append(program.step(x, y))
    assert mine == before
    assert (recorder.kept[-1].num_kept, recorder.kept[-1].holder) == (12, "")


def test_what_a_program_lets_go_of_is_gone() -> None:
    recorder = Recorder()
    with dynamics_seen(recorder):
        program = Program()
        program.epoch()
        gone = [weakref.ref(item) for item in (program.model, program.optimizer, program.loader)]
        del program
        gc.collect()
        assert [reference() for reference in gone] == [None, None, None]


def test_what_two_passes_share_is_what_their_nodes_have_in_common() -> None:
    recorder, program, passes, shared = Recorder(), Program(), [], []
    carried = torch.zeros(())
    x, y = next(iter(loader()))
    with dynamics_seen(recorder):
        for _ in range(4):
            carried = 0.5 * carried + F.cross_entropy(program.model(x), y)
            nodes = {n for n in graph_nodes(carried.grad_fn) if not hasattr(n, "variable")}
            shared.append(len(nodes & set().union(*passes)) if passes else 0)
            passes.append(nodes)
            carried.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    assert [row.num_stale for row in recorder.graphs] == shared
    assert [row.num_nodes for row in recorder.graphs] == [len(nodes) for nodes in passes]
    assert [row.is_retained for row in recorder.graphs] == [True] * 4
    assert [row.num_reached_again > 0 for row in recorder.graphs] == [True, True, True, False]


def twice_over_features(program: Program) -> torch.Tensor:
    """Compute the features once, and return the loss before the last, which is no part of that."""
    x, _ = next(iter(loader()))
    features = [program.model(x) for _ in range(3)]
    newest = features[-1]
    for _ in range(2):
        loss = torch.stack(features).square().mean() + newest.sum()
        loss.backward(retain_graph=True)
        left_over = loss
    return left_over


def test_the_variable_is_named_that_holds_what_two_passes_share() -> None:
    recorder = Recorder()
    with dynamics_seen(recorder):
        twice_over_features(Program())
    assert [row.attribute for row in recorder.graphs] == ["", "features"]


@pytest.mark.parametrize("is_added", [True, False])
def test_an_earlier_loss_in_a_later_one_is_told_from_the_same_again(is_added: bool) -> None:
    recorder, weight = Recorder(), nn.Parameter(torch.ones(3))
    with dynamics_seen(recorder):
        loss = weight.square().sum()
        loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
        again = loss + weight.sum() if is_added else loss
        again.backward()  # type: ignore[no-untyped-call]
    found = [(row.is_same_loss, row.is_earlier_loss) for row in recorder.graphs]
    assert found == [(False, False), (not is_added, is_added)]


def test_a_graph_created_or_gone_through_by_grad_is_not_retained_for_nothing() -> None:
    recorder, program = Recorder(), Program()
    x, y = next(iter(loader()))
    with dynamics_seen(recorder):
        program.step(x, y, create_graph=True)
        loss = F.cross_entropy(program.model(x), y)
        loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
        torch.autograd.grad(loss, list(program.model.parameters()))
    created, retained = recorder.graphs
    assert (created.is_retained, retained.is_retained) == (False, True)
    assert retained.num_reached_again > 0


def test_a_long_run_takes_a_bounded_room() -> None:
    recorder, weight, kept = Recorder(), torch.zeros((), requires_grad=True), []
    with dynamics_seen(recorder) as dynamics:
        for _ in range(MOST_ALIVE + 2000):
            loss = weight * 1.0
            loss.backward()  # type: ignore[no-untyped-call]
            kept.append(loss)
        assert len(dynamics.parts[1].alive) == MOST_ALIVE  # type: ignore[attr-defined]
    assert len(recorder.kept) < 100
    assert len(recorder.graphs) == NUM_WALKED


# Flips and autocast


def test_what_is_frozen_and_unfrozen_between_steps_is_named() -> None:
    recorder, program = Recorder(), Program()
    with dynamics_seen(recorder):
        program.epoch()
        program.model.body.requires_grad_(False)
        program.epoch()
        program.model.body[0].requires_grad_(True)
        program.epoch()
    frozen, unfrozen = recorder.flips
    assert (frozen.step, frozen.num_frozen, frozen.num_trainable) == (4, 4, 2)
    assert frozen.frozen == ("body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias")
    assert (unfrozen.step, unfrozen.unfrozen) == (8, ("body.0.weight", "body.0.bias"))


def test_a_critic_that_is_frozen_while_its_generator_learns_has_not_changed() -> None:
    recorder, critic, maker = Recorder(), nn.Linear(2, 1), nn.Linear(2, 2)
    of_critic = torch.optim.SGD(critic.parameters(), lr=0.1)
    of_maker = torch.optim.SGD(maker.parameters(), lr=0.1)
    with dynamics_seen(recorder):
        for _ in range(3):
            critic.requires_grad_(True)
            critic(torch.randn(4, 2)).mean().backward()
            of_critic.step()
            critic.requires_grad_(False)
            critic(maker(torch.randn(4, 2))).mean().backward()
            of_maker.step()
    assert recorder.flips == []


@pytest.mark.parametrize(("is_inside", "counts"), [(True, (4, 0, 0)), (False, (0, 0, 4))])
def test_layers_are_counted_by_the_precision_they_compute_in(
    is_inside: bool, counts: tuple[int, int, int]
) -> None:
    recorder, program = Recorder(), Program()
    with dynamics_seen(recorder):
        for x, y in program.loader:
            program.optimizer.zero_grad()
            outputs = program.model(x) if not is_inside else None
            with torch.autocast("cpu", dtype=torch.bfloat16):
                outputs = program.model(x) if outputs is None else outputs
                loss = F.cross_entropy(outputs, y)
            loss.backward()  # type: ignore[no-untyped-call]
            program.optimizer.step()
    (row,) = recorder.autocasts
    assert (row.num_low, row.num_full, row.num_outside) == counts
    assert (row.device_type, row.dtype, row.is_on) == ("cpu", "bfloat16", True)
    assert row.num_entries == 2  # those of the third and fourth step


def test_rows_can_be_written_while_the_run_goes_on() -> None:
    recorder, program = Recorder(), Program()
    with dynamics_seen(recorder) as dynamics:
        assert isinstance(dynamics, Dynamics)
        program.epoch()
        dynamics.write()
        dynamics.write()
        assert len(recorder.kept) == 4
        program.epoch()
    assert len(recorder.kept) == 8
