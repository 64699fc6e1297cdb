"""Samplers that are not told the epoch."""

from __future__ import annotations

from dataclasses import replace

from tests.probes.asking import asks
from tests.probes.ranking import LOOP, both, rank

from traindoctor.probing import Finding, NoOptions
from traindoctor_probes.sampler_epochs import examine


def findings(*epochs: int, needs_epoch: bool = True, has_ended: bool = True) -> list[Finding]:
    row = rank(0)
    passes = tuple(
        replace(row.passes[0], index=i, number=i, sampler_epoch=epoch, has_ended=has_ended)
        for i, epoch in enumerate(epochs)
    )
    loaders = (replace(row.loaders[0], needs_epoch=needs_epoch),)
    trace = both(replace(row, passes=passes, loaders=loaders), rank(1))
    return list(examine(asks(compare_ranks=trace), NoOptions()))


def test_two_passes_at_one_epoch_are_told_at_their_loop() -> None:
    (finding,) = findings(0, 0, 0)
    assert (finding.code, finding.location.line) == ("TD905", LOOP.line)
    assert finding.title == "3 epochs have the order of epoch 0: `set_epoch` is not called"


def test_epochs_that_are_told_are_healthy() -> None:
    assert findings(0, 1, 2) == []


def test_a_single_pass_is_not_judged() -> None:
    assert findings(0) == []


def test_a_pass_that_was_cut_short_and_begun_again_is_not_judged() -> None:
    assert findings(0, 0, has_ended=False) == []


def test_samplers_that_do_not_shuffle_are_healthy() -> None:
    assert findings(0, 0, needs_epoch=False) == []
