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


def test_what_holds_no_tensor_is_listed_with_what_does() -> None:
    step = passed("mask", minimum=0.0, maximum=1.0)
    root = replace(step.modules[0], keywords=("x", "mask", "names"))
    step, ignored = replace(step, modules=(root,)), ("mask", "names")
    (finding,) = found(step, forward_keys=Trace(facts={"ignored": ignored}))
    assert "mask, names" in finding.title
    only_names = Trace(facts={"ignored": ("names",)})
    assert found(step, forward_keys=only_names) == []


def test_the_line_that_calls_the_model_is_named_and_mended() -> None:
    step = passed("mask", minimum=0.0, maximum=1.0)
    call = Place("/user/train.py", 9, "step", "outputs = model(**batch)")
    made = Place("/user/data.py", 3, "collate", "mask = torch.ones(4)")
    root = replace(step.modules[0], call_place=call)
    librarys = replace(step.setup, forward_place=Place())
    (finding,) = found(
        replace(step, modules=(root,), setup=librarys),
        forward_keys=Trace(facts={"ignored": ("mask",)}),
        trace_batch=Trace(facts={"made": {"mask": made}}),
    )
    assert (finding.location.line, [place.line for place in finding.also_at]) == (9, [9, 3])
    assert finding.remedies[0].after.splitlines()[1] == "    batch.pop(key, None)"


def test_keys_are_judged_behind_a_batch_that_is_no_dict_and_a_shape_that_is_refused() -> None:
    own = batch(leaf("x", 4, 3), kind="dataclass", class_name="Points", protocols=("mapping", "to"))
    first = stopped(raised("TypeError", "object of type 'Points' has no len()"), own)
    shape = raised("RuntimeError", "mat1 and mat2 shapes cannot be multiplied (4x3 and 5x8)")
    mapped = replace(passed("mask", minimum=0.0, maximum=1.0), exceptions=(shape,))
    facts = {"ignored": ("mask",), "left_out": "x"}
    (finding,) = found(first, one_step_as_mapping=mapped, forward_keys=Trace(facts=facts))
    assert finding.code == "TD002"
    assert "tried without x" in finding.message


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
