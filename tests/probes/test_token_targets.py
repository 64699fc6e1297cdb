"""Targets of a language model are the next token, and the logits do not see it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.changing import LOSS_LINE, changed

from traindoctor.probing import Finding, Severity
from traindoctor.trace import Place, Trace
from traindoctor_probes.token_targets import NoOptions, examine


def found(offset: int | None, seen: float | None, share: float = 1.0) -> list[Finding]:
    offsets = {str(k): share if k == offset else 0.05 for k in range(3)}
    sight: Any = {"offsets": offsets, "seen_later": seen, "seen_own": 0.5, "num_positions": 64}
    return list(examine(asks(changed_batch=changed({}, sight=sight)), NoOptions()))


@pytest.mark.parametrize(
    ("offset", "seen", "text"),
    [
        (1, 0.3, "see the tokens that come later"),
        (2, 0.0, "shifted twice"),
        (0, 0.0, "nothing is shifted"),
    ],
)
def test_each_way_to_go_wrong_has_its_words(offset: int, seen: float, text: str) -> None:
    (finding,) = found(offset, seen)
    assert (finding.code, finding.severity) == ("TD112", Severity.ERROR)
    assert text in finding.title
    assert finding.location.line == LOSS_LINE.line


def test_labels_of_a_librarys_model_are_told_where_they_are_made() -> None:
    sight: Any = {"offsets": {"0": 0.05, "1": 0.05, "2": 1.0}, "seen_later": 0.0, "seen_own": 0.5}
    trace = changed({}, sight={**sight, "num_positions": 64}, loss_place=Place())
    trace = replace(trace, setup=replace(trace.setup, forward_place=Place()))
    made = {"labels": Place("/user/data.py", 28, "collate", "labels = torch.tensor(rows)")}
    ask = asks(changed_batch=trace, trace_batch=Trace(facts={"made": made}))
    (finding,) = examine(ask, NoOptions())
    assert finding.location.line == 28


@pytest.mark.parametrize(
    ("offset", "seen", "share"),
    [
        (1, 0.0, 1.0),
        (1, 1e-3, 1.0),  # statistics over a batch, the routing of experts
        (0, 0.5, 1.0),  # an autoencoder
        (None, 0.5, 1.0),  # masked tokens
        (1, 0.5, 0.5),  # some chance agreement
        (1, None, 1.0),
    ],
)
def test_other_objectives_are_healthy(offset: int | None, seen: float | None, share: float) -> None:
    assert found(offset, seen, share) == []


def test_a_text_that_repeats_itself_is_not_judged() -> None:
    offsets = {"0": 1.0, "1": 1.0, "2": 1.0}
    sight = {"offsets": offsets, "seen_later": 0.5, "seen_own": 0.5, "num_positions": 64}
    assert list(examine(asks(changed_batch=changed({}, sight=sight)), NoOptions())) == []
