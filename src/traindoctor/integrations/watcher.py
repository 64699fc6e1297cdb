"""Watches a training run from inside a callback, and takes every tap off again when it ends."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traindoctor.probing.finding import Finding
from traindoctor.probing.registry import all_probes, all_rules
from traindoctor.report.assemble import Occasion, assemble
from traindoctor.report.record import Report
from traindoctor.report.renderers import render
from traindoctor.report.renderers.look import Look
from traindoctor.selection import select_rules
from traindoctor.trace.storage import StoredTraces
from traindoctor.watching.archive import Archive
from traindoctor.watching.judge import Bench
from traindoctor.watching.orders import Orders
from traindoctor.watching.session import Session
from traindoctor.watching.vigil import Vigil, following

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

logger = logging.getLogger("traindoctor")


class Watching:
    """What the callbacks share: who watches, when to stop, and the report.

    Args:
        select: rules that may report.
        ignore: rules left out.
        budget: share of the run's time for watching.
        stop_on_critical: end training at the first critical finding.
    """

    def __init__(
        self,
        *,
        select: Iterable[str] = ("ALL",),
        ignore: Iterable[str] = (),
        budget: float = 0.02,
        stop_on_critical: bool = False,
    ) -> None:
        self.watcher = Watcher(select=select, ignore=ignore, budget=budget)
        self.stop_on_critical = stop_on_critical
        self.report: Report | None = None

    def _must_stop(self) -> bool:
        """Judge where a look is due; tell whether training is to end."""
        self.watcher.step()
        return self.stop_on_critical and bool(self.watcher.critical)

    def _end(self, error: BaseException | None = None) -> Report | None:
        self.report = self.watcher.end(error) or self.report
        return self.report


class Watcher:
    """One training run as a callback's hooks tell of it.

    What is critical is logged when two looks in a row have it, at steps 1, 2, 5, 10, 20, 50, …

    Args:
        select: rules that may report: codes, prefixes, names or `ALL`.
        ignore: rules left out.
        budget: share of the run's time for watching, once the first steps are over.
        reference: what the report says was watched.
    """

    def __init__(
        self,
        *,
        select: Iterable[str] = ("ALL",),
        ignore: Iterable[str] = (),
        budget: float = 0.02,
        reference: str = "",
    ) -> None:
        rules = select_rules(all_rules(), select=select, ignore=ignore)
        probes = tuple(p for p in all_probes() if any(rule.code in rules for rule in p.rules))
        self.bench = Bench(probes=probes, rules=rules)
        self.budget = budget
        self.reference = reference or sys.argv[0] or "training"
        self.critical: list[Finding] = []
        self._session: Session | None = None
        self._untap: Callable[[], None] = lambda: None
        self._num_steps, self._due = 0, 1

    @property
    def is_on(self) -> bool:
        """Tell whether a run is being watched."""
        return self._session is not None

    def begin(self, model: nn.Module, optimizers: Iterable[Optimizer], loader: Any = None) -> None:
        """Tap torch, and take in what trains. A run that never ended is ended first."""
        self.end()
        self._folder = tempfile.TemporaryDirectory(prefix="traindoctor-")
        self._trace = Path(self._folder.name, "run.trace")
        self._start = time.monotonic()
        self._num_steps, self._due, self.critical = 0, 1, []
        self._vigil = Vigil(self._trace, self.bench, self.reference, self._announce)
        self._untap = _taps_as_they_are()
        orders = Orders(script=self.reference, trace=str(self._trace), budget=self.budget)
        session = self._session = Session(orders)
        session.begin()
        session.torch_imported()
        for built in (*model.modules(), *optimizers):
            session.scene.notice(built)
        if loader is not None:
            session.scene.loader = loader
        atexit.register(self.end)

    def step(self) -> None:
        """Take in that an optimizer step is over; judge where a look is due."""
        self._num_steps += 1
        if self._session is None or self._num_steps < self._due:
            return
        self._due = following(self._due)
        self._vigil.look()

    def end(self, error: BaseException | None = None) -> Report | None:
        """Take the taps off; return and log the report, None where nothing was watched."""
        session, self._session = self._session, None
        if session is None:
            return None
        atexit.unregister(self.end)
        session.end(error)
        session.withdraw()
        self._untap()
        try:
            report = self._report()
        finally:
            self._folder.cleanup()
        level = logging.INFO if report.verdict == "healthy" else logging.WARNING
        logger.log(level, "%s", render(report, "text", Look()))
        return report

    def _report(self) -> Report:
        archive = Archive(StoredTraces(self._trace))
        report = assemble(
            self.bench.judge(archive, self.reference),
            Occasion(
                reference=self.reference,
                command="TrainDoctorCallback()",
                verify=f"traindoctor watch --select CODE {self.reference}",
                duration_seconds=time.monotonic() - self._start,
                required=self.bench.required(archive),
            ),
        )
        facts = archive.run.facts
        seen = {
            "torch": True,
            "batches": facts.get("num_batches", 0),
            "forwards": facts.get("num_forwards", 0),
            "backwards": facts.get("num_passes", 0),
            "steps": facts.get("num_steps", 0),
        }
        return replace(report, measurements=report.measurements | {"seen": seen})

    def _announce(self, finding: Finding) -> None:
        self.critical.append(finding)
        where = f" at {finding.location}" if str(finding.location) else ""
        logger.error("%s %s%s: %s", finding.code, finding.name, where, finding.title)


def _taps_as_they_are() -> Callable[[], None]:
    """Return what puts back every name that watching replaces."""
    import torch
    from torch import nn
    from torch.optim import optimizer

    names: list[tuple[Any, str]] = [
        (nn.Module, "__call__"),
        (nn.Module, "compile"),
        (torch, "compile"),
        (torch.autograd, "backward"),
        (torch.autograd, "grad"),
        (os, "_exit"),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name in names]
    hooks: tuple[dict[int, Any], ...] = (
        optimizer._global_optimizer_pre_hooks,
        optimizer._global_optimizer_post_hooks,
    )
    known = [set(table) for table in hooks]

    def untap() -> None:
        for owner, name, original in before:
            setattr(owner, name, original)
        for table, keys in zip(hooks, known, strict=True):
            for key in [key for key in table if key not in keys]:
                del table[key]

    return untap
