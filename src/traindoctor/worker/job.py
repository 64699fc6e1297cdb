"""What a worker is asked to do, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One worker's orders; they cross to it as one line of JSON.

    Attributes:
        reference: the target, or None where `model` and `data` name two factories.
        arguments: of the factory, from `--arg`.
        probes: names of the probes to run.
        rules: codes that may be reported.
        options: settings of probes, by probe name.
        experiment_settings: settings of experiments, by experiment name.
        restore: whether the setup is given back as it was between experiments.
        budget: seconds for follow-up experiments; 0 for no limit.
        unavailable: experiments that may not be run, by key, with the reason.
        silent: codes that are silent in files, by patterns of absolute paths.
    """

    reference: str | None = None
    arguments: dict[str, str] = field(default_factory=dict)
    model: str | None = None
    data: str | None = None
    probes: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    experiment_settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    restore: bool = True
    budget: float = 0.0
    unavailable: dict[str, str] = field(default_factory=dict)
    silent: dict[str, tuple[str, ...]] = field(default_factory=dict)
