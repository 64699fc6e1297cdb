"""The model, the loss function and the user's own steps get what their signatures ask."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from traindoctor.errors import TargetError
from traindoctor.target.calling import (
    NoLoss,
    call_by_name,
    call_model,
    find_loss,
    returned_loss,
)
from traindoctor.target.setup import TrainingSetup

X, Y, Z = torch.ones(2, 3), torch.zeros(2, dtype=torch.long), torch.full((2,), 2.0)


def echo(forward: Callable[..., Any], batch: Any, loss_fn: Any = None) -> Any:
    """Call a model whose forward is `forward` and return what it returned."""
    model = type("Echo", (nn.Module,), {"forward": staticmethod(forward)})()
    return call_model(model, batch, TrainingSetup(model=model, loader=[], loss_fn=loss_fn))


def anything(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


@dataclass
class Batch:
    x: torch.Tensor
    labels: torch.Tensor


def test_a_mapping_becomes_keywords() -> None:
    assert echo(anything, {"x": X, "labels": Y}) == ((), {"x": X, "labels": Y})


def test_a_dataclass_becomes_keywords() -> None:
    assert echo(anything, Batch(X, Y)) == ((), {"x": X, "labels": Y})


def test_labels_that_only_the_loss_reads_are_held_back() -> None:
    assert echo(lambda x: x, {"x": X, "labels": Y}, loss_fn=F.cross_entropy) is X


def test_labels_are_passed_where_forward_names_them() -> None:
    batch = {"x": X, "labels": Y}
    assert echo(lambda x, labels: labels, batch, loss_fn=F.cross_entropy) is Y


def test_labels_are_not_held_back_without_a_loss_function() -> None:
    with pytest.raises(TypeError, match="labels"):
        echo(lambda x: x, {"x": X, "labels": Y})


def test_a_pair_is_inputs_and_targets() -> None:
    assert echo(lambda x: x, (X, Y)) is X
    assert echo(anything, [X, Y]) == ((X,), {})


def test_inputs_in_a_mapping_become_keywords() -> None:
    assert echo(anything, ({"x": X}, Y)) == ((), {"x": X})


def test_inputs_in_a_tuple_become_positional() -> None:
    assert echo(anything, ((X, Z), Y)) == ((X, Z), {})


def test_the_last_of_three_is_the_targets() -> None:
    assert echo(anything, (X, Z, Y)) == ((X, Z), {})


def test_a_forward_that_needs_both_gets_both() -> None:
    assert echo(lambda source, shifted: shifted, (X, Y), loss_fn=F.cross_entropy) is Y


def test_a_forward_that_names_targets_gets_them_where_it_makes_the_loss() -> None:
    def forward(ids: Any, targets: Any = None) -> Any:
        return targets

    assert echo(forward, (X, Y)) is Y
    assert echo(forward, (X, Y), loss_fn=F.cross_entropy) is None


def test_a_forward_of_one_parameter_gets_inputs_of_several_parts_whole() -> None:
    def reading(inputs: Any) -> Any:
        return inputs[0], inputs[1]

    def unpacking(inputs: Any) -> Any:
        x, mask, task = inputs
        return x, mask, task

    assert echo(reading, ([X, Z], Y), loss_fn=F.cross_entropy) == (X, Z)
    assert echo(unpacking, ([X, Z, X], Y), loss_fn=F.cross_entropy) == (X, Z, X)
    assert echo(unpacking, (X, Z, X, Y), loss_fn=F.cross_entropy) == (X, Z, X)
    assert echo(lambda x: x, ([X], Y), loss_fn=F.cross_entropy) is X


def test_a_forward_of_as_many_parameters_as_the_inputs_have_parts_gets_them() -> None:
    def forward(x: Any, mask: Any, task: Any = None) -> Any:
        return x, mask, task

    assert echo(lambda x, mask, task: (x, mask, task), ([X, Z, X], Y)) == (X, Z, X)
    assert echo(forward, ([X, Z], Y), loss_fn=F.cross_entropy) == (X, Z, None)
    assert echo(forward, ([X, Z, X], Y), loss_fn=F.cross_entropy) == (X, Z, X)


def test_without_a_loss_function_a_forward_of_two_gets_inputs_and_targets() -> None:
    boxes = [Y, Y]
    assert echo(lambda images, boxes: boxes, ([X, Z], boxes)) is boxes


def test_more_parts_than_the_forward_takes_are_its_own_error() -> None:
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        echo(lambda x: x, (X, Z, Y), loss_fn=F.cross_entropy)


def test_a_tensor_or_an_object_is_the_only_argument() -> None:
    assert echo(anything, X) == ((X,), {})
    thing = object()
    assert echo(anything, thing) == ((thing,), {})


def find(outputs: Any, batch: Any = (X, Y), loss_fn: Any = None) -> tuple[Any, str]:
    return find_loss(TrainingSetup(model=nn.Identity(), loader=[], loss_fn=loss_fn), outputs, batch)


LOGITS = torch.randn(2, 4, requires_grad=True)
LOSS = LOGITS.sum()


@pytest.mark.parametrize(
    "loss_fn",
    [
        F.cross_entropy,
        nn.CrossEntropyLoss(),
        functools.partial(F.cross_entropy, label_smoothing=0.0),
        lambda outputs, targets: F.cross_entropy(outputs, targets) * 1.0,
        lambda outputs, y: F.cross_entropy(outputs, y) * 1.0,
        lambda outputs, batch: F.cross_entropy(outputs, batch[1]),
        lambda outputs, b, scale=1.0: F.cross_entropy(outputs, b[1]) * scale,
    ],
)
def test_a_loss_function_gets_the_batch_or_the_targets(loss_fn: Any) -> None:
    loss, source = find(LOGITS, loss_fn=loss_fn)
    assert source == "loss_fn"
    assert torch.equal(loss, F.cross_entropy(LOGITS, Y))


def test_a_loss_function_of_one_parameter_gets_the_outputs() -> None:
    assert find({"a": LOSS}, loss_fn=lambda outputs: outputs["a"]) == (LOSS, "loss_fn")


def test_a_torch_criterion_reads_the_logits_of_an_output() -> None:
    from transformers.modeling_outputs import SequenceClassifierOutput

    outputs = SequenceClassifierOutput(logits=LOGITS)
    loss, _ = find(outputs, {"x": X, "labels": Y}, nn.CrossEntropyLoss())
    assert torch.equal(loss, F.cross_entropy(LOGITS, Y))


def test_the_users_own_criterion_gets_the_output_whole() -> None:
    given = []
    find({"logits": LOGITS}, loss_fn=lambda outputs, target: given.append(outputs))
    assert given == [{"logits": LOGITS}]


def test_a_criterion_without_targets_is_no_loss() -> None:
    with pytest.raises(NoLoss, match="wants targets, and the batch, dict with x, names none"):
        find(LOGITS, {"x": X}, nn.CrossEntropyLoss())


@dataclass
class Outputs:
    loss: Any = None
    logits: Any = None


@pytest.mark.parametrize(
    ("outputs", "source"),
    [
        ({"loss": LOSS, "logits": LOGITS}, "outputs.loss"),
        (Outputs(loss=LOSS), "outputs.loss"),
        ((LOSS, LOGITS), "outputs[0]"),
        ((LOGITS, LOSS), "outputs[1]"),
        ((LOSS, LOGITS.mean()), "outputs[0]"),
        (LOSS, "outputs"),
    ],
)
def test_the_loss_is_found_in_the_outputs(outputs: Any, source: str) -> None:
    assert find(outputs) == (LOSS, source)


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        (LOGITS, r"a tensor of shape \(2, 4\)"),
        ({"logits": LOGITS, "loss": None}, "dict with logits, loss"),
        (Outputs(logits=LOGITS), "Outputs with loss, logits"),
        ((LOGITS, LOSS.detach()), "a tuple of 2"),
        ((LOGITS, LOSS, LOGITS.mean()), "a tuple of 3"),
        (None, "NoneType"),
    ],
)
def test_no_loss_names_what_there_is(outputs: Any, says: str) -> None:
    with pytest.raises(NoLoss, match=says):
        find(outputs)


AVAILABLE = {"model": "m", "batch": "b", "optimizer": "o", "loss_fn": "l", "step": 3}


def test_parameters_are_passed_by_name_and_by_alias() -> None:
    assert call_by_name(lambda opt, data, criterion: (opt, data, criterion), AVAILABLE) == (
        "o",
        "b",
        "l",
    )
    available = {"loader": "L", "scheduler": "s"}
    assert call_by_name(lambda train_loader, sched=None: (train_loader, sched), available) == (
        "L",
        "s",
    )


def test_unknown_parameters_with_defaults_are_left_alone() -> None:
    assert call_by_name(lambda batch, gamma=0.5, *rest, **more: (batch, gamma), AVAILABLE) == (
        "b",
        0.5,
    )


def test_one_unknown_parameter_is_the_batch() -> None:
    assert call_by_name(lambda model, xy: (model, xy), AVAILABLE) == ("m", "b")


def test_positional_only_parameters_are_filled_in_order() -> None:
    def step(model: Any, batch: Any, /, *, step: Any) -> Any:
        return model, batch, step

    assert call_by_name(step, AVAILABLE) == ("m", "b", 3)


def test_bound_methods_are_called_without_their_self() -> None:
    class Task:
        def step(self, batch: Any) -> Any:
            return batch

    assert call_by_name(Task().step, AVAILABLE) == "b"


def test_two_unknown_parameters_are_refused_with_what_there_is() -> None:
    with pytest.raises(TargetError, match=r"asks for 'one', 'two'; what can be passed is model"):
        call_by_name(lambda one, two: None, AVAILABLE)


def test_an_unknown_parameter_beside_the_batch_is_refused() -> None:
    with pytest.raises(TargetError, match="asks for 'tokens'"):
        call_by_name(lambda batch, tokens: None, AVAILABLE)
    with pytest.raises(TargetError, match="asks for 'tokens'"):
        call_by_name(lambda tokens: None, {"loader": "L"})


def test_hidden_parameters_are_refused() -> None:
    with pytest.raises(TargetError, match="asks for nothing by name"):
        call_by_name(lambda *args, **kwargs: None, AVAILABLE)


class Outcome(NamedTuple):
    loss: Any
    accuracy: float


FIRST, SECOND = torch.ones(1, requires_grad=True).sum(), torch.ones(1, requires_grad=True).sum()


@pytest.mark.parametrize(
    ("returned", "loss"),
    [
        (FIRST, FIRST),
        (0.5, 0.5),
        ({"loss": FIRST, "log": {}}, FIRST),
        ((FIRST, {"accuracy": 0.5}), FIRST),
        ((0.5, FIRST), FIRST),
        (Outcome(FIRST, 0.5), FIRST),
        ((0.5, 0.25), None),
        ((FIRST, SECOND), None),
        ({"log": {}}, None),
        ("done", None),
        (None, None),
    ],
)
def test_the_loss_in_what_a_train_step_returns(returned: Any, loss: Any) -> None:
    assert returned_loss(returned) is loss
