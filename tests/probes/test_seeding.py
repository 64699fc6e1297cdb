"""Generators that are seeded in every step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.probes.asking import asks
from tests.probes.running import line

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import LoaderRow, SeedRow, Trace
from traindoctor_probes.seeding import examine

SEED = line(14, "torch.manual_seed(0)")


def findings(**facts: Any) -> list[Finding]:
    given = {"generator": "torch", "place": SEED, "value": "0", "count": 6, "num_same": 5}
    return list(examine(asks(Trace(seeds=(SeedRow(**given | facts),))), NoOptions()))


def test_the_same_seed_in_every_step_is_an_error_at_its_line() -> None:
    (finding,) = findings()
    assert (finding.code, finding.location.line) == ("TD707", 14)


def test_a_seed_that_changes_is_healthy() -> None:
    assert findings(num_other=5) == []


def test_a_seed_behind_which_nothing_is_drawn_is_healthy() -> None:
    assert findings(num_same=0) == []


def test_the_beginnings_of_two_epochs_are_not_judged() -> None:
    assert findings(count=2, num_same=1) == []


def test_a_sampler_that_draws_the_same_batch_is_explained() -> None:
    seed = SeedRow(generator="torch", place=SEED, value="0", count=6, num_same=5)
    loader = LoaderRow(index=0, num_fetched=9, num_repeats=8)

    def explained(**facts: Any) -> bool:
        run = Trace(seeds=(seed,), loaders=(replace(loader, **facts),))
        (finding,) = examine(asks(run), NoOptions())
        return "TD503" in finding.explains

    assert explained()
    assert not explained(is_in_order=True)
    assert not explained(num_repeats=4)
