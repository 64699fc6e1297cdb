"""Judges a watched run with the probes that there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from traindoctor.errors import RAISED_BY_USERS
from traindoctor.probing.events import (
    Event,
    ExperimentEnded,
    FindingMade,
    ProbeEnded,
    TargetLoaded,
)
from traindoctor.probing.finding import Evidence
from traindoctor.probing.probe import Probe
from traindoctor.probing.rule import Severity
from traindoctor.probing.runner import ended, run_probes
from traindoctor.trace import Place, Trace
from traindoctor.watching.archive import Archive
from traindoctor.watching.later_training import LaterTraining, later_trainings


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Who judges.

    Attributes:
        probes: what runs.
        rules: codes that may be reported.
        options: settings of probes, by their names.
        silent: codes that are silent in files, by patterns of absolute paths.
    """

    probes: tuple[Probe, ...]
    rules: frozenset[str]
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    silent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def judge(self, archive: Archive, reference: str) -> list[Event]:
        """Return what a run of `check` would say, from what was recorded."""
        events: list[Event] = [loaded(archive.run, reference, archive.ranks)]
        if not archive.has_training:
            return [*events, *(_unseen(probe) for probe in self.probes)]
        run_probes(
            self.probes,
            archive,
            rules=self.rules,
            emit=events.append,
            options=self.options,
            silent=self.silent,
        )
        for training in later_trainings(archive):
            number = f"number {training.number + 1}, from step {training.step} on"
            told = Evidence("training of the script", number)
            made = self._of_later(training)
            events = with_others(_without_guesses(events, made, training.raised_at), made, told)
        return [_as_watched(event, archive.run) for event in events]

    def _of_later(self, training: LaterTraining) -> list[FindingMade]:
        """Return what is found in the first steps of a training after the first."""
        events: list[Event] = []
        run_probes(
            self.probes,
            training,
            rules=self.rules,
            emit=events.append,
            options=self.options,
            silent=self.silent,
        )
        return [event for event in events if isinstance(event, FindingMade)]

    def required(self, archive: Archive) -> frozenset[str]:
        """Return the core probes that a watched run can be judged by."""
        return frozenset(probe.name for probe in self._core(archive))

    def _core(self, archive: Archive) -> Iterator[Probe]:
        for probe in self.probes:
            try:
                asked = probe.planned(self.options.get(probe.name, {}))
            except RAISED_BY_USERS:  # which the run will tell
                asked = ()
            if probe.core and not any(archive.refusal(item) for item in asked):
                yield probe


def with_others(
    events: Sequence[Event], made: Sequence[FindingMade], told: Evidence
) -> list[Event]:
    """Put what was found in another training or run beside what its probes have found before.

    Args:
        events: of the run.
        made: findings of the other; those that the run has already are left out.
        told: which it is.
    """
    known = {event.finding.fingerprint for event in events if isinstance(event, FindingMade)}
    merged: list[Event] = []
    for event in events:
        if isinstance(event, ProbeEnded):
            new = [
                replace(one, finding=replace(one.finding, evidence=(told, *one.finding.evidence)))
                for one in made
                if one.probe == event.name and one.finding.fingerprint not in known
            ]
            merged += new
            is_bad = any(one.finding.severity.rank >= Severity.WARNING.rank for one in new)
            merged.append(replace(event, status="failed", reason="") if is_bad else event)
        else:
            merged.append(event)
    return merged


def _without_guesses(
    events: Sequence[Event], made: Sequence[FindingMade], place: Place
) -> list[Event]:
    """Leave out what a run says of the line that raised, where the training that it ended knows."""
    known = {(event.probe, event.finding.code) for event in made}

    def is_guess(event: Event) -> bool:
        if not isinstance(event, FindingMade) or not place:
            return False
        at = event.finding.location
        is_there = (at.file, at.line) == (place.file, place.line)
        return is_there and (event.probe, event.finding.code) in known

    return [event for event in events if not is_guess(event)]


def loaded(run: Trace, reference: str, ranks: Trace | None = None) -> TargetLoaded:
    """Return what was watched, as the head of a report tells it."""
    own_rank = run.facts.get("rank") or {}
    together = {"ranks": [row.rank for row in ranks.ranks]} if ranks else {}
    own = [row for row in run.parameters if row.in_model]
    first = next((row for row in run.batches if row.size), None)
    return TargetLoaded(
        kind="script",
        reference=reference,
        model_class=run.setup.model_class,
        num_parameters=sum(row.num_elements for row in own),
        num_trainable=sum(row.num_elements for row in own if row.requires_grad),
        data={
            "batches": run.setup.num_batches or run.facts.get("num_batches"),
            "batch_size": first.size if first else None,
            "only_seen": not run.setup.num_batches,  # no loader told how many there are
        },
        environment=dict(run.facts.get("environment") or {}),
        location_file=run.setup.factory.file,
        distributed={"world_size": own_rank.get("world_size", 1)} | together,
    )


def _unseen(probe: Probe) -> ProbeEnded:
    return ended(probe, "skipped", "no training was seen")


def _as_watched(event: Event, run: Trace) -> Event:
    """Give the run its number of steps and what watching it cost."""
    if not isinstance(event, ExperimentEnded):
        return event
    if event.name != "short-run":
        return replace(event, steps=0)  # its steps are the run's
    return ExperimentEnded(
        key=event.key,
        name="watched-run",
        settings={},
        status=event.status,
        seconds=run.facts.get("overhead", {}).get("run_seconds", 0.0),
        steps=run.facts.get("num_steps", len(run.steps)),
        reason=event.reason,
        measurements=event.measurements
        | {"watch": run.facts.get("overhead", {}), "run_curve": run_curve(run)},
    )


def run_curve(run: Trace) -> dict[str, list[float | None]]:
    """Return loss and gradient norm over all steps of the first optimizer, a point a pulse."""
    first = [row for row in run.pulses if row.optimizer == 0]
    return {
        "x": [row.first_step for row in first],
        "loss": [row.loss for row in first],
        "gradient_norm": [row.gradient_norm for row in first],
    }
