"""A loader without a batch is told with the numbers that make it so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.probes.asking import SETUP, asks, batch, leaf, raised

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import Place, Trace
from traindoctor_probes.data_presence import examine

LOADER = Place("/user/train.py", 44, "setup")


def found(**facts: Any) -> list[Finding]:
    read = Trace(setup=replace(SETUP, loader_place=LOADER), facts=facts)
    return list(examine(asks(read_batches=read), NoOptions()))


def test_too_few_samples_for_one_full_batch_are_counted() -> None:
    (finding,) = found(loader_class="DataLoader", num_samples=40, batch_size=64, drop_last=True)
    assert (finding.code, finding.location.line) == ("TD013", LOADER.line)
    assert "40 samples do not fill one batch of 64" in finding.message
    assert any("drop_last" in remedy.before for remedy in finding.remedies)


def test_an_empty_data_set_is_told_apart_from_a_dropped_batch() -> None:
    (finding,) = found(loader_class="DataLoader", num_samples=0, batch_size=64, drop_last=True)
    assert "no sample" in finding.message
    assert not any("drop_last" in remedy.before for remedy in finding.remedies)


def test_a_used_up_generator_is_named_as_such() -> None:
    (finding,) = found(loader_class="generator")
    assert "iterated once only" in finding.message


def test_a_loader_that_raises_is_not_empty() -> None:
    row = raised("OSError", "no such file", phase="fetch")
    assert list(examine(asks(read_batches=Trace(exceptions=(row,))), NoOptions())) == []


def test_one_batch_is_enough() -> None:
    read = Trace(batches=(batch(leaf("x", 4, 3)),))
    assert list(examine(asks(read_batches=read), NoOptions())) == []
