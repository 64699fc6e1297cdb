"""A rule: one fault that a probe can report."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traindoctor.probing.finding import Confidence, Evidence, Finding, Location, Series, Table


class Severity(str, Enum):
    """How bad it is, whoever reports it."""

    CRITICAL = "critical"  # training is blocked, or its result is worthless
    ERROR = "error"  # part of it is silently wrong
    WARNING = "warning"  # suspicious or wasteful
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for info up to 3 for critical."""
        return _RANKS[self]


_RANKS = {Severity.INFO: 0, Severity.WARNING: 1, Severity.ERROR: 2, Severity.CRITICAL: 3}


class Family(Enum):
    """The hundreds digit of a code, and what the summary line calls it."""

    BATCH = 0
    LOSS = 1
    GRADIENTS = 2
    GRAPH = 3
    OPTIMIZER = 4
    DATA = 5
    LEARNING = 6
    STATE = 7
    CONTROL_FLOW = 8
    PROCESSES = 9

    @property
    def label(self) -> str:
        """As the report's summary line names it."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True)
class Remedy:
    """One way out, with what speaks for and against it, and the lines before and after."""

    title: str
    recommended: bool = False
    pros: str = ""
    cons: str = ""
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One fault: stable code, kebab-case name for the illness, and its manual.

    Attributes:
        code: `TD` and three digits, the first one the family; never reused.
        name: kebab-case, the illness and not the cure.
        severity: the highest severity its findings have unless a finding says otherwise.
        title: a format string filled with a finding's facts: states the fact with its numbers.
        what: what it is, in a sentence or two.
        why: what it does to training.
        known_limits: when it is silent although it should speak, or could be wrong.
        remedies: the ways out; one is recommended.
        explains: codes of rules that become true because this one is.
    """

    code: str
    name: str
    severity: Severity
    title: str
    what: str
    why: str
    known_limits: str
    remedies: tuple[Remedy, ...] = field(default=())
    explains: tuple[str, ...] = ()

    @property
    def family(self) -> Family:
        """The family that the code's first digit names."""
        return Family(int(self.code[2]))

    def suspicion(
        self,
        title: str,
        message: str,
        *,
        location: Location,
        subject: str = "",
        confidence: Confidence | None = None,
    ) -> Finding:
        """Make a finding from the source alone: likely, and a warning unless it is certain.

        Args:
            title: what stands there; the rule's own title has numbers that nobody measured.
            message: what comes of it.
            location: the line.
            subject: tells several findings in one function apart, such as the line's text.
            confidence: likely unless said otherwise.
        """
        from traindoctor.probing.finding import Confidence, Finding

        sure = confidence or Confidence.LIKELY
        return Finding(
            code=self.code,
            name=self.name,
            severity=self.severity if sure is Confidence.CERTAIN else Severity.WARNING,
            confidence=sure,
            title=title,
            message=message,
            location=location,
            remedies=self.remedies,
            subject=subject,
        )

    def finding(
        self,
        message: str,
        *,
        confidence: Confidence | None = None,
        severity: Severity | None = None,
        mechanism: str = "",
        location: Location | None = None,
        also_at: Sequence[Location] = (),
        evidence: Sequence[Evidence] = (),
        series: Sequence[Series] = (),
        tables: Sequence[Table] = (),
        remedies: Sequence[Remedy] | None = None,
        explains: Sequence[str] | None = None,
        blamed_on: Sequence[str] | None = None,
        subject: str = "",
        quote: str = "",
        **facts: Any,
    ) -> Finding:
        """Make a finding of this rule.

        Args:
            message: the symptom with its measured numbers, in a sentence or two.
            confidence: certain unless said otherwise.
            severity: the rule's own unless this instance is milder.
            mechanism: how the cause makes the symptom, in two or three sentences.
            location: the user's own line where there is one.
            also_at: every other place where the signature holds.
            evidence: measured values beside the expected ones.
            series: curves worth plotting.
            tables: the same of several places, side by side.
            remedies: the rule's own unless this instance knows better.
            explains: the rule's own unless this instance explains less or more.
            blamed_on: codes of the only rules that may explain it, as an experiment has shown.
            subject: tells several findings at one place apart.
            quote: an error message, verbatim.
            facts: what `title` asks for.
        """
        from traindoctor.probing.finding import Confidence, Finding, Location

        return Finding(
            code=self.code,
            name=self.name,
            severity=severity or self.severity,
            confidence=confidence or Confidence.CERTAIN,
            title=self.title.format(**facts),
            message=message,
            mechanism=mechanism,
            location=location or Location(),
            also_at=tuple(also_at),
            evidence=tuple(evidence),
            series=tuple(series),
            tables=tuple(tables),
            remedies=tuple(self.remedies if remedies is None else remedies),
            explains=tuple(self.explains if explains is None else explains),
            blamed_on=None if blamed_on is None else tuple(blamed_on),
            subject=subject,
            quote=quote,
        )
