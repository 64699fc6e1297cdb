"""The same batch in every step is an error, unless somebody meant it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.loading import DATASET, LOADER, LOOP, labelled, loader, one_pass, run

from traindoctor.errors import ExperimentFailed
from traindoctor.probing import Confidence, Finding, NoOptions, Severity
from traindoctor.trace import EvaluationRow, LeafRow, ModuleRow, Place, PulseRow, Trace
from traindoctor_probes.repeated_batches import examine

CALL = Place("/user/train.py", 33, "train", "loss = loss_fn(model(x), y)")


def found(trace: Trace, **others: Trace) -> list[Finding]:
    return list(examine(asks(short_run=trace, **others), NoOptions()))


def begun(number: int = 6, digests: str = "a", **facts: Any) -> list[Any]:
    given = {"is_left": True} | facts
    return [
        one_pass(digests[index % len(digests)], index=index, number=index, **given)
        for index in range(number)
    ]


def again(passes: list[Any], **facts: Any) -> list[Finding]:
    facts = {"num_passes": len(passes), "num_fetched": len(passes)} | facts
    return found(run(loaders=[loader(**facts)], passes=passes))


def test_a_new_iterator_in_each_step_is_named_where_it_is_made() -> None:
    (finding,) = again(begun())
    assert (finding.code, finding.severity) == ("TD503", Severity.ERROR)
    assert finding.location.line == LOOP.line
    assert "began 6 passes over the loader and took one batch of each" in finding.message


@pytest.mark.parametrize(
    ("passes", "facts"),
    [
        (begun(digests="abcdef"), {}),  # shuffled: another first batch each time
        (begun(1), {}),  # one batch, fetched once
        (begun(is_left=False, has_ended=True), {"num_batches": 1}),  # all there is
        (begun(), {"num_batches": 1}),
        (begun(is_by_user=False), {}),  # a library's test of one batch
        ([], {}),
        ([*begun(), one_pass(*"abcdef", index=6)], {"num_fetched": 12}),  # a look before training
    ],
)
def test_batches_that_differ_or_are_all_there_is_are_healthy(passes: Any, facts: Any) -> None:
    assert again(passes, **facts) == []


def kept_each(num_steps: int, number: int = 4, **facts: Any) -> list[Finding]:
    """Return what is found of so many steps on as many batches, one of each pass."""
    passes = begun(number, "abcdefgh", **facts)
    seen = run(loaders=[loader(num_passes=number, num_fetched=number)], passes=passes)
    return found(replace(seen, pulses=(PulseRow(last_step=num_steps - 1),)))


def test_a_batch_that_is_kept_for_all_of_an_epoch_s_steps_is_named_where_it_is_fetched() -> None:
    (finding,) = kept_each(40)
    assert (finding.code, finding.severity) == ("TD503", Severity.ERROR)
    assert (finding.confidence, finding.location.line) == (Confidence.LIKELY, LOOP.line)
    assert finding.title.startswith("10 steps see one and the same batch")


@pytest.mark.parametrize(
    ("num_steps", "number", "facts"),
    [
        (20, 4, {}),  # five steps within each task
        (39, 4, {}),
        (20, 2, {}),  # two passes may have ten steps by chance
        (40, 4, {"is_by_user": False}),
        (40, 4, {"has_ended": True}),
        (4, 4, {}),  # a step on each
    ],
)
def test_steps_on_one_batch_of_another_number_are_meant(
    num_steps: int, number: int, facts: dict[str, Any]
) -> None:
    assert kept_each(num_steps, number, **facts) == []


def constant(**facts: Any) -> Trace:
    leaf = LeafRow(key="x", shape=(4, 3), dtype="float32", sample_digests=("s",) * 4)
    batches = [labelled(index, 0, 0, 0, 0) for index in range(6)]
    batches = [type(row)(index=row.index, size=4, digest="same", leaves=(leaf,)) for row in batches]
    return run(loaders=[loader(**facts)], passes=[one_pass(*"aaaaaa")], batches=batches)


def test_a_data_set_that_ignores_its_index_is_named_at_its_method() -> None:
    (finding,) = found(constant())
    assert finding.location.line == DATASET.line
    assert "so are the 4 samples in them" in finding.message


def test_equal_samples_of_a_library_s_data_set_are_named_at_the_loader() -> None:
    (finding,) = found(constant(dataset_is_users=False))
    assert (finding.location.line, finding.severity) == (LOADER.line, Severity.WARNING)


def test_batches_of_one_sample_may_be_the_whole_data() -> None:
    (finding,) = found(constant(batch_size=1))
    assert finding.severity is Severity.WARNING


def test_one_sample_by_its_index_or_a_list_of_one_batch_is_meant() -> None:
    assert found(constant(is_one_index=True)) == []
    assert found(constant(is_dataloader=False)) == []


def kept(inputs: str = "aaaaaa") -> Trace:
    noted = [(index, digest) for index, digest in enumerate(inputs)]
    return run(
        loaders=[loader()],
        passes=[one_pass(*"abcdef")],
        batches=[labelled(index, 0, 1, 2, 3) for index in range(6)],
        modules=[ModuleRow(path="", call_place=CALL)],
        model_inputs=noted,
    )


def tried(these: str, others: str) -> Trace:
    rows = [EvaluationRow(label="these", value=float(value)) for value in these]
    rows += [EvaluationRow(label="others", value=float(value)) for value in others]
    return Trace(evaluations=tuple(rows))


def test_a_loop_that_computes_with_a_batch_it_has_kept_is_named() -> None:
    (finding,) = found(kept(), other_batches=tried("4321", "4321"))
    assert (finding.location.line, finding.also_at[0].line) == (LOOP.line, CALL.line)
    assert "has the same 4 losses" in finding.message


def test_constant_inputs_with_targets_of_their_own_are_healthy() -> None:
    assert found(kept(), other_batches=tried("4321", "4567")) == []
    assert found(kept(), other_batches=tried("0000", "0000")) == []  # another rule's
    assert found(kept("abcdef")) == []


def test_a_watched_run_cannot_be_run_again() -> None:
    with pytest.raises(ExperimentFailed):
        found(kept())
