"""One fault makes many findings true: this sorts them into root causes and their symptoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from traindoctor.probing.finding import Confidence, Finding
from traindoctor.probing.rule import Family, Severity

# Where two findings claim to explain each other, the earlier link of the chain wins:
# a batch that the model refuses comes before the loss that nobody computed from it.
_CHAIN = (
    Family.BATCH,
    Family.CONTROL_FLOW,
    Family.PROCESSES,
    Family.DATA,
    Family.STATE,
    Family.OPTIMIZER,
    Family.GRAPH,
    Family.GRADIENTS,
    Family.LOSS,
    Family.LEARNING,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosed:
    """A finding with its role. `explains` and `explained_by` are ids."""

    id: str
    finding: Finding
    role: str
    explains: tuple[str, ...]
    explained_by: str | None


def diagnose(findings: Sequence[Finding]) -> tuple[Diagnosed, ...]:
    """Sort findings into root causes, worst first, each followed by its symptoms.

    A finding is a symptom if a cause that is itself unexplained accounts for it, directly or
    through other findings. Information explains nothing and is explained by nothing. Where an
    experiment healed a symptom by removing what a finding is about, that finding is certain.
    Where several root causes could account for a symptom, none of them surely, all are possible.
    """
    ordered = sorted(_merged(findings), key=_rank)
    causes = _causes(ordered)
    ordered = _weighed(ordered, causes)
    layout: list[int] = []
    for index, cause in causes.items():
        if cause is None:
            layout.append(index)
            layout += [other for other, its in causes.items() if its == index]
    ids = {index: f"F{position}" for position, index in enumerate(layout, start=1)}
    return tuple(
        Diagnosed(
            id=ids[index],
            finding=ordered[index],
            role="root-cause" if causes[index] is None else "symptom",
            explains=tuple(ids[other] for other in layout if causes[other] == index),
            explained_by=None if causes[index] is None else ids[causes[index]],  # type: ignore[index]  # None was just excluded
        )
        for index in layout
    )


def _merged(findings: Sequence[Finding]) -> list[Finding]:
    """Drop a finding that says the same of the same place as an earlier one."""
    return list({finding.fingerprint: finding for finding in reversed(findings)}.values())[::-1]


def _rank(finding: Finding) -> tuple[int, int, int, str]:
    sureness = list(Confidence).index(finding.confidence)
    link = _CHAIN.index(Family(int(finding.code[2])))
    return (-finding.severity.rank, link, sureness, finding.code)


def _causes(findings: Sequence[Finding]) -> dict[int, int | None]:
    """Give each finding the root cause above it, or None where it is one."""
    open_ones = list(range(len(findings)))  # in order of rank
    causes: dict[int, int | None] = {}
    while open_ones:
        unexplained = [
            index
            for index in open_ones
            if not any(_explains(findings[other], findings[index]) for other in open_ones)
        ]
        # A circle of explanations has no unexplained member: its earliest link is the cause.
        roots = unexplained or [min(open_ones, key=lambda index: _chain(findings[index]))]
        for root in roots:
            causes[root] = None
        for root in roots:
            frontier = [root]
            while frontier:
                above = frontier.pop()
                for index in open_ones:
                    if index not in causes and _explains(findings[above], findings[index]):
                        causes[index] = root
                        frontier.append(index)
        open_ones = [index for index in open_ones if index not in causes]
    return dict(sorted(causes.items()))


def _weighed(findings: Sequence[Finding], causes: Mapping[int, int | None]) -> list[Finding]:
    """Return the findings, each root cause as sure as what became of its symptoms makes it."""
    weighed = list(findings)
    roots = [index for index, cause in causes.items() if cause is None]
    symptoms = [findings[index] for index, cause in causes.items() if cause is not None]
    for symptom in symptoms:
        able = [root for root in roots if _explains(findings[root], symptom)]
        proven = [root for root in able if symptom.blamed_on is not None]
        sure = [root for root in able if findings[root].confidence is Confidence.CERTAIN]
        for root in proven:
            weighed[root] = replace(findings[root], confidence=Confidence.CERTAIN)
        if len(able) > 1 and not proven and not sure:
            for root in able:
                others = ", ".join(findings[other].code for other in able if other != root)
                weighed[root] = _undecided(findings[root], symptom, others)
    return weighed


def _undecided(finding: Finding, symptom: Finding, others: str) -> Finding:
    decides = (
        f" {others} would explain {symptom.code} as well; which of them does is decided by taking "
        "one away and looking at the other."
    )
    return replace(
        finding,
        confidence=Confidence.POSSIBLE,
        message=finding.message + decides,
    )


def _explains(cause: Finding, symptom: Finding) -> bool:
    if Severity.INFO in (cause.severity, symptom.severity):
        return False
    if not symptom.code.startswith(cause.explains) or symptom.code == cause.code:
        return False
    if symptom.blamed_on is not None and cause.code not in symptom.blamed_on:
        return False
    if cause.code.startswith(symptom.explains or ("-",)):
        return _chain(cause) < _chain(symptom)
    return True


def _chain(finding: Finding) -> tuple[int, str]:
    return _CHAIN.index(Family(int(finding.code[2]))), finding.code
