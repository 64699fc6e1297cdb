"""The report: plain data with a JSON round trip. Every output format is made from it alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from traindoctor.probing.finding import Evidence, Location, Series, Table
from traindoctor.probing.rule import Remedy

SCHEMA_VERSION = "1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedFinding:
    """A finding with its role in the diagnosis."""

    id: str
    code: str
    name: str
    severity: str
    confidence: str
    role: str  # root-cause or symptom
    explains: tuple[str, ...]  # ids
    explained_by: str | None
    title: str
    message: str
    mechanism: str
    quote: str
    location: Location
    also_at: tuple[Location, ...]
    evidence: tuple[Evidence, ...]
    series: tuple[Series, ...]
    remedies: tuple[Remedy, ...]
    verify: tuple[str, ...]
    fingerprint: str
    snippet: tuple[tuple[int, str], ...] = ()  # the user's lines around the place, with numbers
    tables: tuple[Table, ...] = ()
    also_lines: tuple[str, ...] = ()  # the user's line at each place of `also_at`


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRecord:
    """What became of one probe."""

    name: str
    status: str  # passed, failed, skipped, errored
    reason: str
    seconds: float
    rules: tuple[str, ...]
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentRecord:
    """What became of one experiment."""

    name: str
    settings: dict[str, Any]
    status: str
    seconds: float
    steps: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressedRecord:
    """A finding that the user silenced, with the reason given."""

    code: str
    reason: str
    where: str
    by: str = "source"  # a comment in the source, the settings, or a baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """The model that was examined."""

    class_name: str = field(metadata={"json": "class"})
    parameters: int
    trainable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRecord:
    """What was examined."""

    reference: str
    kind: str
    model: ModelRecord | None
    data: dict[str, Any]
    distributed: dict[str, Any]
    location: Location = Location()  # of the factory, or the script
    folder: str = ""  # the working directory, seen from the repository's root


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts over the findings; severities count root causes and symptoms alike."""

    critical: int
    error: int
    warning: int
    info: int
    root_causes: int
    symptoms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The JSON record of one examination (`traindoctor schema` prints its schema)."""

    schema_version: str
    tool: dict[str, str]
    created: str
    command: str
    duration_seconds: float
    target: TargetRecord
    environment: dict[str, Any]
    verdict: str  # healthy, unwell, blocked, inconclusive
    summary: Summary
    findings: tuple[ReportedFinding, ...]
    probes: tuple[ProbeRecord, ...]
    experiments: tuple[ExperimentRecord, ...]
    measurements: dict[str, Any]
    suppressed: tuple[SuppressedRecord, ...]

    def __str__(self) -> str:
        """Return the report as the terminal shows it."""
        from traindoctor.report.renderers import render
        from traindoctor.report.renderers.look import Look

        return render(self, "text", Look())

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the page in a frame, for its styles are its own."""
        from html import escape

        from traindoctor.report.renderers import render
        from traindoctor.report.renderers.look import Look

        page = escape(render(self, "html", Look()))
        style = "width:100%;height:42rem;border:0"
        return f'<iframe srcdoc="{page}" style="{style}" title="traindoctor report"></iframe>'
