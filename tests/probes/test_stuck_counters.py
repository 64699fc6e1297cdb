"""A rate that is computed from a count which nothing counts up is told from one that is meant."""

from __future__ import annotations

import pytest
from tests.probes.asking import asks

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import SourceRow, StepRow, Trace
from traindoctor_probes.learning_rate_schedule import examine

FILE = "/user/train.py"
CODE = """\
class Trainer:
    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.step = 0

    def set_rate(self, total):
        if self.step < WARM_UP:
            factor = (self.step + 1) / WARM_UP
        else:
            factor = 1 - self.step / total
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * factor

    def fit(self, loader):
        for batch in loader:
            self.set_rate(len(loader))
            self.optimizer.step()
"""


def found(code: str, rates: tuple[float, ...] = (5e-5,) * 8) -> list[Finding]:
    steps = tuple(StepRow(index=n, learning_rates=(rate,)) for n, rate in enumerate(rates))
    run = Trace(steps=steps, facts={"instruments": ("schedulers",)})
    source = Trace(source=(SourceRow(file=FILE, text=code),))
    return list(examine(asks(short_run=run, read_source=source), NoOptions()))


def test_a_counter_that_stands_still_is_named_where_the_rate_is_set() -> None:
    (finding,) = found(CODE)
    assert (finding.code, finding.location.line) == ("TD406", 12)
    assert [place.line for place in finding.also_at] == [4]
    assert finding.title == (
        "The learning rate is that of the schedule's beginning, 5e-05, for all of 8 steps: "
        "`self.step` is never counted up"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("            self.optimizer.step()\n", "            self.step += 1\n"),
        (
            "            self.set_rate",
            "            vars(self).update(step=1)\n            self.set_rate",
        ),
        ("class Trainer:", "class Trainer(Base):"),  # which may count
        ("self.step", "self.warm_up"),  # a setting
        ("= RATE * factor", "= RATE"),  # which is no schedule
        ("self.step = 0", "self.step = first"),
    ],
)
def test_what_may_be_counted_or_meant_is_silent(old: str, new: str) -> None:
    assert old in CODE
    assert found(CODE.replace(old, new)) == []


def test_a_rate_that_moves_is_silent() -> None:
    assert found(CODE, tuple(5e-5 * (n + 1) for n in range(8))) == []
