"""Labels at padding that a loss function was seen to count are told, others are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.probes.asking import asks
from tests.probes.loading import embedding, loader, one_pass, run
from tests.probes.running import source

from traindoctor.errors import ExperimentFailed
from traindoctor.instruments.given import arguments, blank_facts
from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import BatchRow, CriterionRow, EdgeRow, LeafRow, Trace
from traindoctor_probes.padding_effect import examine

TEXT = """\
def collate(rows):
    y = torch.full((len(rows), 6), PAD)
    for n, row in enumerate(rows):
        y[n, : len(row)] = row
    return {"labels": y}
"""
COUNTS = CriterionRow(function="cross_entropy", num_classes=100, target_shape=(48,))
LABELS = LeafRow(
    key="labels",
    shape=(8, 6),
    dtype="int64",
    minimum=0,
    maximum=90,
    edges=(EdgeRow(value=0.0, share=0.3),),
)


def found(row: CriterionRow = COUNTS, labels: LeafRow = LABELS) -> list[Finding]:
    batches = [BatchRow(index=n, leaves=(labels,), size=8) for n in range(4)]
    table = replace(embedding(padding_idx=0), attributes={"padding_idx": 0, "num_embeddings": 100})
    seen = run(loaders=[loader()], passes=[one_pass("a")], batches=batches, modules=(table,))
    step = Trace(criteria=(row,))
    return list(
        examine(
            asks(step, short_run=seen, read_source=Trace(source=source(TEXT))),
            NoOptions(),
        )
    )


def test_the_padding_of_the_embedding_is_named_where_the_labels_are_made() -> None:
    (finding,) = found()
    assert (finding.code, finding.location.line) == ("TD111", 2)
    assert finding.title == "30% of the labels that the loss counts stand at padding"


@pytest.mark.parametrize(
    "healthy",
    [
        {"row": replace(COUNTS, num_classes=9)},  # tags, and 0 is one of them
        {"row": replace(COUNTS, share_ignored=0.3)},
        {"labels": replace(LABELS, edges=(EdgeRow(value=0.0, share=0.3, share_elsewhere=0.1),))},
        {"labels": replace(LABELS, minimum=-100)},
        {"labels": replace(LABELS, edges=(EdgeRow(value=0.0, share=0.01),))},
    ],
)
def test_what_may_be_a_label_is_silent(healthy: dict[str, Any]) -> None:
    with pytest.raises(ExperimentFailed):  # a watched run is told nothing else
        found(**healthy)


def test_blanks_among_the_labels_of_a_ctc_loss_are_padding() -> None:
    row = CriterionRow(function="ctc_loss", blank=0, share_blank=0.25)
    (finding,) = found(row)
    assert (finding.code, finding.location.line) == ("TD111", 2)
    assert "25% of the labels that `ctc_loss` counts are 0, the blank" in finding.message


@pytest.mark.parametrize(("lengths", "share"), [([3, 3], 2 / 6), ([2, 2], 1 / 4), ([2, 1], 0.0)])
def test_only_labels_within_the_lengths_count(lengths: list[int], share: float) -> None:
    targets = torch.tensor([[5, 3, 1], [4, 0, 0]])
    log_probs = torch.randn(9, 2, 7).log_softmax(2)
    given = arguments(
        F.ctc_loss,
        (log_probs, targets, torch.tensor([9, 9]), torch.tensor(lengths)),
        {},
    )
    assert blank_facts(given) == {"blank": 0, "share_blank": pytest.approx(share)}
