"""The Python API: examine a setup in this process, and give it back as it was."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from traindoctor.experiments import Lab
from traindoctor.probing.announce import announce
from traindoctor.probing.events import Event
from traindoctor.probing.registry import all_probes, all_rules
from traindoctor.probing.runner import BUDGET, run_probes
from traindoctor.report.assemble import Occasion, assemble
from traindoctor.report.record import Report
from traindoctor.selection import select_rules
from traindoctor.target.setup import as_setup


def check(
    target: Any,
    *,
    select: Iterable[str] = ("ALL",),
    ignore: Iterable[str] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    experiment_settings: Mapping[str, Mapping[str, Any]] | None = None,
    restore: bool = True,
    budget: float = BUDGET,
) -> Report:
    """Examine a setup and return the report.

    The setup comes back bit for bit: parameters, buffers, gradients, optimizer state, modes,
    hooks and the random states of python, numpy and torch. A loader that is an iterator of its
    own is read from, which cannot be undone.

    Args:
        target: a `TrainingSetup`, `(model, loader[, optimizer[, loss_fn]])`, a dict with these
            names, a `transformers.Trainer`, or a Lightning module with its data.
        select: codes, prefixes, names of rules, or `ALL`.
        ignore: rules left out.
        options: settings of probes by their name.
        experiment_settings: settings of experiments by their name, such as
            `{"overfit-batch": {"steps": 200}}`.
        restore: take the copy that giving back needs (one copy of what training changes).
        budget: seconds for experiments that follow up what was found; 0 for no limit.

    Raises:
        TargetError: the target is not one of these.
        UsageError: an unknown rule or setting.
    """
    start = time.perf_counter()
    setup = as_setup(target)
    rules = select_rules(all_rules(), select=select, ignore=ignore)
    probes = [p for p in all_probes() if any(rule.code in rules for rule in p.rules)]
    events: list[Event] = [announce(setup)]
    run_probes(
        probes,
        Lab(setup, restore=restore, overrides=experiment_settings),
        rules=rules,
        emit=events.append,
        options=options,
        budget=budget,
    )
    return assemble(
        events,
        Occasion(
            reference=setup.reference or type(setup.model).__name__,
            command="traindoctor.check(...)",
            verify=f"traindoctor check {setup.reference}".rstrip() + " --select CODE",
            duration_seconds=time.perf_counter() - start,
            required=frozenset(probe.name for probe in all_probes() if probe.core),
        ),
    )
