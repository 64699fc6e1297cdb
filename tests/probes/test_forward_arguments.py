"""Keys that a forward refuses or never reads are named; those that it reads by **kwargs are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import FORWARD, SETUP, asks, batch, leaf, raised, stopped

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import ModuleRow, Place, Trace
from traindoctor_probes.forward_arguments import examine

BATCH = batch(leaf("x", 4, 3), leaf("ids", 4, dtype="int64"), other_keys=("names",))
MESSAGE = "Net.forward() got an unexpected keyword argument 'ids'"


def found(step: Trace, **others: Trace) -> list[Finding]:
    return list(examine(asks(step, **others), NoOptions()))


def test_all_refused_keys_are_listed_not_only_the_one_in_the_message() -> None:
    row = raised("TypeError", MESSAGE, module_keywords=("x", "ids", "names"), place=Place())
    (finding,) = found(stopped(row, BATCH))
    assert (finding.code, finding.severity) == ("TD001", Severity.CRITICAL)
    assert "does not take ids, names" in finding.title
    assert finding.location.line == FORWARD.line
    assert "TD011" in finding.explains


def test_keys_of_a_module_inside_are_found_by_trying() -> None:
    row = raised("TypeError", MESSAGE, module="inner", module_keywords=("x", "ids", "names"))
    tried = Trace(facts={"rejected": ("names",)})
    (finding,) = found(stopped(row, BATCH), forward_keys=tried)
    assert "ids, names" in finding.title


def test_an_argument_that_is_no_key_of_the_batch_is_another_fault() -> None:
    message = "Block.forward() got an unexpected keyword argument 'maskk'"
    assert found(stopped(raised("TypeError", message, module="block"), BATCH)) == []


def test_labels_alone_without_a_loss_function_are_a_missing_loss() -> None:
    message = MESSAGE.replace("ids", "labels")
    labelled = batch(leaf("x", 4, 3), leaf("labels", 4, dtype="int64"))
    row = raised("TypeError", message, module_keywords=("x", "labels"))
    assert found(stopped(row, labelled)) == []
    by_hand = replace(SETUP, has_train_step=True)
    assert [f.code for f in found(stopped(row, labelled, setup=by_hand))] == ["TD001"]


def passed(key: str, **values: Any) -> Trace:
    root = ModuleRow(path="", keywords=("x", key))
    return Trace(
        setup=replace(SETUP, forward_takes_kwargs=True),
        modules=(root,),
        batches=(batch(leaf("x", 4, 3), leaf(key, 4, 3, **values)),),
    )


def test_a_key_that_changes_nothing_is_ignored() -> None:
    step = passed("mask", minimum=0.0, maximum=1.0)
    (finding,) = found(step, forward_keys=Trace(facts={"ignored": ("mask",)}))
    assert (finding.code, finding.severity) == ("TD002", Severity.WARNING)
    assert "mask" in finding.title


@pytest.mark.parametrize(
    ("step", "ignored"),
    [
        (passed("mask", minimum=1.0, maximum=1.0), ("mask",)),  # all ones: nothing to say
        (passed("mask", minimum=0.0, maximum=1.0), ()),  # it changes the loss
        (passed("mask", minimum=0.0, maximum=1.0), ("other",)),  # not passed by the user's step
    ],
)
def test_a_key_that_matters_or_cannot_matter_is_left_alone(
    step: Trace, ignored: tuple[str, ...]
) -> None:
    assert found(step, forward_keys=Trace(facts={"ignored": ignored})) == []


def test_without_further_keywords_nothing_is_tried() -> None:
    step = Trace(setup=SETUP, modules=(ModuleRow(path="", keywords=("x",)),), batches=(BATCH,))
    assert found(step) == []
