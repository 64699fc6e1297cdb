"""Which optimizer goes on with what a file held."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from tests.instruments.loops import loss_of, network, trace_of
from torch import load as load_under_another_name

from traindoctor.instruments.recorder import Recorder
from traindoctor.trace import CheckpointRow


def saved(kind: Any = torch.optim.AdamW, **settings: Any) -> io.BytesIO:
    """Return the file of a run of one step."""
    model = network()
    optimizer = kind(model.parameters(), lr=0.1, **settings)
    loss_of(model).backward()
    optimizer.step()
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optim": optimizer.state_dict(), "epoch": 1}, file)
    file.seek(0)
    return file


def resumed(restore: Any, read: Any = torch.load, file: Any = None) -> tuple[CheckpointRow, ...]:
    """Go on from a file; `restore` is given what was read, the model and its optimizer."""

    file = file or saved()

    def loop(recorder: Recorder) -> None:
        content = read(file)
        model = network()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        restore(content, model, optimizer)
        for _ in range(2):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()

    return trace_of(loop).checkpoints


@pytest.mark.parametrize("read", [torch.load, load_under_another_name])
def test_an_optimizer_that_begins_with_nothing_is_seen(read: Any) -> None:
    (row,) = resumed(lambda content, model, _: model.load_state_dict(content["model"]), read)
    assert (row.keys, row.num_states, row.num_held) == (("model", "optim", "epoch"), 4, 4)
    assert (row.module_class, row.optimizer, row.optimizer_class) == ("Sequential", 0, "AdamW")
    assert (row.num_restored, row.num_kept, row.num_shared) == (0, 4, 4)
    assert row.state_names == row.kept_names == ("exp_avg", "exp_avg_sq", "step")
    assert row.place.function == "loop"


def test_a_restored_state_is_seen_however_it_was_restored() -> None:
    def as_documented(content: Any, model: Any, optimizer: Any) -> None:
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optim"])

    def by_hand(content: Any, model: Any, optimizer: Any) -> None:
        model.load_state_dict(content["model"])
        kept = content["optim"]["state"]
        for index, p in enumerate(model.parameters()):
            optimizer.state[p] = kept[index]

    assert [(row.num_restored, row.num_received) for row in resumed(as_documented)] == [(4, 1)]
    assert [row.num_restored for row in resumed(by_hand)] == [4]


def test_weights_in_another_mapping_are_the_same_tensors() -> None:
    def reordered(content: Any, model: Any, _: Any) -> None:
        model.load_state_dict({key: content["model"][key] for key in reversed(content["model"])})

    assert resumed(reordered)[0].module_class == "Sequential"


def test_a_state_for_an_optimizer_that_never_steps_is_wasted() -> None:
    def wasted(content: Any, model: Any, _: Any) -> None:
        model.load_state_dict(content["model"])
        torch.optim.AdamW(model.parameters()).load_state_dict(content["optim"])

    (row,) = resumed(wasted)
    assert (row.num_received, row.num_wasted, row.num_restored) == (1, 1, 0)


def test_files_without_a_state_are_nothing_to_note() -> None:
    weights = io.BytesIO()
    torch.save({"model": network().state_dict()}, weights)
    weights.seek(0)
    give = lambda content, model, _: model.load_state_dict(content["model"])  # noqa: E731
    assert resumed(give, file=weights) == ()
    assert resumed(give, file=saved(torch.optim.SGD)) == ()  # which keeps none without momentum


def test_what_was_read_is_not_kept_alive_and_nothing_stays_replaced() -> None:
    before = torch.load, torch.serialization._load, torch.nn.Module.load_state_dict
    weak: list[Any] = []

    def loop(recorder: Recorder) -> None:
        import gc
        import weakref

        content = torch.load(saved())
        weak.append(weakref.ref(content["optim"]["state"][0]["exp_avg"]))
        del content
        gc.collect()
        assert weak[0]() is None

    trace_of(loop)
    assert (torch.load, torch.serialization._load, torch.nn.Module.load_state_dict) == before
