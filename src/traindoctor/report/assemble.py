"""From what happened to the record: the events of a run become a report."""

from __future__ import annotations

import linecache
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from traindoctor.codec import map_strings
from traindoctor.diagnosis import Diagnosed, diagnose
from traindoctor.probing.events import (
    Event,
    ExperimentEnded,
    FindingMade,
    ProbeEnded,
    Suppressed,
    TargetLoaded,
)
from traindoctor.probing.finding import Finding, Location
from traindoctor.report.home import Home, working_directory
from traindoctor.report.outcome import summarise, verdict
from traindoctor.report.record import (
    SCHEMA_VERSION,
    ExperimentRecord,
    ModelRecord,
    ProbeRecord,
    Report,
    ReportedFinding,
    SuppressedRecord,
    TargetRecord,
)

LINES_BEFORE, LINES_AFTER, MOST_LINES = 2, 1, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What a report says that no event knows.

    Attributes:
        reference: the target as the user named it.
        command: the command line as typed.
        verify: a command line that looks for one fault again; `CODE` in it stands for its code.
        duration_seconds: of the whole examination.
        required: the probes that must have passed for the verdict "healthy".
        folder: the working directory, which places are written relative to.
        created: when the report was made.
    """

    reference: str
    command: str
    verify: str
    duration_seconds: float
    required: frozenset[str]
    folder: Path = field(default_factory=working_directory)
    created: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


def assemble(events: Iterable[Event], occasion: Occasion) -> Report:
    """Return the report of a run.

    Places in events are absolute; those in the report are relative to the working directory.
    """
    happened = tuple(events)
    home = Home(occasion.folder)
    made = [event for event in happened if isinstance(event, FindingMade)]
    diagnosed = diagnose([event.finding for event in made])
    findings = tuple(_reported(item, occasion.verify, home) for item in diagnosed)
    probes = _probes(happened, made, diagnosed)
    loaded = next((event for event in happened if isinstance(event, TargetLoaded)), None)
    measured = tuple(event for event in happened if isinstance(event, ExperimentEnded))
    silenced = [event for event in happened if isinstance(event, Suppressed)]
    is_open = {e.name for e in happened if isinstance(e, ProbeEnded) and e.leaves_open}
    return Report(
        schema_version=SCHEMA_VERSION,
        tool={"name": "traindoctor", "version": version("traindoctor")},
        created=occasion.created.isoformat(timespec="seconds"),
        command=occasion.command,
        duration_seconds=round(occasion.duration_seconds, 3),
        target=_target(loaded, occasion.reference, home),
        environment=loaded.environment if loaded else {},
        verdict=verdict(findings, probes, occasion.required | is_open),
        summary=summarise(findings),
        findings=_at_home(findings, home),
        probes=_at_home(probes, home),
        experiments=_at_home(_experiments(measured), home),
        measurements=_at_home(_measurements(measured), home),
        suppressed=_at_home(
            tuple(
                SuppressedRecord(code=s.code, reason=s.reason, where=s.where, by=s.by)
                for s in silenced
            ),
            home,
        ),
    )


def _reported(item: Diagnosed, verify: str, home: Home) -> ReportedFinding:
    finding, others = item.finding, _others(item.finding)
    return ReportedFinding(
        id=item.id,
        code=finding.code,
        name=finding.name,
        severity=finding.severity.value,
        confidence=finding.confidence.value,
        role=item.role,
        explains=item.explains,
        explained_by=item.explained_by,
        title=finding.title,
        message=finding.message,
        mechanism=finding.mechanism,
        quote=finding.quote,
        location=finding.location,
        also_at=others,
        evidence=finding.evidence,
        series=finding.series,
        remedies=finding.remedies,
        verify=(verify.replace("CODE", finding.code),),
        fingerprint=_fingerprint(finding, home),
        snippet=snippet(finding.location),
        tables=finding.tables,
        also_lines=tuple(
            linecache.getline(place.file, place.line).strip() if place.file and place.line else ""
            for place in others
        ),
    )


def _others(finding: Finding) -> tuple[Location, ...]:
    """Return the other places, each line once."""
    places = {str(place): place for place in finding.also_at}
    places.pop(str(finding.location), None)
    return tuple(places.values())


def _fingerprint(finding: Finding, home: Home) -> str:
    """Name a finding by its place in the project, the same on every machine."""
    return replace(finding, location=_at_home(finding.location, home)).fingerprint


def snippet(location: Location) -> tuple[tuple[int, str], ...]:
    """Return the user's lines around a place, with their numbers."""
    if not location.file or not location.line:
        return ()
    last = min(location.end_line or location.line, location.line + MOST_LINES)
    lines = linecache.getlines(location.file)
    first = max(1, location.line - LINES_BEFORE)
    shown = [text.rstrip().expandtabs(4) for text in lines[first - 1 : last + LINES_AFTER]]
    while shown and not shown[-1]:
        shown.pop()
    return tuple(enumerate(shown, start=first))


def _probes(
    happened: Sequence[Event], made: Sequence[FindingMade], diagnosed: Sequence[Diagnosed]
) -> tuple[ProbeRecord, ...]:
    ids = {item.finding.fingerprint: item.id for item in diagnosed}
    found: dict[str, dict[str, None]] = {}
    for event in made:  # equal findings are one
        found.setdefault(event.probe, {})[ids[event.finding.fingerprint]] = None
    return tuple(
        ProbeRecord(
            name=event.name,
            status=event.status,
            reason=event.reason,
            seconds=round(event.seconds, 4),
            rules=event.rules,
            findings=tuple(found.get(event.name, ())),
        )
        for event in happened
        if isinstance(event, ProbeEnded)
    )


def _experiments(measured: Sequence[ExperimentEnded]) -> tuple[ExperimentRecord, ...]:
    """Keep the last word on each: a second worker may have done what killed the first."""
    last = {event.key: event for event in measured}
    return tuple(
        ExperimentRecord(
            name=event.name,
            settings=event.settings,
            status=event.status,
            seconds=round(event.seconds, 4),
            steps=event.steps,
            reason=event.reason,
        )
        for event in last.values()
    )


def _measurements(measured: Sequence[ExperimentEnded]) -> dict[str, Any]:
    """Merge the figures; the first experiment to give one wins, for the later ones follow it up."""
    figures: dict[str, Any] = {}
    for event in measured:
        figures = event.measurements | figures
    return figures


def _target(loaded: TargetLoaded | None, reference: str, home: Home) -> TargetRecord:
    model = None
    if loaded is not None and loaded.model_class:
        model = ModelRecord(
            class_name=loaded.model_class,
            parameters=loaded.num_parameters,
            trainable=loaded.num_trainable,
        )
    return TargetRecord(
        reference=reference,
        kind=loaded.kind if loaded else "factory",
        model=model,
        data=loaded.data if loaded else {},
        distributed=loaded.distributed if loaded else {"world_size": 1},
        location=_at_home(Location(file=loaded.location_file, line=loaded.location_line), home)
        if loaded
        else Location(),
        folder=home.folder,
    )


def _at_home(value: Any, home: Home) -> Any:
    """Write every path in a record relative to the working directory."""
    return map_strings(value, home.relative)
