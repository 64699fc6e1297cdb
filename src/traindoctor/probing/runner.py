"""Runs probes over experiments and says what happens, as events."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from traindoctor.codec import decode, encode
from traindoctor.errors import (
    RAISED_BY_USERS,
    CannotJudge,
    ExperimentFailed,
    TrainDoctorError,
    told,
    words_of,
)
from traindoctor.probing.events import (
    Event,
    ExperimentEnded,
    ExperimentStarted,
    FindingMade,
    ProbeEnded,
    ProbeStarted,
    Progress,
    Status,
)
from traindoctor.probing.finding import Finding
from traindoctor.probing.probe import Probe
from traindoctor.probing.rule import Severity
from traindoctor.probing.suppression import Silent, complain, suppressed

if TYPE_CHECKING:
    from traindoctor.experiments import Experiment
    from traindoctor.trace import Trace

BUDGET = 60.0  # seconds for follow-ups, where nothing else is said
Emit = Callable[[Event], None]


class Laboratory(Protocol):
    """Where traces come from: a lab that runs experiments, or the record of a run."""

    clock: Callable[[], float]
    on_progress: Callable[[int, int, str], None]

    def adjusted(self, experiment: Experiment) -> Experiment:
        """Return the experiment with the user's settings."""
        ...

    def refusal(self, experiment: Experiment) -> str | None:
        """Return why an experiment cannot be had, or None."""
        ...

    def perform(self, experiment: Experiment) -> Trace:
        """Return an experiment's trace."""
        ...


def run_probes(
    probes: Sequence[Probe],
    lab: Laboratory,
    *,
    rules: frozenset[str],
    emit: Emit,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    unavailable: Mapping[str, str] | None = None,
    silent: Silent | None = None,
    budget: float = 0.0,
) -> None:
    """Let each probe examine the setup, the cheap ones first.

    Args:
        probes: what to run; one with no selected rule is left out.
        lab: where experiments run, each at most once.
        rules: codes that may be reported.
        emit: takes the events as they happen.
        options: settings by probe name.
        unavailable: experiments that may not be run, by key, with the reason.
        silent: codes that are silent in files, by patterns of absolute paths.
        budget: seconds for all follow-ups that train for a time of their own; 0 for no limit.
    """
    chosen = [probe for probe in probes if any(rule.code in rules for rule in probe.rules)]
    settings = {probe.name: (options or {}).get(probe.name, {}) for probe in chosen}
    plans = {probe.name: _planned(probe, settings[probe.name], lab) for probe in chosen}
    planned = {item for plan in plans.values() if not isinstance(plan, str) for item in plan}
    ask = _Ask(lab, emit, unavailable or {}, planned, budget or math.inf)
    for probe in sorted(chosen, key=lambda probe: _cost(plans[probe.name])):
        plan = plans[probe.name]
        if isinstance(plan, str):
            emit(ProbeStarted(name=probe.name))
            emit(ended(probe, "errored", plan))
        else:
            _run_one(probe, settings[probe.name], ask, rules, emit, lab.clock, silent or {})


def _planned(
    probe: Probe, settings: Mapping[str, Any], lab: Laboratory
) -> tuple[Experiment, ...] | str:
    """Return the experiments that a probe will ask for, or why it cannot say."""
    try:
        plan = tuple(map(lab.adjusted, probe.planned(settings)))
        return plan if all(item.cost >= 0 and {item} for item in plan) else ()
    except TrainDoctorError:
        raise
    except RAISED_BY_USERS as error:  # a probe is foreign code to the runner
        return f"what it will ask for is not known: {told(error)}"


def _cost(plan: tuple[Experiment, ...] | str) -> int:
    return 0 if isinstance(plan, str) else max((item.cost for item in plan), default=0)


def _run_one(
    probe: Probe,
    settings: Mapping[str, Any],
    ask: _Ask,
    rules: frozenset[str],
    emit: Emit,
    clock: Callable[[], float],
    silent: Silent,
) -> None:
    emit(ProbeStarted(name=probe.name))
    start, reason, leaves_open = clock(), "", False
    status: Status = "passed"
    try:
        for made in probe.examine(ask, probe.options(**settings)):
            finding = plain(made)
            if finding.code not in {rule.code for rule in probe.rules}:
                raise ValueError(f"it reported {finding.code}, which is not among its rules")
            if finding.code not in rules:
                continue
            silenced = suppressed(finding, silent)
            if silenced:
                emit(silenced)
                continue
            emit(FindingMade(probe=probe.name, finding=complain(finding)))
            if finding.severity.rank >= Severity.WARNING.rank:
                status = "failed"
    except CannotJudge as error:
        reason, leaves_open = words_of(error), error.leaves_open
        status = "skipped" if status == "passed" else status
    except RAISED_BY_USERS as error:  # a probe is foreign code to the runner: the others go on
        status, reason = "errored", told(error)
    emit(replace(ended(probe, status, reason, clock() - start), leaves_open=leaves_open))


def plain(made: object) -> Finding:
    """Return what a probe has made as plain data, whatever it was made of.

    Raises:
        ValueError, TypeError: it is no finding, or holds what is no plain data.
    """
    finding: Finding = decode(Finding, encode(made))
    return finding


def ended(probe: Probe, status: Status, reason: str, seconds: float = 0.0) -> ProbeEnded:
    """Return that a probe has ended, and how."""
    return ProbeEnded(
        name=probe.name,
        status=status,
        reason=reason,
        seconds=seconds,
        rules=tuple(rule.code for rule in probe.rules),
        core=probe.core,
    )


class _Ask:
    """Performs an experiment once, says so, and remembers what came of it."""

    def __init__(
        self,
        lab: Laboratory,
        emit: Emit,
        unavailable: Mapping[str, str],
        planned: Set[Experiment],
        budget: float,
    ) -> None:
        self.lab, self.emit, self.unavailable = lab, emit, unavailable
        self.planned, self.budget = planned, budget
        self.left = budget  # seconds for follow-ups
        self.outcomes: dict[Experiment, Trace | str] = {}

    def __call__(self, experiment: Experiment) -> Trace:
        experiment = self.lab.adjusted(experiment)
        if experiment not in self.outcomes:
            self.outcomes[experiment] = self._within_budget(experiment)
        outcome = self.outcomes[experiment]
        if isinstance(outcome, str):
            raise ExperimentFailed(outcome)
        return outcome

    def _within_budget(self, experiment: Experiment) -> Trace | str:
        """Perform it; a follow-up that takes a time of its own takes what is left at most."""
        seconds: float | None = getattr(experiment, "max_seconds", None)
        if experiment in self.planned or seconds is None:
            return self._perform(experiment)
        if self.left <= 0:
            return f"the {self.budget:g} seconds for follow-up experiments are used up (--budget)"
        start = self.lab.clock()
        bounded: Any = experiment
        if seconds > self.left:
            bounded = replace(bounded, max_seconds=self.left)
        try:
            return self._perform(bounded)
        finally:
            self.left -= self.lab.clock() - start

    def _perform(self, experiment: Experiment) -> Trace | str:
        refusal = self.unavailable.get(experiment.key) or self.lab.refusal(experiment)
        if refusal:
            return refusal
        self.emit(
            ExperimentStarted(key=experiment.key, name=experiment.name, title=experiment.title)
        )
        start = self.lab.clock()
        self.lab.on_progress = lambda done, total, note: self.emit(
            Progress(done=done, total=total, note=note)
        )
        outcome: Trace | str
        try:
            outcome = self.lab.perform(experiment)
        except RAISED_BY_USERS as error:  # where no experiment expects it
            outcome = f"{experiment.name} failed with {told(error)}"
        self._ended(experiment, outcome, self.lab.clock() - start)
        return outcome

    def _ended(self, experiment: Experiment, outcome: Trace | str, seconds: float) -> None:
        status: Literal["done", "failed", "partial"] = "failed"
        steps = 0
        measurements: dict[str, Any] = {}
        if isinstance(outcome, str):
            reason = outcome
        else:
            status, reason = ("partial" if outcome.exceptions else "done"), outcome.raised
            steps, measurements = len(outcome.steps), _measured(experiment, outcome)
        self.emit(
            ExperimentEnded(
                key=experiment.key,
                name=experiment.name,
                settings=asdict(experiment),
                status=status,
                seconds=seconds,
                steps=steps,
                reason=reason,
                measurements=measurements,
            )
        )


def _measured(experiment: Experiment, trace: Trace) -> dict[str, Any]:
    """Return an experiment's figures; none where it cannot give them, or they are no plain data."""
    try:
        figures: dict[str, Any] = decode(dict[str, Any], encode(experiment.measurements(trace)))
    except RAISED_BY_USERS:  # an experiment may come with somebody else's probe
        return {}
    return figures
