"""Heads with far more classes than labels."""

from __future__ import annotations

from typing import Any

from tests.probes.asking import asks, batch, leaf
from tests.probes.running import line, module

from traindoctor.probing import Finding
from traindoctor.trace import BatchRow, CriterionRow, Trace
from traindoctor_probes.head_width import Options, examine

HEAD = line(8, "self.head = nn.Linear(32, 1000)")


def labelled(size: int, largest: float, **facts: Any) -> BatchRow:
    labels = leaf("1", size, dtype="int64", maximum=largest, **facts)
    return batch(leaf("0", size, 8), labels)


def findings(
    largest: float = 9, spread: float = 9, num_classes: int = 1000, table: int = 64, **facts: Any
) -> list[Finding]:
    given: dict[str, Any] = {
        "function": "cross_entropy",
        "num_classes": num_classes,
        "input_shape": (32, num_classes),
        "target_shape": (32,),
        "target_dtype": "int64",
    }
    modules = (
        module("table", class_name="Embedding", attributes={"num_embeddings": table}),
        module("head", attributes={"out_features": num_classes}, place=HEAD),
    )
    step = Trace(criteria=(CriterionRow(**given | facts),), modules=modules)
    read = Trace(batches=tuple(labelled(32, largest) for _ in range(4)))
    others = Trace(batches=tuple(labelled(1, spread) for _ in range(96)))
    return list(examine(asks(step, read_batches=read, spread_samples=others), Options()))


def test_a_thousand_classes_for_ten_labels_are_a_warning_where_the_head_is_built() -> None:
    (finding,) = findings()
    assert (finding.code, finding.location.line) == ("TD717", 8)
    assert finding.title == "The head has 1,000 classes, the labels end at 9"


def test_labels_that_come_later_in_sorted_data_count() -> None:
    assert findings(spread=900) == []


def test_a_vocabulary_that_a_table_shares_is_meant() -> None:
    assert findings(table=1000) == []


def test_a_few_classes_more_are_no_fault() -> None:
    assert findings(num_classes=32) == []


def test_targets_of_tokens_are_not_judged() -> None:
    assert findings(target_shape=(32, 16)) == []


def test_few_samples_for_each_label_say_nothing() -> None:
    assert findings(largest=99, spread=99) == []
