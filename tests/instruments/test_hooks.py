"""The user's hooks are watched as they are, and a hook that is tried leaves nothing behind."""

from __future__ import annotations

import functools
import random
from collections import deque
from typing import Any

import pytest
import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from traindoctor.experiments import Lab, ShortRun
from traindoctor.experiments.try_hooks import TryHooks
from traindoctor.instruments.contained import TooLarge, call_contained
from traindoctor.instruments.hooks import Hooks
from traindoctor.instruments.output_kinds import examples, kind_of_output
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import HookRow


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, return_dict: bool = False) -> Any:
        hidden = self.layer(x)
        if return_dict:
            return BaseModelOutput(last_hidden_state=hidden)
        return hidden, hidden.norm()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = Encoder(), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x)[0])


def a_setup(model: nn.Module | None = None, **more: Any) -> TrainingSetup:
    torch.manual_seed(0)
    loader = [(torch.randn(5, 4), torch.randint(0, 3, (5,))) for _ in range(6)]
    settings = {"loss_fn": nn.CrossEntropyLoss()} | more
    return TrainingSetup(model=model or Net(), loader=loader, **settings)


def rows(setup: TrainingSetup) -> tuple[HookRow, ...]:
    return Lab(setup).perform(ShortRun()).hooks


class Observer:
    def __init__(self) -> None:
        self.calls = 0

    def look(self, module: nn.Module, args: Any, output: Any) -> None:
        self.calls += 1  # by hand

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        self.calls += 1


def before(prefix: str, module: nn.Module, args: Any) -> None:
    return None


def test_each_kind_of_hook_is_seen_with_its_calls_and_what_it_was_given() -> None:
    setup, observer = a_setup(), Observer()
    model: Any = setup.model
    model.encoder.register_forward_hook(observer.look)
    model.head.register_forward_hook(observer)
    model.head.register_forward_pre_hook(functools.partial(before, "x"))
    model.head.register_full_backward_hook(lambda module, grad_input, grad_output: None)
    found = {(row.hook, row.module, row.kind): row for row in rows(setup)}
    assert set(found) == {
        ("Observer.look", "encoder", "forward"),
        ("Observer", "head", "forward"),
        ("before", "head", "forward-pre"),
        (
            "test_each_kind_of_hook_is_seen_with_its_calls_and_what_it_was_given.<lambda>",
            "head",
            "backward",
        ),
    }
    assert {row.num_calls for row in found.values()} == {6}
    assert observer.calls == 12
    assert found["Observer.look", "encoder", "forward"].given == ("tuple",)
    assert found["Observer", "head", "forward"].given == ("Tensor",)
    assert "def look" in found["Observer.look", "encoder", "forward"].place.text


def test_the_hooks_are_the_users_own_again_afterwards() -> None:
    setup, observer = a_setup(), Observer()
    model: Any = setup.model
    handle = model.head.register_forward_hook(observer)
    register = nn.Module.register_forward_hook
    with Hooks(setup).watching():
        assert list(model.head._forward_hooks.values()) != [observer]
    assert list(model.head._forward_hooks.values()) == [observer]
    assert nn.Module.register_forward_hook is register
    handle.remove()
    assert not model.head._forward_hooks


def test_hooks_that_are_registered_or_removed_meanwhile_are_followed() -> None:
    setup, observer = a_setup(), Observer()
    model: Any = setup.model
    first = model.head.register_forward_hook(observer)
    hooks = Hooks(setup)
    with hooks.watching():
        first.remove()
        second = model.encoder.register_forward_hook(observer)
        model(torch.randn(2, 4))
        second.remove()
    assert [(hook.path, hook.num_calls) for hook in hooks.hooks] == [("head", 0), ("encoder", 1)]
    assert not model.head._forward_hooks
    assert not model.encoder._forward_hooks


def test_a_module_that_only_a_closure_holds_is_found() -> None:
    setup, teacher = a_setup(), nn.Linear(4, 3)
    teacher.register_forward_hook(Observer())

    def loss_fn(outputs: torch.Tensor, batch: Any) -> torch.Tensor:
        return nn.functional.mse_loss(outputs, teacher(batch[0]).detach())

    setup.loss_fn = loss_fn
    assert [(row.module, row.num_calls) for row in rows(setup)] == [("teacher", 6)]


def raising(module: nn.Module, args: Any, output: Any) -> None:
    output.shape  # noqa: B018  where it raises


def test_a_hook_that_raises_is_named_with_its_line_and_what_it_was_given() -> None:
    setup = a_setup()
    setup.model.encoder.register_forward_hook(raising)  # type: ignore[union-attr,operator]
    trace = Lab(setup).perform(ShortRun())
    (row,) = trace.hooks
    assert (row.error_type, row.error_given, row.num_calls) == ("AttributeError", "tuple", 1)
    assert "# noqa: B018  where it raises" in row.error_place.text
    assert trace.exceptions[0].type_name == "AttributeError"


class EarlyExit(Exception):
    pass


def leaving(module: nn.Module, args: Any, output: Any) -> None:
    raise EarlyExit


def test_an_exception_of_the_users_own_class_is_told_apart() -> None:
    setup = a_setup()
    setup.model.encoder.register_forward_hook(leaving)  # type: ignore[union-attr,operator]
    assert rows(setup)[0].is_users_error


def test_values_that_are_returned_are_counted_and_cuts_among_them() -> None:
    setup = a_setup()
    model: Any = setup.model
    model.head.register_forward_hook(lambda module, args, output: output)
    model.head.register_forward_hook(lambda module, args, output: output + 1)
    model.head.register_forward_pre_hook(lambda module, args: (args[0].detach(),))
    found = rows(setup)
    assert [(row.kind, row.num_replaced, row.num_cut) for row in found] == [
        ("forward", 0, 0),
        ("forward", 6, 0),
        ("forward-pre", 6, 6),
    ]


def only_tensors(module: nn.Module, args: Any, output: Any) -> None:
    hidden = output[0] if isinstance(output, tuple) else output
    hidden.mean()


def test_a_hook_is_tried_with_the_kinds_it_has_not_met() -> None:
    setup = a_setup()
    setup.model.encoder.register_forward_hook(only_tensors)  # type: ignore[union-attr,operator]
    (row,) = Lab(setup).perform(TryHooks()).hooks
    assert row.possible == ("tuple", "ModelOutput")
    assert [(kind, bool(error)) for kind, error in row.tried] == [
        ("tensor", False),
        ("tuple", False),
        ("ModelOutput", True),
        ("dict", True),
    ]
    assert row.tried_place.text == "hidden.mean()"


def test_a_layer_of_torch_is_tried_with_what_it_returned_alone() -> None:
    setup = a_setup()
    setup.model.head.register_forward_hook(only_tensors)  # type: ignore[union-attr,operator]
    (row,) = Lab(setup).perform(TryHooks()).hooks
    assert row.tried == (("tensor", ""),)


class Codec(nn.Module):
    def encode(self, audio: torch.Tensor, rate: int) -> torch.Tensor:
        return audio * rate

    def forward(self, audio: torch.Tensor, rate: int = 1) -> tuple[int, torch.Tensor]:
        return rate, self.encode(audio, rate)


class Coded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.codec, self.head = Codec(), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.codec.encode(x, rate=2))


def test_a_module_that_is_entered_past_its_forward_has_that_called() -> None:
    model = Coded()
    model.codec.register_forward_hook(only_tensors)
    batches = [(torch.ones(2, 4), torch.ones(2, 1))] * 3
    setup = TrainingSetup(model=model, loader=batches, loss_fn=nn.MSELoss())
    (row,) = Lab(setup).perform(TryHooks()).hooks
    assert (row.entered_by, row.would_give) == ("encode", "(int, Tensor)")
    assert (row.num_calls, row.possible) == (0, ("tuple",))
    assert "'int' object has no attribute 'mean'" in dict(row.tried)["tuple"]
    assert "encode" not in vars(model.codec)


def test_without_hooks_nothing_is_run() -> None:
    trace = Lab(a_setup()).perform(TryHooks())
    assert (trace.hooks, trace.batches, trace.losses) == ((), (), ())


def test_the_examples_are_of_the_kinds_they_are_named_for() -> None:
    found, possible = examples(Encoder(), None)
    assert {kind: kind_of_output(value) for kind, value in found.items()} == {
        kind: kind for kind in ("tensor", "tuple", "ModelOutput", "dict")
    }
    assert set(possible) == {"tuple", "ModelOutput"}


TOTAL = 0


class Keeper:
    def __init__(self) -> None:
        self.seen: dict[str, deque[Any]] = {"x": deque([1], maxlen=4)}
        self.mean = torch.zeros(3)
        self.count = 0
        self.nested = Observer()


def test_a_contained_call_is_undone() -> None:
    keeper, module, counter = Keeper(), nn.Linear(3, 3), 0

    def hook(module: nn.Module, output: torch.Tensor) -> None:
        global TOTAL  # noqa: PLW0603  what is to be undone
        nonlocal counter
        counter += 1
        TOTAL += 1
        keeper.count += 1
        keeper.nested.calls += 1
        keeper.seen["x"].append(output)
        keeper.seen["y"] = deque()
        keeper.mean += output.mean() + random.random()
        torch.manual_seed(7)

    state = torch.get_rng_state()
    assert call_contained(hook, module, torch.ones(3)) is None
    assert (counter, TOTAL, keeper.count, keeper.nested.calls) == (0, 0, 0, 0)
    assert keeper.seen == {"x": deque([1])}
    assert keeper.mean.tolist() == [0, 0, 0]
    assert torch.equal(torch.get_rng_state(), state)


def test_a_contained_call_ends_before_it_writes_to_a_file(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    done = []

    def through_open() -> None:
        with open(tmp_path / "a", "w") as file:
            file.write("x")

    def through_torch() -> None:
        torch.save({}, tmp_path / "b")

    def through_a_handler() -> None:
        try:
            (tmp_path / "c").mkdir()
        except Exception:
            done.append("held")

    def printing() -> None:
        print("to the terminal")

    for act in (through_open, through_torch, through_a_handler, printing):
        assert call_contained(act) is None
    assert list(tmp_path.iterdir()) == []
    assert done == []
    assert capsys.readouterr().out == ""


def test_a_contained_call_returns_what_was_raised() -> None:
    error = call_contained(only_tensors, nn.Identity(), (), {})
    assert isinstance(error, AttributeError)


def test_a_function_that_holds_too_much_is_not_called(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("traindoctor.instruments.contained.MOST_BYTES", 100)
    large, called = torch.zeros(100), []
    with pytest.raises(TooLarge):
        call_contained(lambda: called.append(large))
    assert called == []
