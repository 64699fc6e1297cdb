"""What handlers catch is counted as a loop that notes everything by hand would count it."""

from __future__ import annotations

import builtins
import gc
import inspect
import pickle
import types
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import nn

from traindoctor.experiments import Lab, ShortRun
from traindoctor.instruments.handled import handled_seen
from traindoctor.instruments.recorder import Recorder, Stopped
from traindoctor.target.reference import load
from traindoctor.target.setup import TrainingSetup
from traindoctor.target.woven import listening, woven_codes
from traindoctor.trace import Trace


class Skip(Exception):
    """An exception of the user's own."""


def swallow(error: BaseException | None) -> str:
    try:
        if error is not None:
            raise error
    except ValueError:  # the first handler
        return "value"
    except (KeyError, Skip):  # the second handler
        return "key"
    return "none"


def pass_on(error: BaseException) -> None:
    try:
        raise error
    except ValueError as caught:
        if caught.args:
            raise


def wrap(error: BaseException) -> None:
    try:
        pass_on(error)
    except ValueError as caught:
        raise RuntimeError("wrapped") from caught


def outermost(act: Callable[[], None]) -> str:
    try:
        act()
    except Exception:  # the one that keeps it
        return "kept"
    return "none"


def recorded(act: Callable[[], Any], recorder: Recorder | None = None) -> Recorder:
    recorder = recorder or Recorder()
    with handled_seen(recorder):
        act()
    return recorder


def line_of(function: Callable[..., Any], text: str) -> int:
    lines, first = inspect.getsourcelines(function)
    return first + next(index for index, line in enumerate(lines) if text in line)


def test_each_handler_and_raising_line_is_counted_with_its_batches() -> None:
    recorder = Recorder()

    def act() -> None:
        for batch, error in enumerate([ValueError("a"), None, KeyError("b"), ValueError("c")]):
            recorder.batch = batch
            swallow(error)

    recorded(act, recorder)
    first, second = recorder.handled
    assert (first.type_name, first.message, first.count, first.batches) == (
        "ValueError",
        "a",
        2,
        (0, 3),
    )
    assert first.handler.line == line_of(swallow, "# the first handler")
    assert first.raised.line == line_of(swallow, "raise error")
    assert (second.type_name, second.count, second.batches) == ("KeyError", 1, (2,))
    assert second.handler.line == line_of(swallow, "# the second handler")
    assert "raise error" in first.traceback
    assert first.traceback.endswith("ValueError: a")


def test_of_an_exception_that_is_raised_again_the_last_handler_counts() -> None:
    recorder = recorded(lambda: outermost(lambda: pass_on(ValueError("again"))))
    assert [row.handler.text for row in recorder.handled] == [
        "except Exception:  # the one that keeps it"
    ]


def test_of_an_exception_that_is_wrapped_the_last_handler_counts() -> None:
    recorder = recorded(lambda: outermost(lambda: wrap(ValueError("again"))))
    assert [(row.handler.function, row.type_name) for row in recorder.handled] == [
        ("outermost", "RuntimeError")
    ]


def test_what_no_handler_keeps_is_not_counted() -> None:
    recorder = Recorder()
    with handled_seen(recorder), pytest.raises(Stopped), recorder.watching("train_loop"):
        pass_on(ValueError("escapes"))
    assert recorder.handled == []
    assert [row.message for row in recorder.exceptions] == ["escapes"]


def test_exceptions_at_one_address_are_told_apart() -> None:
    recorder = recorded(lambda: [swallow(ValueError(n)) for n in range(50)])
    assert recorder.handled[0].count == 50


def test_the_functions_are_the_same_objects_with_the_same_lines_while_they_are_woven() -> None:
    code, source = swallow.__code__, inspect.getsource(swallow)
    names = set(vars(builtins)), set(globals())
    with listening(Listening()):
        assert swallow.__code__ is not code
        assert inspect.getsource(swallow) == source
        assert inspect.signature(swallow).parameters.keys() == {"error"}
        assert pickle.loads(pickle.dumps(swallow)) is swallow
        assert swallow.__code__.co_firstlineno == code.co_firstlineno
        lines = {line for *_, line in swallow.__code__.co_lines() if line}
        assert lines == {line for *_, line in code.co_lines() if line}
    assert swallow.__code__ is code
    assert (set(vars(builtins)), set(globals())) == names


class Listening:
    def __init__(self) -> None:
        self.lines: list[int] = []

    def caught(self, frame: types.FrameType, error: BaseException) -> None:
        self.lines.append(frame.f_lineno)

    def counted(self, frame: types.FrameType) -> None:
        self.lines.append(frame.f_lineno)


def test_the_code_comes_back_when_user_code_raises() -> None:
    code = swallow.__code__
    with pytest.raises(SystemExit), listening(Listening()):
        raise SystemExit
    assert swallow.__code__ is code


def test_closures_methods_and_generators_are_woven_and_what_outlives_it_still_runs() -> None:
    class Reader:
        def read(self) -> str:
            return swallow(ValueError())

    def numbers() -> Iterable[int]:
        for number in range(3):
            try:
                yield 1 // number
            except ZeroDivisionError:
                yield -1

    with listening(Listening()):
        stream = iter(numbers())
    assert list(stream) == [-1, 1, 0]
    assert recorded(Reader().read).handled[0].count == 1


def test_a_function_whose_file_says_something_else_is_left_as_it_is() -> None:
    namespace: dict[str, Any] = {}
    text = "def f():\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        return 1\n"
    exec(compile(text, __file__, "exec"), namespace)
    code = namespace["f"].__code__
    with listening(Listening()):
        assert namespace["f"].__code__ is code


def test_a_file_that_cannot_be_read_or_parsed_has_no_woven_code(tmp_path) -> None:  # type: ignore[no-untyped-def]
    broken = tmp_path / "broken.py"
    broken.write_text("%matplotlib inline\n")
    assert woven_codes(str(broken)) == {}
    assert woven_codes(str(tmp_path / "missing.py")) == {}


def test_a_caught_exception_is_not_kept_alive() -> None:
    class Canary:
        pass

    def act() -> None:
        canary = Canary()
        swallow(ValueError(canary))

    recorder = recorded(act)
    gc.collect()
    assert recorder.handled
    assert not any(isinstance(item, Canary) for item in gc.get_objects())


def run_of(train: Callable[..., None], **more: Any) -> Trace:
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    loader = [(torch.randn(5, 4), torch.randint(0, 3, (5,))) for _ in range(8)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    setup = TrainingSetup(model=model, loader=loader, optimizer=optimizer, train_loop=train, **more)
    return Lab(setup).perform(ShortRun())


def skipping(model, loader, optimizer, epochs) -> None:  # type: ignore[no-untyped-def]
    for _ in range(epochs):
        total = 0.0
        for index, (x, y) in enumerate(loader):
            try:
                loss = nn.functional.cross_entropy(model(x[:, : 4 - (index == 2)]), y)
                optimizer.zero_grad()
                loss.backward()
                if index == 4:
                    raise ValueError("after the backward pass")
                optimizer.step()
                total += loss.item()
            except (RuntimeError, ValueError):
                continue


def test_batches_lost_before_and_after_the_backward_pass_are_told_apart() -> None:
    trace = run_of(skipping)
    by_type = {row.type_name: row for row in trace.handled}
    assert by_type["RuntimeError"].batches == (2, 8)
    assert by_type["RuntimeError"].after_backward == ()
    assert by_type["ValueError"].batches == (4, 10)
    assert by_type["ValueError"].after_backward == (4, 10)
    assert {row.batch for row in trace.backwards} == set(range(12)) - {2, 8}


def test_additions_to_a_total_are_counted() -> None:
    trace = run_of(skipping)
    assert [(row.place.text, row.count) for row in trace.counts] == [("total += loss.item()", 8)]
    assert len(trace.steps) == 8


class Wrapper(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.expert = nn.Linear(2, 2)


def test_an_attribute_that_a_wrapper_lacks_is_found_in_what_it_wraps() -> None:
    (row,) = recorded(lambda: outermost(lambda: Wrapper().bias)).handled
    assert (row.sought, row.sought_on, row.found_on) == ("bias", "Wrapper", "expert (Linear)")
    (row,) = recorded(lambda: outermost(lambda: Wrapper().nothing)).handled
    assert (row.sought, row.found_on) == ("nothing", "")


FACTORY = """
import torch

def setup():
    model = torch.nn.Linear(2, 2)
    try:
        model.wieght.zero_()
    except AttributeError:
        pass
    return model, [(torch.ones(1, 2), torch.ones(1, 2))]
"""


def test_what_is_caught_while_a_setup_is_made_stands_in_the_short_run(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "making.py").write_text(FACTORY)
    setup = load(f"{tmp_path}/making.py:setup", {})
    (row,) = Lab(setup).perform(ShortRun()).handled
    assert (row.phase, row.type_name, row.count, row.batches) == (
        "setup",
        "AttributeError",
        1,
        (-1,),
    )
    assert (row.handler.line, row.raised.line) == (8, 7)
