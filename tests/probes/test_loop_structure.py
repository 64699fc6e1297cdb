"""A step behind the batch loop and an epoch of one batch are told from what is meant so."""

from __future__ import annotations

import textwrap
from typing import Any

from tests.probes.asking import asks

from traindoctor.probing import Confidence, Finding, NoOptions
from traindoctor.trace import (
    BackwardRow,
    BatchRow,
    ExceptionRow,
    Place,
    SetupRow,
    SourceRow,
    StepRow,
    Trace,
)
from traindoctor_probes.loop_structure import examine

FILE = "/user/train.py"
BEHIND = """\
def train(model, loader, optimizer, epochs):
    for epoch in range(epochs):
        for i, batch in enumerate(loader):
            optimizer.zero_grad()
            loss = model(batch)
            loss.backward()
        optimizer.step()
"""
EARLY = """\
def train(model, loader, optimizer, epochs):
    for epoch in range(epochs):
        for i, batch in enumerate(loader):
            loss = model(batch)
            loss.backward()
            optimizer.step()
            break
"""


def found(
    code: str, served: tuple[int, ...] = (6, 6), stepped: Any = (5, 11), **setup: Any
) -> list[Finding]:
    """Judge a program that was served so many batches an epoch and stepped after these."""
    code = textwrap.dedent(code)
    lines = code.splitlines()

    def place(text: str) -> Place:
        number = next(n for n, line in enumerate(lines, start=1) if text in line)
        return Place(FILE, number, "train", lines[number - 1].strip())

    epochs = [epoch for epoch, size in enumerate(served) for _ in range(size)]
    run = Trace(
        setup=SetupRow(**{"has_train_loop": True, "num_batches": 40} | setup),
        batches=tuple(BatchRow(index=n, epoch=epoch) for n, epoch in enumerate(epochs)),
        backwards=tuple(
            BackwardRow(index=n, step=0, batch=n, place=place(".backward()"))
            for n in range(len(epochs))
        ),
        steps=tuple(
            StepRow(index=n, batch=b, place=place(".step()")) for n, b in enumerate(stepped)
        ),
        facts={"loop_places": [place("in enumerate(loader)")]},
    )
    read = Trace(source=(SourceRow(file=FILE, text=code),))
    return list(examine(asks(short_run=run, read_source=read), NoOptions()))


def test_a_step_behind_the_batch_loop_is_an_error_at_the_step() -> None:
    (finding,) = found(BEHIND)
    assert (finding.code, finding.confidence) == ("TD808", Confidence.CERTAIN)
    assert finding.location.line == 7
    assert "2 for 12" in finding.title
    assert "the last batch's gradient" in finding.message


def test_a_sum_of_gradients_that_nobody_divides_is_likely_a_mistake() -> None:
    code = BEHIND.replace("            optimizer.zero_grad()\n", "")
    (finding,) = found(code)
    assert finding.confidence is Confidence.LIKELY
    assert "the sum of all batches' gradients" in finding.message


def test_full_batch_training_is_silent() -> None:
    code = BEHIND.replace("            optimizer.zero_grad()\n", "").replace(
        "loss.backward()", "(loss / len(loader)).backward()"
    )
    assert found(code) == []


def test_epochs_of_one_batch_that_the_loader_has_are_silent() -> None:
    assert found(BEHIND, served=(1, 1), stepped=(0, 1), num_batches=1) == []


def test_declared_accumulation_is_silent() -> None:
    assert found(BEHIND, accumulation_steps=6) == []


def test_steps_in_the_loop_are_silent() -> None:
    code = BEHIND.replace("        optimizer.step()", "            optimizer.step()")
    assert found(code, stepped=range(12)) == []


def test_a_step_at_the_epochs_end_that_stands_in_the_loop_is_silent() -> None:
    code = BEHIND.replace(
        "        optimizer.step()",
        "            if i % 8 == 7 or i + 1 == len(loader):\n                optimizer.step()",
    )
    assert found(code) == []


def test_a_step_in_the_caller_of_the_epoch_is_found() -> None:
    code = """\
    def train_epoch(model, loader, optimizer):
        for i, batch in enumerate(loader):
            optimizer.zero_grad()
            model(batch).backward()

    def train(model, loader, optimizer, epochs):
        for epoch in range(epochs):
            train_epoch(model, loader, optimizer)
            optimizer.step()
    """
    (finding,) = found(code)
    assert finding.location.line == 9


def test_a_break_after_the_first_batch_is_an_error_at_the_break() -> None:
    (finding,) = found(EARLY, served=(1, 1), stepped=(0, 1))
    assert (finding.code, finding.confidence) == ("TD809", Confidence.CERTAIN)
    assert finding.location.line == 7
    assert "2 epochs served 2 batches; the loader has 40" in finding.message


def test_a_return_in_the_loop_is_found_too() -> None:
    (finding,) = found(EARLY.replace("break", "return loss"), served=(1,), stepped=(0,))
    assert "return loss" in finding.title


def test_a_break_under_the_batchs_number_is_likely_one_left_over() -> None:
    code = EARLY.replace("            break", "            if i == 0:\n                break")
    (finding,) = found(code, served=(1, 1), stepped=(0, 1))
    assert (finding.confidence, finding.location.line) == (Confidence.LIKELY, 8)


def test_a_declared_smoke_run_is_silent() -> None:
    code = EARLY.replace(
        "            break", "            if args.smoke and i == 0:\n                break"
    )
    assert found(code, served=(1, 1), stepped=(0, 1)) == []


def test_an_early_stop_is_silent() -> None:
    code = EARLY.replace(
        "            break", "            if loss.item() < 0.01:\n                break"
    )
    assert found(code, served=(1, 1), stepped=(0, 1)) == []


def test_a_break_of_an_inner_loop_ends_no_epoch() -> None:
    code = EARLY.replace(
        "            break", "            for name in model:\n                break"
    )
    assert found(code, served=(1, 1), stepped=(0, 1)) == []


def test_a_loader_of_one_batch_is_silent() -> None:
    assert found(EARLY, served=(1, 1), stepped=(0, 1), num_batches=1) == []


def test_a_loop_that_an_exception_ended_is_not_judged() -> None:
    run = Trace(
        setup=SetupRow(has_train_loop=True),
        batches=(BatchRow(index=0),),
        exceptions=(ExceptionRow(phase="train_loop", type_name="ValueError", message=""),),
        facts={"loop_places": [Place(FILE, 3)]},
    )
    assert list(examine(asks(short_run=run), NoOptions())) == []
