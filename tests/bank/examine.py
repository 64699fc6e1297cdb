"""What traindoctor says of a program of the bank."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bank.build import Built, Edit

JUDGED = ("critical", "error", "warning")


@dataclass(frozen=True, slots=True)
class Examined:
    """A report, as far as the bank asks.

    Attributes:
        verdict: the report's.
        roots: codes of the root causes at warning or above.
        symptoms: codes of the symptoms at warning or above.
        line: where the first root cause points.
        lines: where it may point; empty where any place is right.
    """

    verdict: str
    roots: tuple[str, ...]
    symptoms: tuple[str, ...]
    line: int | None
    lines: tuple[int, ...]

    def is_right(self, edit: Edit) -> bool:
        """Tell whether the report names the planted fault, and it alone, at its line."""
        return self.names(edit) and self.points_well

    def names(self, edit: Edit) -> bool:
        """Tell whether the root causes are the planted faults, each once, and no others."""
        return sorted(self.roots) == sorted(edit.rule.split("+"))

    @property
    def points_well(self) -> bool:
        """Tell whether the first root cause is at one of the lines that are right."""
        return not self.lines or self.line in self.lines


def examine(built: Built) -> Examined:
    """Load a program as the command line would, check it, and pick out what the bank asks."""
    import traindoctor
    from traindoctor.target.reference import load

    report = traindoctor.check(load(built.reference, {}), options=built.options)
    judged = [finding for finding in report.findings if finding.severity in JUDGED]
    roots = [finding for finding in judged if finding.role == "root-cause"]
    return Examined(
        verdict=report.verdict,
        roots=tuple(finding.code for finding in roots),
        symptoms=tuple(finding.code for finding in judged if finding.role == "symptom"),
        line=roots[0].location.line if roots else None,
        lines=built.lines,
    )
