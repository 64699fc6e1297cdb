"""What the small commands show is counted from the tables of a run."""

from __future__ import annotations

from typing import Any

import pytest

from traindoctor.experiments.accounts import backward_account, step_account
from traindoctor.experiments.contract import contract
from traindoctor.trace import (
    BackwardRow,
    BatchRow,
    GradientRow,
    HandledRow,
    LeafRow,
    OptimizerRow,
    ParameterRow,
    Place,
    SetupRow,
    StepRow,
    Trace,
)

HANDLER = Place("/user/train.py", 24, "train", "except Exception:")


def run(**tables: Any) -> Trace:
    return Trace(
        **{
            "batches": tuple(BatchRow(index=index) for index in range(4)),
            "backwards": tuple(
                BackwardRow(index=i, step=i // 2, batch=i, through=(i,)) for i in range(4)
            ),
            "steps": tuple(
                StepRow(index=i, num_backwards=2, learning_rates=(1e-3 / (i + 1), 1e-4))
                for i in range(2)
            ),
            "optimizers": (OptimizerRow(index=0, class_name="AdamW", num_held=6),),
            **tables,
        }
    )


def test_steps_are_counted_with_accumulation_and_the_rates_of_each_group() -> None:
    account = step_account(run())
    assert (account["batches"], account["backward_passes"], account["steps"]) == (4, 4, 2)
    assert account["passes_per_step"] == [2]
    (optimizer,) = account["optimizers"]
    assert [g["learning_rates"] for g in optimizer["groups"]] == [[1e-3, 5e-4], [1e-4, 1e-4]]
    assert account["skipped"] == []


def test_passes_whose_gradients_were_cleared_are_no_part_of_a_steps_window() -> None:
    steps = (StepRow(index=0, num_backwards=3), StepRow(index=1, num_backwards=1))
    account = step_account(run(steps=steps, facts={"discarded_backwards": (0, 1)}))
    assert account["passes_per_step"] == [1]


def test_groups_are_named_for_what_they_hold_with_the_norms_of_its_gradients() -> None:
    names = {"backbone.0.weight": 0, "backbone.1.weight": 0, "head.a.bias": 1}
    parameters = tuple(
        ParameterRow(name=name, num_elements=4, group=(0, group)) for name, group in names.items()
    )
    gradients = tuple(
        GradientRow(step=step, parameter=name, rms=3.0 / (step + 1))
        for step in range(2)
        for name in list(names)[:2]
    )
    account = step_account(run(parameters=parameters, gradients=gradients))
    backbone, head = account["optimizers"][0]["groups"]
    assert (backbone["name"], head["name"]) == ("backbone", "head.a")
    # Two tensors of four elements of 3 each: the root of 72.
    assert backbone["gradient_norms"] == [pytest.approx(72**0.5), pytest.approx(18**0.5)]
    assert head["gradient_norms"] == [None, None]


def test_who_skipped_is_the_handler_that_caught() -> None:
    caught = HandledRow(handler=HANDLER, type_name="KeyError", count=3, batches=(1, 2, 3))
    (item,) = step_account(run(handled=(caught,)))["skipped"]
    assert item["number"] == 3
    assert item["what"] == "KeyError caught by `except Exception:`"
    assert item["place"] == "/user/train.py:24"


def test_batches_without_backward_and_gradients_without_a_step_are_counted() -> None:
    backwards = (BackwardRow(index=0, step=0, batch=0, through=(0, 1)),)
    skipped = step_account(run(backwards=backwards, facts={"discarded_backwards": (0,)}))["skipped"]
    assert [(item["number"], item["what"]) for item in skipped] == [
        (2, "a batch came to no backward pass"),
        (1, "the gradients of a backward pass were used by no step"),
    ]


def test_a_backward_pass_names_the_earlier_batches_that_it_goes_through() -> None:
    rows = (
        BackwardRow(index=0, step=0, batch=0, through=(0,)),
        BackwardRow(index=1, step=1, batch=1, through=(0, 1)),
    )
    assert [row["earlier"] for row in backward_account(run(backwards=rows))] == [[], [0]]


def takers(batch: BatchRow, **facts: Any) -> dict[str, str]:
    given = {"forward_parameters": ("input_ids", "mask")} | facts
    return {row["key"]: row["taken_by"] for row in contract(SetupRow(**given), batch)["keys"]}


IDS, LABELS = (
    LeafRow(key="input_ids", shape=(4, 8), dtype="int64"),
    LeafRow(key="labels", shape=(4,), dtype="int64"),
)


def test_a_key_is_taken_by_the_forward_the_loss_function_kwargs_or_nobody() -> None:
    batch = BatchRow(index=0, leaves=(IDS, LABELS), other_keys=("names",))
    assert takers(batch, has_loss_fn=True) == {
        "input_ids": "input_ids",
        "labels": "the loss function",
        "names": "nobody",
    }
    assert takers(batch, forward_takes_kwargs=True)["labels"] == "**kwargs"
    assert takers(batch, has_train_loop=True)["names"] == "your own step"


def test_the_parts_of_a_tuple_are_taken_by_position() -> None:
    parts = (
        LeafRow(key="0", shape=(4, 8), dtype="float32"),
        LeafRow(key="1", shape=(4,), dtype=""),
    )
    batch = BatchRow(index=0, kind="sequence", leaves=parts)
    assert takers(batch, has_loss_fn=True) == {"0": "input_ids", "1": "the loss function"}
    assert takers(batch) == {"0": "input_ids", "1": "mask"}


def test_the_parts_of_nested_inputs_are_taken_by_position_or_by_name() -> None:
    leaves = tuple(LeafRow(key=key, shape=(4,), dtype="") for key in ("0.0", "0.1", "1"))
    batch = BatchRow(index=0, kind="sequence", leaves=leaves)
    two = {"0.0": "input_ids", "0.1": "mask", "1": "the loss function"}
    assert takers(batch, has_loss_fn=True) == two
    whole = takers(batch, has_loss_fn=True, forward_parameters=("inputs",))
    assert whole == {"0.0": "inputs", "0.1": "inputs", "1": "the loss function"}
    leaves = tuple(LeafRow(key=key, shape=(4,), dtype="") for key in ("0.mask", "0.age", "1"))
    named = takers(BatchRow(index=0, kind="sequence", leaves=leaves), has_loss_fn=True)
    assert named == {"0.mask": "mask", "0.age": "nobody", "1": "the loss function"}


def test_the_plain_trainer_hands_everything_to_the_forward_and_a_subclass_to_itself() -> None:
    batch = BatchRow(index=0, leaves=(IDS, LABELS))
    trainer = {"kind": "Trainer", "trainer_class": "OurTrainer", "has_train_step": True}
    assert takers(batch, **trainer)["labels"] == "nobody"
    own = takers(batch, trainer_is_users=True, **trainer)
    assert own["labels"] == "OurTrainer.compute_loss"
