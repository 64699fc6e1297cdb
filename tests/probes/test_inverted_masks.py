"""Of a run that is only watched, the tokens tell that a mask keeps the padding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.loading import LOADER, embedding, loader, one_pass, run
from tests.probes.running import source

from traindoctor.errors import ExperimentFailed
from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import BatchRow, EdgeRow, LeafRow, ModuleRow, Trace
from traindoctor_probes.padding_effect import examine

SHAPE = (8, 64)
MODEL = ModuleRow(path="", keywords=("input_ids", "attention_mask"))
TEXT = 'def collate(rows):\n    return {"attention_mask": 1 - mask}\n'


def batch(index: int, pad_share: float, *, kept: float = 1.0, value: float = 0.0) -> BatchRow:
    """Return one whose mask is `kept` where the tokens are padding."""
    edges = tuple(
        EdgeRow(value=one, share=pad_share if one == kept else 1 - pad_share) for one in (0.0, 1.0)
    )
    tokens = LeafRow(
        key="input_ids",
        shape=SHAPE,
        dtype="int64",
        minimum=0,
        maximum=90,
        edges=(EdgeRow(value=value, share=pad_share),),
    )
    mask = LeafRow(
        key="attention_mask", shape=SHAPE, dtype="int64", minimum=0, maximum=1, edges=edges
    )
    return BatchRow(index=index, leaves=(tokens, mask), size=8)


def found(
    shares: tuple[float, ...] = (0.2, 0.3, 0.4),
    model: ModuleRow = MODEL,
    text: str = TEXT,
    **facts: Any,
) -> list[Finding]:
    batches = [batch(index, share, **facts) for index, share in enumerate(shares)]
    modules = (embedding(padding_idx=0),)
    seen = run(loaders=[loader()], passes=[one_pass("a")], batches=batches, modules=modules)
    given = asks(Trace(modules=(model,)), short_run=seen, read_source=Trace(source=source(text)))

    return list(examine(given, NoOptions()))


def test_a_mask_that_is_one_where_the_padding_is_stands_the_wrong_way_round() -> None:
    (finding,) = found()
    assert (finding.code, finding.severity, finding.location.line) == ("TD015", Severity.ERROR, 2)
    assert [row.value for row in finding.evidence] == [3, pytest.approx(0.7)]
    assert "TD512" in finding.explains


def test_without_one_line_that_makes_the_mask_it_stands_at_the_loader() -> None:
    (finding,) = found(text="pass\n")
    assert finding.location.line == LOADER.line


@pytest.mark.parametrize(
    "healthy",
    [
        {"kept": 0.0},  # the right way round
        {"shares": (0.2, 0.3)},  # two batches
        {"shares": (0.5, 0.5, 0.5)},  # as much padding as tokens: either way looks the same
        {"value": 7.0},  # no padding of the model's
        {"model": replace(MODEL, is_users=True)},  # whose convention may be another
        {"model": replace(MODEL, keywords=("input_ids",))},
    ],
)
def test_nothing_is_told_of_others(healthy: dict[str, Any]) -> None:
    with pytest.raises(ExperimentFailed):
        found(**healthy)
