"""traindoctor has nothing to say against healthy programs."""

from __future__ import annotations

import pytest
from tests.zoo.catalog import SPECIMENS, missing
from tests.zoo.specimen import Specimen

import traindoctor

EVERY = 80  # one specimen in so many belongs to the short run


def cases() -> list[object]:
    quick = [specimen for specimen in SPECIMENS if not specimen.slow][::EVERY]
    return [
        pytest.param(specimen, id=specimen.name, marks=[pytest.mark.slow] * (specimen not in quick))
        for specimen in SPECIMENS
    ]


@pytest.mark.parametrize("specimen", cases())
def test_a_healthy_setup_is_called_healthy(specimen: Specimen) -> None:
    if absent := missing(specimen):
        pytest.skip(f"needs {', '.join(absent)}")
    report = traindoctor.check(specimen.build())
    complaints = [f"{f.code} {f.title}" for f in report.findings if f.severity != "info"]
    assert complaints == []
    assert [probe.name for probe in report.probes if probe.status == "errored"] == []
    assert report.verdict == "healthy"
