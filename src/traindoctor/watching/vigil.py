"""Judges a run while it goes on: at steps 1, 2, 5, 10, 20, 50, …, and says what is critical."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from traindoctor.diagnosis import diagnose
from traindoctor.errors import TargetError, told
from traindoctor.probing.events import FindingMade
from traindoctor.probing.finding import Finding
from traindoctor.probing.rule import Severity
from traindoctor.trace.storage import StoredTraces
from traindoctor.watching.archive import Archive
from traindoctor.watching.judge import Bench
from traindoctor.watching.record import RUN


class Vigil:
    """Looks at a trace that grows.

    A finding is announced when two looks in a row have it: what the first few steps only seem
    to show is not cried out.

    Args:
        path: the trace.
        bench: who judges.
        reference: the script, as named.
        announce: takes what is critical, each once.
    """

    def __init__(
        self, path: Path, bench: Bench, reference: str, announce: Callable[[Finding], None]
    ) -> None:
        self.path, self.bench, self.reference, self.announce = path, bench, reference, announce
        self.due, self.is_off = 1, False
        self.trouble = ""  # why nobody looks any more
        self.before: set[str] = set()
        self.announced: set[str] = set()

    def look(self) -> None:
        """Judge, if the run has come as far as the next look.

        Whatever fails of that ends the looking, never the run.
        """
        if self.is_off:
            return
        try:
            self._look()
        except Exception as error:
            self.is_off = True
            self.trouble = told(error)

    def _look(self) -> None:
        try:
            stored = StoredTraces(self.path)
            facts = stored.facts(RUN, ("num_steps", "num_passes"))
            progress = max(facts.get("num_steps", 0), facts.get("num_passes", 0))
            if progress < self.due:
                return
            archive = Archive(stored)
        except TargetError:  # nothing is written yet
            return
        while self.due <= progress:
            self.due = following(self.due)
        made = [
            event.finding
            for event in self.bench.judge(archive, self.reference)
            if isinstance(event, FindingMade)
        ]
        critical = {
            item.finding.fingerprint: item.finding
            for item in diagnose(made)
            if item.role == "root-cause" and item.finding.severity is Severity.CRITICAL
        }
        for name, finding in critical.items():
            if name in self.before and name not in self.announced:
                self.announced.add(name)
                self.announce(finding)
        self.before = set(critical)


def following(step: int) -> int:
    """Return what comes after a step in 1, 2, 5, 10, 20, 50, …"""
    text = str(step)
    return int({"1": "2", "2": "5", "5": "10"}[text[0]] + text[1:])
