"""A probe: one file that judges traces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from traindoctor.experiments import Experiment
    from traindoctor.probing.finding import Finding
    from traindoctor.probing.rule import Rule
    from traindoctor.trace import SourceRow, Trace


class Ask(Protocol):
    """How a probe gets a trace. The same experiment asked for twice runs once.

    Raises:
        ExperimentFailed: it cannot be had; the probe is listed as not examined.
    """

    def __call__(self, experiment: Experiment, /) -> Trace:
        """Return the trace of an experiment."""
        ...


@dataclass(frozen=True, slots=True)
class NoOptions:
    """For probes that have nothing to set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One file's worth of judging.

    Attributes:
        name: kebab-case, what it measures.
        doc: the file's docstring; its headings make the manual.
        rules: what it may report.
        examine: from traces to findings; arithmetic only, importable without torch.
        experiments: what it will ask for first, so that costs are known before it runs.
        options: a frozen dataclass of its settings, all with defaults.
        lint: what it can tell from one file's source before anything runs; None for nothing.
        core: a report may say "healthy" only if every core probe ran.
    """

    name: str
    doc: str
    rules: tuple[Rule, ...]
    examine: Callable[[Ask, Any], Iterator[Finding]]
    experiments: Callable[[Any], tuple[Experiment, ...]]
    options: Callable[[], Any] = NoOptions
    lint: Callable[[SourceRow], Iterator[Finding]] | None = None
    core: bool = False

    def planned(self, settings: Mapping[str, Any]) -> tuple[Experiment, ...]:
        """Return what it will ask for first, with these settings."""
        return self.experiments(self.options(**settings))
