"""A sum over the batch matters where the steps grow with the gradient, or clipping takes over."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.changing import LOSS_LINE, changed

from traindoctor.probing import Finding, Severity
from traindoctor.trace import ClipRow, Place, Trace
from traindoctor_probes.batch_sum import NoOptions, examine

DOUBLED = "every sample twice"


def found(loss: float, *, norm: float | None = None, **facts: Any) -> list[Finding]:
    clips = () if norm is None else (ClipRow(place=Place(), norms=(norm,), limits=(1.0,)),)
    asked = asks(changed_batch=changed({DOUBLED: loss}, **facts), short_run=Trace(clips=clips))
    return list(examine(asked, NoOptions()))


@pytest.mark.parametrize(
    ("facts", "severity"),
    [
        ({"optimizer": "SGD"}, Severity.WARNING),
        ({"optimizer": "AdamW"}, Severity.INFO),
        ({"optimizer": "AdamW", "norm": 50.0}, Severity.WARNING),
        ({"optimizer": "AdamW", "norm": 2.0}, Severity.INFO),
        ({"optimizer": "SGD", "norm": 2.0}, Severity.INFO),  # the clipped norm is bounded
    ],
)
def test_it_is_as_bad_as_what_it_does_to_the_steps(facts: Any, severity: Severity) -> None:
    (finding,) = found(4.0, **facts)
    assert (finding.code, finding.severity) == ("TD110", severity)
    assert finding.location.line == LOSS_LINE.line
    assert finding.evidence[0].value == pytest.approx(2.0)


@pytest.mark.parametrize("loss", [2.0, 3.9, 2 + 0.693])  # a mean; neither; a contrastive loss
def test_other_losses_are_healthy(loss: float) -> None:
    assert found(loss, optimizer="SGD") == []
