"""Padding is what a mask leaves out at the ends of rows, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.loading import LOADER, embedding, loader, one_pass, run

from traindoctor.probing import Confidence, Finding, Severity
from traindoctor.trace import BatchRow, EdgeRow, LeafRow
from traindoctor_probes.padding import Options, examine

SHAPE = (8, 64)


def tokens(share: float = 0.7, value: float = 0.0, **facts: Any) -> LeafRow:
    given = {"key": "input_ids", "shape": SHAPE, "dtype": "int64", "minimum": 0, "maximum": 90}
    edges = (EdgeRow(value=value, share=share, longest_rest=30),) if share else ()
    return LeafRow(**{**given, "edges": edges, **facts})


def mask(share: float = 0.7, elsewhere: float = 0.0, **facts: Any) -> LeafRow:
    edge = EdgeRow(value=0.0, share=share, share_elsewhere=elsewhere, longest_rest=30)
    given = {"key": "attention_mask", "shape": SHAPE, "dtype": "int64", "edges": (edge,)}
    return LeafRow(**{**given, "minimum": 0, "maximum": 1, **facts})


def found(*leaves: LeafRow, number: int = 4, modules: Any = (), **facts: Any) -> list[Finding]:
    batches = [BatchRow(index=index, leaves=leaves, size=8) for index in range(number)]
    trace = run(loaders=[loader(**facts)], passes=[one_pass("a")], batches=batches, modules=modules)
    return list(examine(asks(short_run=trace), Options()))


def test_a_mask_that_leaves_out_most_tokens_is_named_at_the_loader() -> None:
    (finding,) = found(tokens(), mask())
    assert (finding.code, finding.severity) == ("TD512", Severity.WARNING)
    assert finding.confidence is Confidence.CERTAIN
    assert finding.location.line == LOADER.line
    assert finding.title == "70% of the tokens in the batches are padding"
    assert "Rows are 64 tokens long; the longest sample has 30" in finding.message
    assert "Padded to the longest of each batch, 36% would be padding" in finding.message


@pytest.mark.parametrize(
    "leaves",
    [
        (tokens(0.4), mask(0.4)),
        (tokens(), mask(elsewhere=0.1)),  # holes: not padding
        (tokens(0), mask(0.7, key="loss_mask")),  # a prompt that the loss leaves out
        (tokens(), mask(shape=(8, 1, 64, 64))),  # causal
        (tokens(shape=(8, 32)), mask(shape=(64, 64))),  # of nothing in the batch
        (tokens(0), mask(0.0, edges=())),  # packed
        (tokens(),),  # rows of one length, and nobody says what padding is
        (tokens(), mask(edges=(EdgeRow(value=1.0, share=1.0),), minimum=1)),
        (tokens(0.7, -100.0, key="labels"), tokens(0)),
    ],
)
def test_other_batches_are_healthy(leaves: Any) -> None:
    assert found(*leaves) == []


def test_a_mask_of_another_name_is_known_by_the_tokens_where_it_is_zero() -> None:
    assert len(found(tokens(key="0"), mask(key="1"))) == 1
    (finding,) = found(
        tokens(0), mask(key="src_key_padding_mask", edges=(EdgeRow(value=1.0, share=0.6),))
    )
    assert finding.title.startswith("60%")


def test_without_a_mask_the_padding_index_of_an_embedding_tells() -> None:
    (finding,) = found(tokens(), modules=[embedding(0)])
    assert finding.confidence is Confidence.LIKELY
    assert found(tokens(), modules=[embedding(5)]) == []
    assert found(tokens(maximum=4000), modules=[embedding(0)]) == []  # another table's ids
    full = mask(edges=(EdgeRow(value=1.0, share=1.0),), minimum=1)
    assert found(tokens(), full, modules=[embedding(0)]) == []  # the mask says that they count


def test_a_few_batches_or_an_evaluation_say_nothing() -> None:
    assert found(tokens(), mask(), number=2) == []
    assert found(tokens(), mask(), num_evaluations=1) == []
