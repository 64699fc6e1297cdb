"""Padding must matter neither as a label nor as a token."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.changing import changed

from traindoctor.probing import Finding, Severity
from traindoctor.trace import ModuleRow, Place, SetupRow, Trace
from traindoctor_probes.padding_effect import NoOptions, examine

LABELS = "labels at padding changed"
UNLABELLED = "no labels at padding"
TOKENS = "no labels at padding, tokens there changed"
LONGER = "no labels at padding, more of it"
NONE = {LABELS: 2.0, UNLABELLED: 2.0, TOKENS: 2.0, LONGER: 2.0}
PADDING = {
    "mask": "attention_mask",
    "tokens": "input_ids",
    "share": 0.4,
    "value": 0,
    "label": 0,
    "label_share": 0.4,
    "is_inverted": False,
}
OWN = ModuleRow(path="", is_users=True, keywords=("input_ids", "attention_mask"))
LIBRARYS = ModuleRow(path="", keywords=("input_ids", "attention_mask"))
PLAINLY_CALLED = ModuleRow(path="", keywords=("input_ids",))
TAKES_MASK = SetupRow(forward_parameters=("input_ids", "attention_mask"))


def found(losses: dict[str, float], model: ModuleRow = OWN, **facts: Any) -> list[Finding]:
    step = Trace(setup=TAKES_MASK, modules=(model,))
    trace = changed({**NONE, **losses}, padding={**PADDING, **facts})
    return list(examine(asks(step, changed_batch=trace), NoOptions()))


def test_labels_at_padding_that_count_are_an_error() -> None:
    (finding,) = found({LABELS: 2.5, UNLABELLED: 3.0, TOKENS: 3.0, LONGER: 3.0})
    assert (finding.code, finding.severity) == ("TD111", Severity.ERROR)
    assert finding.title.startswith("40%")
    assert "the padding token" in finding.message


@pytest.mark.parametrize(
    ("losses", "facts"),
    [
        ({}, {}),  # the loss leaves them out by itself
        ({LABELS: 2.5}, {"label": None}),  # labels of another sequence
        ({LABELS: 2.5}, {"label_share": 0.01}),
        ({LABELS: 2.00001}, {}),
    ],
)
def test_labels_that_do_not_count_are_healthy(losses: Any, facts: Any) -> None:
    assert found(losses, **facts) == []


@pytest.mark.parametrize(
    ("model", "facts", "how"),
    [
        (OWN, {}, "not used"),
        (PLAINLY_CALLED, {}, "not given"),
        (LIBRARYS, {"mask": ""}, "not given"),
    ],
)
def test_tokens_at_padding_that_change_the_others_are_an_error(
    model: ModuleRow, facts: Any, how: str
) -> None:
    (finding,) = found({TOKENS: 2.3, LONGER: 2.2}, model, **facts)
    assert (finding.code, finding.severity) == ("TD015", Severity.ERROR)
    assert finding.title.endswith(how)


@pytest.mark.parametrize(
    ("losses", "model"),
    [
        ({TOKENS: 2.3, LONGER: 2.2}, LIBRARYS),  # it has the mask, and sees padding by design
        ({TOKENS: 2.3}, OWN),  # a sum over embeddings in which padding is zero
        ({LONGER: 2.3}, OWN),
    ],
)
def test_other_models_are_healthy(losses: Any, model: ModuleRow) -> None:
    assert found(losses, model) == []


def test_rows_that_cannot_be_longer_are_judged_unless_padding_is_embedded_as_zeros() -> None:
    trace = changed({UNLABELLED: 2.0, TOKENS: 2.3}, padding=PADDING)
    table = ModuleRow(path="words", attributes={"padding_idx": 0})
    for modules, number in (((OWN,), 1), ((OWN, table), 0)):
        step = Trace(setup=TAKES_MASK, modules=modules)
        assert len(list(examine(asks(step, changed_batch=trace), NoOptions()))) == number


TURNED: Any = {"is_inverted": True, "value": None, "label": None}


@pytest.mark.parametrize(
    ("losses", "model"), [({}, OWN), ({}, LIBRARYS), ({TOKENS: 2.3}, LIBRARYS)]
)
def test_a_mask_the_wrong_way_round_hides_what_it_should_keep(
    losses: dict[str, float], model: ModuleRow
) -> None:
    (finding,) = found(losses, model, **TURNED)
    assert (finding.code, finding.title[-19:]) == ("TD015", "the wrong way round")
    (fix,) = (remedy.title for remedy in finding.remedies if remedy.recommended)
    assert fix == "Turn the mask the right way round"


def test_a_mask_that_is_turned_before_its_use_is_healthy() -> None:
    assert found({TOKENS: 2.3}, OWN, **TURNED) == []
    by_hand = Trace(setup=replace(TAKES_MASK, has_train_step=True), modules=(LIBRARYS,))
    trace = changed({**NONE, TOKENS: 2.3}, padding={**PADDING, **TURNED})
    assert list(examine(asks(by_hand, changed_batch=trace), NoOptions())) == []


def test_a_mean_over_no_labels_says_nothing_of_a_mask() -> None:
    nothing = {UNLABELLED: math.nan, TOKENS: math.nan, LONGER: math.nan}
    assert found(nothing, LIBRARYS, **TURNED) == []
    assert found(nothing, OWN) == []


@pytest.mark.parametrize(
    ("losses", "facts", "key"),
    [
        ({LABELS: 2.5}, {}, "labels"),
        ({TOKENS: 2.3, LONGER: 2.2}, {"mask": ""}, "input_ids"),
        ({}, TURNED, "attention_mask"),
    ],
)
def test_the_line_that_makes_the_tensor_at_fault_is_named(
    losses: dict[str, float], facts: Any, key: str
) -> None:
    lines = {"input_ids": 20, "attention_mask": 21, "labels": 22}
    made = {name: Place("/user/data.py", line, "collate") for name, line in lines.items()}
    trace = changed({**NONE, **losses}, padding={**PADDING, **facts})
    trace = replace(trace, setup=replace(trace.setup, forward_place=Place()))
    step = Trace(setup=TAKES_MASK, modules=(LIBRARYS,))
    ask = asks(step, changed_batch=trace, trace_batch=Trace(facts={"made": made}))
    (finding,) = examine(ask, NoOptions())
    assert finding.location.line == lines[key]
