"""A validation in train mode is an error, one with gradients on a warning, sampling is neither."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks

from traindoctor.errors import CannotJudge
from traindoctor.probing import Confidence, Finding, NoOptions, Severity
from traindoctor.trace import BackwardRow, Place, ServedRow, SourceRow, StepRow, Trace
from traindoctor_probes.validation_mode import examine

FILE = "/user/train.py"
CODE = """\
def validate(model, loader):
    for x, y in loader:
        model(x)

def sample(model, loader):
    model.train()
    for x, y in loader:
        model(x)

def fit(model, loader, other, optimizer):
    model.train()
    for x, y in loader:
        model(x).backward()
    for x, y in other:
        model(x)

def evaluate(model, loader):
    outputs = []
    model.train()
    for x, y in loader:
        outputs.append(model(x).argmax(1))

def teach(model, loader, labelled):
    model.train()
    for x, _ in loader:
        guessed = model(x).argmax(1)
        model(next(labelled)).backward()
"""
TRAINED = ServedRow(dataset=0, num_batches=12, num_trained=12)
SICK = ServedRow(
    dataset=1,
    module_class="Net",
    place=Place(FILE, 3, "validate"),
    num_passes=2,
    num_batches=8,
    num_called=8,
    num_training=8,
    dropouts=("body.3",),
    batch_norms=("body.1", "body.5"),
)


def found(row: ServedRow, optimizers: tuple[int, ...] = (0, 0)) -> list[Finding]:
    run = Trace(
        backwards=(BackwardRow(index=0, step=0, batch=0),),
        steps=tuple(StepRow(index=n, optimizer=number) for n, number in enumerate(optimizers)),
        served=(TRAINED, row),
    )
    source = Trace(source=(SourceRow(file=FILE, text=CODE),))
    return list(examine(asks(short_run=run, long_run=run, read_source=source), NoOptions()))


def test_a_validation_that_comes_later_is_seen_in_the_long_run() -> None:
    early = Trace(backwards=(BackwardRow(index=0, step=0, batch=0),), steps=(StepRow(index=0),))
    late = replace(early, served=(TRAINED, SICK))
    source = Trace(source=(SourceRow(file=FILE, text=CODE),))
    ask = asks(short_run=early, long_run=late, read_source=source)
    assert [finding.code for finding in examine(ask, NoOptions())] == ["TD702"]


def test_train_mode_is_an_error_with_what_the_layers_did() -> None:
    (finding,) = found(SICK)
    assert (finding.code, finding.severity) == ("TD702", Severity.ERROR)
    assert finding.location.line == 3
    assert finding.title == "The model is validated in train mode, over 8 validation batches"
    assert "dropout drew a mask in body.3" in finding.message
    assert "running statistics of body.* (2) were written to" in finding.message


def test_a_loop_that_trains_and_validates_has_set_train_mode_for_the_training() -> None:
    (finding,) = found(replace(SICK, place=Place(FILE, 15, "fit")))
    assert finding.severity is Severity.ERROR


def test_train_mode_that_serves_no_purpose_is_a_warning_at_the_line_that_sets_it() -> None:
    (finding,) = found(replace(SICK, place=Place(FILE, 21, "evaluate")))
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.LIKELY)
    assert (finding.location.line, [place.line for place in finding.also_at]) == (19, [21])


@pytest.mark.parametrize(
    "kept",
    [
        {"batch_norms": ()},  # it may be set for the masks
        {"dropouts": ()},  # or for the statistics
        {"place": Place(FILE, 26, "teach")},  # labels guessed for the training
    ],
)
def test_train_mode_that_may_serve_a_purpose_is_silent(kept: dict[str, Any]) -> None:
    row = replace(SICK, place=Place(FILE, 21, "evaluate"))
    assert found(replace(row, **kept)) == []
    (finding,) = found(replace(row, num_with_graph=8))
    assert finding.subject == "graph"


def test_gradients_alone_are_a_warning_and_with_train_mode_part_of_the_error() -> None:
    (finding,) = found(replace(SICK, num_training=0, num_with_graph=8))
    assert finding.severity is Severity.WARNING
    assert finding.remedies[0].recommended
    (finding,) = found(replace(SICK, num_with_graph=8))
    assert finding.severity is Severity.ERROR
    assert "Gradients were on as well" in finding.message


@pytest.mark.parametrize(
    "row",
    [
        replace(SICK, num_training=0),  # eval mode, and no gradients
        replace(SICK, dropouts=(), batch_norms=()),  # nothing in it depends on the mode
        replace(SICK, num_called=0, num_called_again=8),  # Monte Carlo dropout
        replace(SICK, num_passes=8, num_repeated=6),  # the same by whole passes
        replace(SICK, branches_on_mode=True),  # a detector that returns losses in train mode
        replace(SICK, place=Place(FILE, 8, "sample")),  # takes statistics anew
        replace(SICK, num_trained=1),
        replace(SICK, num_called=1, num_training=1),
        ServedRow(dataset=1, num_batches=8),  # nobody called the model
    ],
)
def test_what_is_no_validation_in_train_mode_is_silent(row: ServedRow) -> None:
    assert found(row) == []


def test_several_optimizers_draw_in_train_mode_on_purpose() -> None:
    assert found(SICK, optimizers=(0, 1)) == []


def test_without_a_backward_pass_nothing_is_judged() -> None:
    with pytest.raises(CannotJudge):
        list(examine(asks(short_run=Trace()), NoOptions()))
