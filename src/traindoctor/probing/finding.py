"""A finding: one instance of a rule, with its place and the numbers that prove it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum

from traindoctor.probing.rule import Remedy, Severity

Value = float | int | str | bool | None


class Confidence(str, Enum):
    """How sure a finding is; severity says how bad it would be."""

    CERTAIN = "certain"  # a mechanism was measured, or an experiment healed it
    LIKELY = "likely"
    POSSIBLE = "possible"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a fault is: a line of the user's own code, else a module or a parameter."""

    file: str | None = None
    line: int | None = None
    end_line: int | None = None
    symbol: str | None = None
    module: str | None = None
    parameter: str | None = None

    def __str__(self) -> str:
        if self.file:
            return f"{self.file}:{self.line}" if self.line else self.file
        return self.module or self.parameter or ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A measured value beside the expected one."""

    label: str
    value: Value
    expected: Value = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """A curve that belongs to a finding, such as the loss over steps."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Several places or things side by side, where a row of figures for each says most."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    heading: str = "The same risk elsewhere"  # of the part of a document that it makes


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One instance of a rule. Made by `Rule.finding`, never by hand.

    `subject` names what the finding is about when a rule can speak of several things
    at one place (a parameter group, a batch key); it is part of the fingerprint.
    `explains` holds the codes of the rules whose findings this one accounts for. `blamed_on`
    holds those of the only rules that may account for it, where an experiment has shown what
    does; None leaves that open.
    """

    code: str
    name: str
    severity: Severity
    confidence: Confidence
    title: str
    message: str
    mechanism: str = ""
    location: Location = Location()
    also_at: tuple[Location, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    series: tuple[Series, ...] = ()
    tables: tuple[Table, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    explains: tuple[str, ...] = ()
    blamed_on: tuple[str, ...] | None = None
    subject: str = ""
    quote: str = ""

    @property
    def fingerprint(self) -> str:
        """A name that survives noise: made from rule, place and subject, not from values."""
        place = (self.location.file, self.location.symbol, self.location.module)
        text = "\0".join(str(part or "") for part in (self.code, *place, self.subject))
        return hashlib.sha256(text.encode()).hexdigest()[:16]
