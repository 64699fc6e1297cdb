"""A climbing loss is reported if a lower rate does not climb, and is likely where none is had."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import LongRun, ReadSource
from traindoctor.probing import Confidence, Finding
from traindoctor.trace import (
    BackwardRow,
    OptimizerRow,
    Place,
    PulseRow,
    SetupRow,
    SourceRow,
    Trace,
)
from traindoctor_probes.loss_course import Options, examine

BUILT = Place("/user/train.py", 30, "setup")
SCHEDULE = "optimizer = SGD(p, lr=0.1)\nscheduler = lr_scheduler.ExponentialLR(optimizer, 1.1)\n"
CLIMB = tuple(1.0 if n < 20 else 1.2 ** (n - 20) for n in range(60))
FALL = tuple(1 / (1 + n / 10) for n in range(60))
STAGES = [loss * 30**stage for stage in range(4) for loss in FALL[:15]]
BLOWN = [1.0, 2.0, 1.5, 2.0, 1.0, *FALL[:15], *[1e7, 3e8, 2e6, 4e8, 1e9] * 2, *[0.5] * 30]


def ran(losses: Sequence[float], rate: float = 0.1, **facts: Any) -> Trace:
    given = {"num_batches": 1, "num_backwards": 1} | facts.pop("pulse", {})
    growth, news = facts.pop("growth", 1.0), facts.pop("new", ())
    begun = {*news, *facts.pop("begun", ())}
    pulses = tuple(
        PulseRow(
            first_step=n,
            last_step=n,
            loss=loss if math.isfinite(loss) else None,
            num_losses_not_finite=int(not math.isfinite(loss)),
            first_learning_rates=(rate * growth**n,),
            last_learning_rates=(rate * growth**n,),
            num_begun=int(n in begun),
            num_new=int(n in news),
            **given,
        )
        for n, loss in enumerate(losses)
    )
    optimizer = OptimizerRow(index=0, class_name=facts.pop("optimizer", "SGD"), place=BUILT)
    tables = {
        "setup": SetupRow(has_train_loop=True),
        "backwards": (BackwardRow(index=0, step=0, batch=0),),
        "optimizers": (optimizer,),
        "pulses": pulses,
    }
    return Trace(**tables | facts)


def found(
    run: Trace,
    lower: dict[float, Trace] | None = None,
    source: str = "train()\n",
    undecayed: Trace | None = None,
    unscheduled: Trace | None = None,
) -> list[Finding]:
    def ask(experiment: Any) -> Trace:
        if isinstance(experiment, ReadSource):
            return Trace(source=(SourceRow(file="/user/train.py", text=source),))
        assert isinstance(experiment, LongRun)
        if experiment.without == "the schedule":
            return unscheduled or ran(CLIMB)
        if experiment.without:
            assert (experiment.without, experiment.factor) == ("weight decay", 1.0)
            assert undecayed is not None, "not asked for: no weight is turned around"
            return undecayed
        if experiment.factor == 1.0:
            return run
        if lower is None:
            raise ExperimentFailed("a run is watched and not experimented with")
        return lower.get(experiment.factor, ran(CLIMB, 0.1 * experiment.factor))

    return list(examine(ask, Options()))


def test_a_climb_that_a_tenth_of_the_rate_heals_is_certain_where_the_optimizer_is_built() -> None:
    (finding,) = found(ran(CLIMB), {0.1: ran(FALL, 0.01)})
    assert (finding.code, finding.confidence) == ("TD105", Confidence.CERTAIN)
    assert finding.location.line == 30
    assert finding.title == "The loss rises from 1 to 851 in 60 steps"
    assert "With the learning rate times 0.1 the same run goes from 0.833" in finding.message
    assert len(finding.series) == 2


def decayed(decay: float) -> Trace:
    row = OptimizerRow(index=0, class_name="SGD", learning_rates=(0.1,), weight_decays=(decay,))
    return ran(CLIMB, optimizers=(row,))


def test_what_heals_without_weight_decay_is_blamed_on_that_alone() -> None:
    (finding,) = found(decayed(25.0), {0.1: ran(FALL, 0.01)}, undecayed=ran(FALL))
    assert finding.blamed_on == ("TD412",)
    assert "Without weight decay the same run goes from" in finding.message


@pytest.mark.parametrize(("decay", "undecayed"), [(25.0, ran(CLIMB)), (0.1, None)])
def test_where_decay_is_not_it_the_rate_is_asked(decay: float, undecayed: Trace | None) -> None:
    (finding,) = found(decayed(decay), {0.1: ran(FALL, 0.01)}, undecayed=undecayed)
    assert finding.blamed_on is None
    assert "With the learning rate times 0.1" in finding.message


def test_a_rate_that_rises_is_named_at_its_schedule() -> None:
    run, lower = ran(CLIMB, growth=1.1), {0.01: ran(FALL, 0.001, growth=1.1)}
    (finding,) = found(run, lower, SCHEDULE)
    assert finding.location.line == 2
    assert "as the rate rose from 0.1 to 27.7" in finding.message


def test_a_rate_that_rises_too_far_for_any_lower_one_is_tried_without_its_schedule() -> None:
    (finding,) = found(ran(CLIMB, growth=1.3), {}, SCHEDULE, unscheduled=ran(FALL))
    assert (finding.location.line, finding.confidence) == (2, Confidence.CERTAIN)
    assert "Without the schedule the same run goes from" in finding.message


def test_a_climb_into_nan_is_one() -> None:
    (finding,) = found(ran([*CLIMB[:50], *[math.nan] * 10]), {0.1: ran(FALL, 0.01)})
    assert finding.title == "The loss rises from 1 to NaN in 60 steps"


@pytest.mark.parametrize("lower", [None, {0.1: ran(CLIMB), 0.01: ran(CLIMB)}])
def test_where_no_other_rate_is_had_it_is_likely(lower: dict[float, Trace] | None) -> None:
    (finding,) = found(ran(CLIMB), lower)
    assert finding.confidence is Confidence.LIKELY


def test_what_climbs_at_every_rate_has_another_reason() -> None:
    assert found(ran(CLIMB), {}) == []


@pytest.mark.parametrize(
    "losses",
    [
        FALL,
        [9.0, 30.0, 1.0, *FALL],  # the first noisy steps
        [*FALL[:20], *[5.0] * 40],  # a harder task: five times as hard
        [*FALL[:30], 1e6, *FALL[30:]],  # one bad batch
        [*[1.0 + 0.02 * n for n in range(60)]],  # a warm-up, or an annealed term
        CLIMB[:23],  # too short
        [loss - 1.5 for loss in CLIMB],  # a likelihood: its sign changes
        [*FALL[:30], *[math.nan] * 30],  # from one step to the next: TD102's matter
    ],
)
def test_what_does_not_climb_to_many_times_its_start_is_silent(losses: list[float]) -> None:
    assert found(ran(losses)) == []


@pytest.mark.parametrize("where", [{"new": (0, 15, 30, 45)}, {"begun": (0, 15, 30, 45)}])
def test_a_task_that_grows_harder_where_other_data_begins_is_silent(where: dict[str, Any]) -> None:
    assert found(ran(STAGES, **where)) == []
    assert [finding.code for finding in found(ran(STAGES))] == ["TD105"]


@pytest.mark.parametrize(
    "where",
    [
        {"new": (0,), "begun": (15, 30, 45)},
        {"new": tuple(range(0, 60, 12))},  # a loader an epoch, over one data set
        {"new": (0,), "begun": tuple(range(60))},  # one batch a pass
    ],
)
def test_a_climb_within_the_passes_is_told_wherever_they_begin(where: dict[str, Any]) -> None:
    assert [finding.code for finding in found(ran(CLIMB, **where))] == ["TD105"]


def test_a_run_that_comes_down_from_where_it_was_thrown_is_told_with_its_highest_loss() -> None:
    (finding,) = found(ran(BLOWN, growth=1.05), {}, SCHEDULE, unscheduled=ran(FALL))
    assert (finding.location.line, finding.confidence) == (2, Confidence.CERTAIN)
    assert finding.title == "The loss rises from 1 to 1e+09 in 60 steps"
    assert "to 1e+09 as the rate rose from 0.1 to 0.323, and ended at 0.5" in finding.message


def test_what_is_thrown_as_far_at_every_rate_has_another_reason() -> None:
    lower = {0.1: ran(BLOWN, 0.01), 0.01: ran(BLOWN, 0.001)}
    assert found(ran(BLOWN), lower) == []


def test_a_loop_without_a_loader_is_judged_by_how_far_it_was_thrown() -> None:
    assert len(found(ran(BLOWN, pulse={"num_batches": 0}))) == 1


@pytest.mark.parametrize(
    ("losses", "source"),
    [
        (BLOWN, "loss = (value(state) - reward).square().mean()\n"),
        (BLOWN, "obs = env.reset()\n"),
        ([1e-6 * loss for loss in BLOWN], "train()\n"),  # a student that begins as its teacher
        ([*FALL[:30], *[1e9] * 3, *FALL[:27]], "train()\n"),  # a bad batch, and what it costs
        ([*FALL[:20], *[2e4] * 20, *FALL[:20]], "train()\n"),  # as far as returns may grow
        ([*BLOWN[:30], *[0.1] * 30], "train()\n"),  # it learned all the same
        ([1e-2, *[2e3] * 59], "train()\n"),  # its first batch is easy by chance
    ],
)
def test_what_healthy_runs_may_do_without_a_loader_is_silent(
    losses: list[float], source: str
) -> None:
    assert found(ran(losses, pulse={"num_batches": 0}), source=source) == []


def test_two_optimizers_drive_each_other() -> None:
    run = ran(CLIMB)
    other = PulseRow(optimizer=1, loss=1.0)
    assert found(ran(CLIMB, pulses=(*run.pulses, other))) == []


@pytest.mark.parametrize(
    ("run", "source"),
    [
        (ran(CLIMB, pulse={"num_batches": 0}), ""),  # reinforcement learning
        (ran(CLIMB, optimizer="LBFGS"), ""),
        (ran(CLIMB), "scaler = torch.amp.GradScaler()\n"),  # its scale grows with time
    ],
)
def test_losses_that_rise_in_healthy_runs_are_not_judged(run: Trace, source: str) -> None:
    assert found(run, source=source) == []
