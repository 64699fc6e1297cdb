"""Schedules that do not fit the training, and schedulers that step at the wrong time."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks, raised
from tests.probes.running import line, run, source

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import (
    BatchRow,
    CheckpointRow,
    Place,
    PulseRow,
    SchedulerRow,
    StepRow,
    Trace,
)
from traindoctor_probes.learning_rate_schedule import examine

BUILT, STEPPED = line(30, "scheduler = StepLR(optimizer, 5)"), line(21, "scheduler.step()")
PER_STEP = {"gaps": ((1, 11),), "num_steps": 12, "num_at_place": 12}
PER_EPOCH = {"gaps": ((6, 1),), "num_steps": 2, "num_at_place": 2}
UNSTEPPED = {"num_steps": 0, "num_at_place": 0, "gaps": (), "step_place": Place(), "rates": ()}


def scheduler(class_name: str, **facts: Any) -> SchedulerRow:
    given = {
        "optimizer": 0,
        "place": BUILT,
        "step_place": STEPPED,
        "is_built_in_run": False,
        "num_optimizer_steps": 12,
        "base_rate": 1e-3,
        "highest_rate": 1e-3,
        "lowest_rate": 1e-3,
        "rates": (1e-3,) * 6,
    }
    return SchedulerRow(index=0, class_name=class_name, **given | PER_STEP | facts)


def trained(
    *rows: SchedulerRow, rates: tuple[float, ...] = (1e-3,) * 12, window: int = 1, **tables: Any
) -> Trace:
    """Return two epochs of six batches; the whole training has ten epochs of 24."""
    setup = {"epochs": 10, "num_batches": 24} | tables.pop("setup", {})
    steps = [i for i in range(12) if (i % 6 + 1) % window == 0]
    given: dict[str, Any] = {
        "batches": tuple(BatchRow(index=i, epoch=i // 6) for i in range(12)),
        "steps": tuple(
            StepRow(index=n, batch=i, learning_rates=(rates[n],), place=line(20))
            for n, i in enumerate(steps)
        ),
        "schedulers": rows,
        "setup": setup,
    }
    return run(**given | tables)


def findings(trace: Trace, text: str = "") -> list[Finding]:
    given = asks(short_run=trace, read_source=Trace(source=source(text)))
    return list(examine(given, NoOptions()))


def codes(*rows: SchedulerRow, **facts: Any) -> list[str]:
    return [finding.code for finding in findings(trained(*rows, **facts))]


def of(total: int, class_name: str = "CosineAnnealingLR", **facts: Any) -> SchedulerRow:
    name = {"CosineAnnealingLR": "T_max", "OneCycleLR": "total_steps"}.get(
        class_name, "total_iters"
    )
    settings = {name: total} | facts.pop("settings", {})
    return scheduler(class_name, settings=settings, **facts)


def test_a_schedule_in_epochs_stepped_each_batch_leaves_no_rate() -> None:
    (finding,) = findings(trained(of(10)))
    assert (finding.code, finding.severity, finding.location.line) == ("TD406", "error", 30)
    assert finding.also_at[0].line == 21
    assert "one for each epoch of a training of 10 epochs of 24 batches" in finding.message
    assert "after 10 of 240 steps" in finding.title


def test_a_schedule_in_steps_stepped_each_epoch_hardly_begins() -> None:
    (finding,) = findings(trained(of(240, "OneCycleLR", **PER_EPOCH)))
    assert (finding.code, finding.severity) == ("TD407", "warning")
    assert "4.2% of the schedule" in finding.message


@pytest.mark.parametrize("pace", [PER_STEP, PER_EPOCH])
@pytest.mark.parametrize("name", ["CosineAnnealingLR", "OneCycleLR", "PolynomialLR"])
def test_a_schedule_in_the_unit_of_its_steps_fits(name: str, pace: dict[str, Any]) -> None:
    assert codes(of(240 if pace is PER_STEP else 10, name, **pace)) == []


def test_a_length_that_fits_no_unit_is_somebodys_choice() -> None:
    assert codes(of(100)) == []
    assert codes(of(3000)) == []


def test_without_the_number_of_epochs_nothing_is_computed() -> None:
    assert codes(of(10), setup={"epochs": None}) == []


def test_a_floor_keeps_the_rate_up_so_that_it_is_a_warning() -> None:
    (finding,) = findings(trained(of(10, settings={"eta_min": 5e-4})))
    assert finding.code == "TD407"


def test_steps_of_the_scheduler_on_each_of_accumulated_batches_are_too_many() -> None:
    pace = {"gaps": ((0, 8), (1, 3)), "num_optimizer_steps": 4}
    settings = {"end_factor": 0.0, "start_factor": 1.0}
    every = of(80, "LinearLR", settings=settings, **pace)
    assert codes(every, window=3) == ["TD406"]
    assert codes(of(240, "LinearLR", settings=settings, **pace), window=3) == []


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("StepLR", {"step_size": 3, "gamma": 0.1}),
        ("ExponentialLR", {"gamma": 0.9}),
        ("MultiStepLR", {"milestones": (3, 6, 9), "gamma": 0.1}),
    ],
)
def test_a_decay_meant_once_an_epoch_is_gone_when_it_comes_each_batch(
    name: str, settings: dict[str, Any]
) -> None:
    assert codes(scheduler(name, settings=settings)) == ["TD406"]
    assert codes(scheduler(name, settings=settings, **PER_EPOCH)) == []


def test_a_lambda_that_decays_by_one_factor_is_a_decay() -> None:
    rates = tuple(1e-3 * 0.9**t for t in range(1, 13))
    assert codes(scheduler("LambdaLR", rates=rates)) == ["TD406"]


def test_milestones_within_the_number_of_epochs_are_passed_at_once() -> None:
    settings = {"milestones": (5, 8), "gamma": 0.1}
    (finding,) = findings(trained(scheduler("MultiStepLR", settings=settings)))
    assert (finding.code, finding.confidence) == ("TD407", "likely")
    assert codes(scheduler("MultiStepLR", settings={"milestones": (120, 200), "gamma": 0.1})) == []


def test_a_warm_up_that_outlasts_the_training_never_ends() -> None:
    settings = {"start_factor": 0.001, "end_factor": 1.0, "total_iters": 500}
    (finding,) = findings(trained(scheduler("LinearLR", settings=settings, **PER_EPOCH)))
    assert (finding.code, finding.severity) == ("TD406", "error")
    assert "at 2.1% of the rate" in finding.title
    assert codes(scheduler("LinearLR", settings=settings | {"total_iters": 100})) == []


def test_a_trainers_warm_up_is_judged_by_its_own_total() -> None:
    facts = {"class_name": "LambdaLR", "step_place": Place(), "place": Place()}
    trainer = {"kind": "Trainer", "trainer_place": line(44), "trains_by_hand": False}
    endless = scheduler(settings={"num_warmup_steps": 5000, "num_training_steps": 60}, **facts)
    (finding,) = findings(trained(endless, setup=trainer))
    assert (finding.code, finding.severity, finding.location.line) == ("TD406", "warning", 44)
    usual = scheduler(settings={"num_warmup_steps": 10, "num_training_steps": 60}, **facts)
    assert codes(usual, setup=trainer) == []


def rising(by: float, start: float = 0.0) -> dict[str, Any]:
    return {"class_name": "LambdaLR", "rates": tuple(start + by * (n + 1) for n in range(6))}


DECLARED = {"trains_by_hand": False, "has_train_step": False}


def test_a_lambda_that_rises_in_a_straight_line_beyond_the_training_never_warms_up() -> None:
    row = scheduler(**rising(by=1e-3 / 50_000), step_place=Place())  # 240 steps are declared
    (finding,) = findings(trained(row, setup=DECLARED))
    assert (finding.code, finding.severity, finding.location.line) == ("TD406", "warning", 30)
    assert "at 0.5% of the rate" in finding.title


@pytest.mark.parametrize(
    "row",
    [
        rising(by=1e-3 / 100),  # over before the training is
        rising(by=1e-3 / 50_000, start=1e-3),  # not a warm-up
        {"class_name": "LambdaLR", "rates": (1e-8, 2e-8, 4e-8, 8e-8, 16e-8, 32e-8)},
        rising(by=1e-3 / 50_000) | {"last_rate": 1e-3},  # it went on otherwise
        rising(by=1e-6) | {"base_rate": 1.0, "highest_rate": 1.0},  # a lambda that gives rates
    ],
)
def test_a_lambda_that_may_warm_up_in_time_is_left_alone(row: dict[str, Any]) -> None:
    assert codes(scheduler(**row, step_place=Place()), setup=DECLARED) == []


def test_a_scheduler_that_nobody_steps_is_reported_where_it_is_built() -> None:
    (finding,) = findings(trained(scheduler("StepLR", **UNSTEPPED)))
    assert (finding.code, finding.location.line) == ("TD407", 30)
    assert "no line of the code steps it" in finding.message


def test_a_step_under_a_condition_may_still_come() -> None:
    text = "def fit():\n    if epoch > 5:\n        scheduler.step()\n"
    assert findings(trained(scheduler("StepLR", **UNSTEPPED)), text) == []


def test_an_epoch_must_be_over_before_a_scheduler_counts_as_forgotten() -> None:
    one = tuple(BatchRow(index=i) for i in range(12))
    assert codes(scheduler("StepLR", **UNSTEPPED), batches=one) == []


def test_another_scheduler_of_the_same_optimizer_stands_in() -> None:
    other = SchedulerRow(index=1, optimizer=0, num_steps=2, step_place=STEPPED)
    assert codes(scheduler("ReduceLROnPlateau", **UNSTEPPED), other) == []


def test_a_scheduler_of_an_optimizer_that_never_stepped_only_plots() -> None:
    assert codes(scheduler("StepLR", **UNSTEPPED | {"optimizer": None})) == []


def test_a_scheduler_ahead_of_its_optimizer_skips_the_first_rate() -> None:
    (finding,) = findings(trained(scheduler("StepLR", num_before=1, num_ahead=12)))
    assert (finding.code, finding.location.line) == ("TD407", 21)
    start = scheduler("StepLR", num_before=1, **PER_EPOCH)
    assert "6 optimizer steps early" in findings(trained(start))[0].mechanism


@pytest.mark.parametrize(
    "facts",
    [
        {"num_before": 3, "num_ahead": 12},  # made up for the epochs of an earlier run
        {"num_before": 1, "num_at_place": 1, "num_ahead": 0},  # from another line
        {"num_before": 1, "num_ahead": 5},  # the first step was skipped by a guard
        {"num_before": 1, "num_told": 12, "num_ahead": 12},  # the epoch was given
    ],
)
def test_a_first_step_before_the_optimizers_may_have_its_reason(facts: dict[str, Any]) -> None:
    assert codes(scheduler("StepLR", **facts)) == []


def test_a_cycle_that_ran_out_ends_the_run() -> None:
    error = raised("ValueError", "Tried to step 11 times. The total number of steps is 10")
    row = scheduler("OneCycleLR", settings={"total_steps": 10}, num_steps=11)
    (finding,) = findings(trained(row, exceptions=(error,)))
    assert (finding.code, finding.severity, finding.location.line) == ("TD407", "critical", 30)
    assert "planned for 10, the number of epochs" in finding.message


def test_rates_of_zero_are_reported_with_who_set_them() -> None:
    row = scheduler("LambdaLR", rates=())
    (finding,) = findings(trained(row, rates=(0.0,) * 6 + (2e-4,) * 6))
    assert (finding.code, finding.location.line) == ("TD406", 30)
    assert "TD405" in finding.explains
    assert codes(row, rates=(0.0, 0.0) + (1e-3,) * 10) == []  # a warm-up's beginning


def test_rates_set_by_hand_are_reported_at_the_line_that_sets_them() -> None:
    text = 'def fit():\n    for group in optimizer.param_groups:\n        group["lr"] = rate\n'
    (finding,) = findings(trained(rates=(1e-3,) * 5 + (0.0,) * 7), text)
    assert (finding.code, finding.location.line) == ("TD406", 3)


def test_the_planned_end_of_a_watched_run_is_silent_and_a_long_rest_at_zero_is_not() -> None:
    def pulses(*parts: tuple[int, float]) -> tuple[PulseRow, ...]:
        starts = [sum(n for n, _ in parts[:i]) for i in range(len(parts))]
        return tuple(
            PulseRow(first_step=s, last_step=s + n - 1, last_learning_rates=(rate,))
            for s, (n, rate) in zip(starts, parts, strict=True)
        )

    script = {"kind": "script", "epochs": None, "has_train_loop": False}
    assert codes(pulses=pulses((900, 1e-3), (50, 1e-5), (2, 0.0)), setup=script) == []
    assert codes(pulses=pulses((300, 1e-3), (700, 0.0)), setup=script) == ["TD406"]


def test_a_watched_schedule_is_measured_by_its_gaps_once_the_script_has_ended() -> None:
    script = {"kind": "script", "epochs": None, "has_train_loop": False}
    slow = of(120, "OneCycleLR", gaps=((30, 3),), num_steps=4, num_optimizer_steps=120)
    assert codes(slow, setup=script) == []
    assert codes(slow, setup=script, facts={"ended": True}) == ["TD407"]
    fast = of(4, gaps=((1, 119),), num_steps=120, num_optimizer_steps=120)
    assert codes(fast, setup=script, facts={"ended": True, "num_epochs": 4}) == ["TD406"]
    assert codes(fast, setup=script, facts={"ended": True}) == []


def test_what_accelerate_steps_is_not_measured() -> None:
    assert codes(of(10, is_wrapped=True)) == []


def test_the_doctors_own_steps_are_not_judged() -> None:
    assert codes(of(10, step_place=Place())) == []
    assert codes(of(10), setup={"trains_by_hand": False}) == []


COURSE = tuple(1e-3 * 0.99**n**2 for n in range(8))


def resumed(
    rates: tuple[float, ...] = COURSE, earlier: dict[str, Any] | None = None, **facts: Any
) -> list[Finding]:
    """Judge a run that goes on from one of 1,000 steps, whose schedule had come to a hundredth."""
    settings = {"T_max": 10_000}
    before = scheduler("CosineAnnealingLR", settings=settings, rates=COURSE, last_rate=1e-5)
    row = scheduler("CosineAnnealingLR", settings=settings, **{"rates": rates} | facts)
    known = {"num_steps": 1000, "loss": 0.5, "schedulers": (before,)}
    tables = {"checkpoints": (CheckpointRow(module_class="Net", num_states=4),)}
    trace = trained(row, facts={"earlier": known if earlier is None else earlier}, **tables)
    return list(examine(asks(trace), NoOptions()))


@pytest.mark.parametrize("factor", [1.0, 0.01])
def test_a_schedule_begun_anew_in_a_run_that_goes_on_is_told(factor: float) -> None:
    (finding,) = resumed(tuple(factor * rate for rate in COURSE))
    assert finding.code == "TD407"
    assert finding.title.endswith("begun anew in a run that goes on")
    assert {e.label: e.value for e in finding.evidence}["steps of the run before"] == 1000


@pytest.mark.parametrize(
    "healthy",
    [
        {"position": 1000},
        {"num_before": 1000},
        {"rates": tuple(1e-5 * 0.97**n for n in range(8))},
        {"earlier": {}},
        {"earlier": {"num_steps": 9, "loss": None, "schedulers": ()}},
    ],
    ids=["restored", "brought-forward", "goes-on", "no-run-before", "no-schedule-before"],
)
def test_a_schedule_that_goes_on_is_silent(healthy: dict[str, Any]) -> None:
    assert "TD407" not in {finding.code for finding in resumed(**healthy)}
