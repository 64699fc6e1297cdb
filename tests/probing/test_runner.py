"""Probes run cheap ones first, share experiments, and cannot stop each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from traindoctor.errors import CannotJudge, ExperimentFailed, UsageError
from traindoctor.experiments import Experiment, Lab
from traindoctor.probing import Ask, Finding, Location, NoOptions, Probe, Rule, Severity
from traindoctor.probing.events import (
    Event,
    ExperimentEnded,
    ExperimentStarted,
    FindingMade,
    ProbeEnded,
    Suppressed,
)
from traindoctor.probing.runner import run_probes
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import Trace


@dataclass(frozen=True)
class Count(Experiment):
    number: int = 1
    name: ClassVar[str] = "count"
    cost: ClassVar[int] = 1
    runs: ClassVar[list[int]] = []

    def run(self, lab: Lab) -> Trace:
        self.runs.append(self.number)
        if self.number < 0:
            raise ValueError("negative")
        return Trace(facts={"number": self.number})


class Dear(Count):
    cost: ClassVar[int] = 99


def a_lab(**more: Any) -> Lab:
    import torch

    Count.runs.clear()
    setup = TrainingSetup(model=torch.nn.Linear(1, 1), loader=[])
    return Lab(setup, restore=False, **more)


def a_rule(code: str = "TD901") -> Rule:
    return Rule(
        code=code, name="some-illness", severity=Severity.ERROR, title="{number} found",
        what="", why="", known_limits="",
    )  # fmt: skip


def a_probe(name: str, examine: Any, experiment: Experiment, code: str = "TD901") -> Probe:
    return Probe(
        name=name,
        doc="",
        rules=(a_rule(code),),
        examine=examine,
        experiments=lambda options: (experiment,),
    )


def events_of(*probes: Probe, lab: Lab | None = None, **more: Any) -> list[Event]:
    seen: list[Event] = []
    codes = frozenset(rule.code for probe in probes for rule in probe.rules)
    arguments = {"rules": codes, "emit": seen.append} | more
    run_probes(probes, lab or a_lab(), **arguments)
    return seen


def finding(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    number = ask(Count()).facts["number"]
    yield a_rule().finding("", number=number)


def other_finding(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    number = ask(Count()).facts["number"]
    yield a_rule("TD902").finding("", number=number)


def test_an_experiment_that_two_probes_ask_for_runs_once() -> None:
    events = events_of(
        a_probe("one", finding, Count()), a_probe("two", other_finding, Count(), "TD902")
    )
    assert Count.runs == [1]
    assert sum(isinstance(e, ExperimentStarted) for e in events) == 1


def test_cheap_probes_run_first() -> None:
    def silent(ask: Ask, options: NoOptions) -> Iterator[Finding]:
        yield from ()

    events = events_of(a_probe("dear", silent, Dear()), a_probe("cheap", silent, Count(), "TD902"))
    assert [e.name for e in events if isinstance(e, ProbeEnded)] == ["cheap", "dear"]


def test_a_probe_that_raises_is_errored_and_the_next_one_runs() -> None:
    def broken(ask: Ask, options: NoOptions) -> Iterator[Finding]:
        raise RuntimeError("bug")
        yield

    events = events_of(a_probe("a", broken, Count()), a_probe("b", other_finding, Count(), "TD902"))
    ended = {e.name: e for e in events if isinstance(e, ProbeEnded)}
    assert (ended["a"].status, ended["a"].reason) == ("errored", "RuntimeError: bug")
    assert ended["b"].status == "failed"


def test_a_probe_may_report_only_its_own_rules() -> None:
    (ended,) = (
        e for e in events_of(a_probe("a", other_finding, Count())) if isinstance(e, ProbeEnded)
    )
    assert ended.status == "errored"
    assert "TD902" in ended.reason


def test_a_probe_that_cannot_judge_is_skipped_with_its_reason() -> None:
    def unsure(ask: Ask, options: NoOptions) -> Iterator[Finding]:
        raise CannotJudge("too few steps")
        yield

    (ended,) = (e for e in events_of(a_probe("a", unsure, Count())) if isinstance(e, ProbeEnded))
    assert (ended.status, ended.reason, ended.leaves_open) == ("skipped", "too few steps", False)


def test_a_probe_that_saw_what_may_be_a_fault_leaves_it_open() -> None:
    def unsure(ask: Ask, options: NoOptions) -> Iterator[Finding]:
        raise CannotJudge("it does not learn", leaves_open=True)
        yield

    (ended,) = (e for e in events_of(a_probe("a", unsure, Count())) if isinstance(e, ProbeEnded))
    assert (ended.status, ended.leaves_open) == ("skipped", True)


def test_an_experiment_that_fails_makes_its_probes_skipped_and_is_not_tried_again() -> None:
    def asks(ask: Ask, options: NoOptions) -> Iterator[Finding]:
        with pytest.raises(ExperimentFailed):
            ask(Count(-1))
        ask(Count(-1))
        yield

    events = events_of(a_probe("a", asks, Count(-1)))
    assert Count.runs == [-1]
    (experiment,) = (e for e in events if isinstance(e, ExperimentEnded))
    assert experiment.status == "failed"
    (ended,) = (e for e in events if isinstance(e, ProbeEnded))
    assert ended.status == "skipped"
    assert "ValueError: negative" in ended.reason


def test_an_experiment_that_killed_a_worker_is_not_run_again() -> None:
    events = events_of(
        a_probe("a", finding, Count()), unavailable={Count().key: "killed by signal 11"}
    )
    assert Count.runs == []
    (ended,) = (e for e in events if isinstance(e, ProbeEnded))
    assert ended.reason == "killed by signal 11"


def test_an_override_changes_what_a_probe_asks_for() -> None:
    events = events_of(
        a_probe("a", finding, Count()), lab=a_lab(overrides={"count": {"number": 7}})
    )
    (made,) = (e for e in events if isinstance(e, FindingMade))
    assert made.finding.title == "7 found"


def test_an_override_of_a_setting_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'number'"):
        a_lab(overrides={"count": {"nummer": 7}}).adjusted(Count())


def test_rules_that_are_not_selected_are_not_reported() -> None:
    events = events_of(a_probe("a", finding, Count()), rules=frozenset())
    assert events == []


@pytest.mark.parametrize(
    ("comment", "silenced"),
    [
        ("# traindoctor: ignore[TD901] the head is trained by hand", True),
        ("# traindoctor: ignore[TD111, TD901] both are known", True),
        ("# traindoctor: ignore[TD901]", False),  # no reason, no silence
        ("# traindoctor: ignore[TD111] another rule", False),
    ],
)
def test_a_comment_with_a_reason_silences_a_rule_at_its_line(
    comment: str, silenced: bool, tmp_path: Any
) -> None:
    file = tmp_path / "train.py"
    file.write_text(f"first = 1\noptimizer = 2  {comment}\n")

    def at_line(ask: Ask, options: NoOptions) -> Iterator[Finding]:
        yield a_rule().finding("", number=1, location=Location(file=str(file), line=2))

    events = events_of(a_probe("a", at_line, Count()))
    assert any(isinstance(e, Suppressed) for e in events) is silenced
    assert any(isinstance(e, FindingMade) for e in events) is not silenced


@dataclass(frozen=True)
class Timed(Experiment):
    """Takes all the time it is given, on the clock of the test."""

    number: int = 1
    max_seconds: float = 5.0
    name: ClassVar[str] = "timed"
    cost: ClassVar[int] = 60
    taken: ClassVar[list[float]] = []

    def run(self, lab: Lab) -> Trace:
        self.taken.append(self.max_seconds)
        return Trace()


def test_follow_ups_take_no_more_than_the_budget_and_what_is_planned_is_none() -> None:
    def following(ask: Ask, options: NoOptions) -> Iterator[Finding]:
        for number in range(1, 5):
            ask(Timed(number))
        yield from ()

    Timed.taken.clear()
    probe = a_probe("following", following, Timed())
    events = events_of(probe, lab=a_lab(clock=lambda: sum(Timed.taken)), budget=7.0)

    assert Timed.taken == [5.0, 5.0, 2.0]  # the plan's own, a follow-up, and what is left
    (ended,) = [event for event in events if isinstance(event, ProbeEnded)]
    assert (ended.status, "7 seconds" in ended.reason) == ("skipped", True)


def test_without_a_budget_follow_ups_are_not_bounded() -> None:
    def following(ask: Ask, options: NoOptions) -> Iterator[Finding]:
        for number in range(1, 30):
            ask(Timed(number))
        yield from ()

    Timed.taken.clear()
    events_of(
        a_probe("following", following, Timed()),
        lab=a_lab(clock=lambda: sum(Timed.taken)),
        budget=0.0,
    )
    assert Timed.taken == [5.0] * 29
