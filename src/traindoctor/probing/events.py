"""What a run of probes says while it runs. Plain data: it crosses a pipe as JSON lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from traindoctor.probing.finding import Finding

Status = Literal["passed", "failed", "skipped", "errored"]
"""What became of a probe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLoaded:
    """The setup stands; what it is."""

    kind: Literal["factory", "script", "source"] = "factory"
    reference: str
    model_class: str
    num_parameters: int
    num_trainable: int
    data: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    location_file: str | None = None
    location_line: int | None = None
    distributed: dict[str, Any] = field(default_factory=lambda: {"world_size": 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentStarted:
    """`key` is the experiment's settings as text, unique to it; `title` says what it does."""

    key: str
    name: str
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the running experiment is; `total` 0 means unknown."""

    done: int
    total: int
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentEnded:
    """`status` is `done`, `failed` or `partial` (user code raised; `reason` says where)."""

    key: str
    name: str
    settings: dict[str, Any]
    status: Literal["done", "failed", "partial"]
    seconds: float
    steps: int
    reason: str = ""
    measurements: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeStarted:
    """A probe begins."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeEnded:
    """`status` is `passed`, `failed`, `skipped` or `errored`.

    `leaves_open` says of one that could not judge that what it saw may well be a fault.
    """

    name: str
    status: Status
    seconds: float
    rules: tuple[str, ...]
    reason: str = ""
    core: bool = False
    leaves_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingMade:
    """A probe found something."""

    probe: str
    finding: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """A finding that the user silenced, with the reason given."""

    code: str
    reason: str
    where: str
    by: Literal["source", "settings"] = "source"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFailed:
    """The target could not be loaded."""

    message: str
    details: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """Everything was examined."""


Event = (
    TargetLoaded
    | ExperimentStarted
    | Progress
    | ExperimentEnded
    | ProbeStarted
    | ProbeEnded
    | FindingMade
    | Suppressed
    | LoadFailed
    | RunEnded
)
