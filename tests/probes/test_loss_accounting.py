"""A running loss is reported where a branch keeps batches out that its divisor counts."""

from __future__ import annotations

import textwrap

from tests.probes.asking import asks

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import (
    BackwardRow,
    BatchRow,
    CountRow,
    Place,
    SetupRow,
    SourceRow,
    StepRow,
    Trace,
)
from traindoctor_probes.loss_accounting import examine

FILE = "/user/train.py"
SICK = """\
def train(model, loader, optimizer, every):
    running = 0.0
    for i, batch in enumerate(loader):
        loss = model(batch)
        (loss / every).backward()
        if (i + 1) % every == 0:
            optimizer.step()
            running += loss.item()
    return running / len(loader)
"""


def line_with(text: str, code: str) -> int:
    return next(n for n, line in enumerate(code.splitlines(), start=1) if text in line)


def found(code: str, count: int = 3, backwards: int = 12, total: str = "+= ") -> list[Finding]:
    """Judge a program whose totals were added to `count` times, against `backwards` passes."""
    code = textwrap.dedent(code)
    lines = code.splitlines()
    totals = [n for n, line in enumerate(lines, start=1) if total in line]
    back = Place(FILE, line_with(".backward()", code), "train")
    run = Trace(
        setup=SetupRow(has_train_loop=True),
        batches=tuple(BatchRow(index=n) for n in range(backwards)),
        backwards=tuple(
            BackwardRow(index=n, step=n, batch=n, place=back) for n in range(backwards)
        ),
        steps=tuple(StepRow(index=n) for n in range(count)),
        counts=tuple(
            CountRow(place=Place(FILE, n, "train", lines[n - 1].strip()), count=count)
            for n in totals
        ),
    )
    read = Trace(source=(SourceRow(file=FILE, text=code),))
    return list(examine(asks(short_run=run, read_source=read), NoOptions()))


def test_a_total_in_the_branch_that_steps_is_an_error_at_its_line() -> None:
    (finding,) = found(SICK)
    assert finding.code == "TD805"
    assert finding.location.line == line_with("running +=", SICK)
    assert [place.line for place in finding.also_at] == [line_with("if (i", SICK)]
    assert "`running` counts the loss of 3 of 12 batches" in finding.title


def test_a_total_of_every_batch_is_silent() -> None:
    assert found(SICK.replace("            running", "        running"), count=12) == []


def test_a_branch_that_ran_for_every_batch_is_silent() -> None:
    assert found(SICK, count=12) == []


def test_a_mean_over_what_was_counted_is_silent() -> None:
    code = SICK.replace(
        "            running += loss.item()",
        "            running += loss.item()\n            num += 1",
    ).replace("running / len(loader)", "running / num")
    assert found(code) == []


def test_a_step_counter_in_the_branch_is_no_divisor() -> None:
    code = SICK.replace(
        "            running += loss.item()",
        "            running += loss.item()\n            num_steps += 1",
    )
    assert [finding.subject for finding in found(code)] == ["running"]


def test_a_mean_over_the_steps_is_silent() -> None:
    assert found(SICK.replace("len(loader)", "(len(loader) // every)")) == []


def test_logging_every_n_batches_is_silent() -> None:
    code = """\
    def train(model, loader, optimizer, every):
        shown = 0.0
        for i, batch in enumerate(loader):
            loss = model(batch)
            loss.backward()
            optimizer.step()
            if i % 4 == 0:
                shown += loss.item()
        return shown
    """
    assert found(code) == []


def test_a_window_that_holds_every_batch_is_silent() -> None:
    code = """\
    def train(model, loader, optimizer, every):
        total, window = 0.0, 0.0
        for i, batch in enumerate(loader):
            loss = model(batch)
            loss.backward()
            window = window + loss.item()
            if i % 4 == 0:
                optimizer.step()
                total += window
                window = 0.0
        return total / len(loader)
    """
    assert found(code, total="total += ") == []


def test_a_backward_pass_in_the_same_branch_is_silent() -> None:
    code = """\
    def train(model, loader, optimizer, every):
        total = 0.0
        for i, batch in enumerate(loader):
            loss = model(batch)
            if loss.isfinite():
                loss.backward()
                optimizer.step()
                total += loss.item()
        return total / len(loader)
    """
    assert found(code) == []


def test_a_total_of_something_else_is_silent() -> None:
    code = SICK.replace("running += loss.item()", "seen += len(batch)")
    assert found(code) == []
