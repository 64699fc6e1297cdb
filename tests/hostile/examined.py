"""Examines a generated target as a worker does, and says what was wrong with how that went."""

from __future__ import annotations

import json
import logging
from importlib.resources import files
from typing import Any

import jsonschema
import torch
from tests.hostile import marks
from tests.hostile.world import target
from tests.hostile.world.target import Recipe

from traindoctor.codec import dumps, loads
from traindoctor.probing.events import Event, LoadFailed, ProbeEnded
from traindoctor.probing.registry import all_probes, all_rules
from traindoctor.report.assemble import Occasion, assemble
from traindoctor.report.record import Report
from traindoctor.report.renderers import RENDERERS, render
from traindoctor.report.renderers.look import Look
from traindoctor.worker.job import Job
from traindoctor.worker.main import examine
from traindoctor.worker.messages import from_line, to_line
from traindoctor.worker.supervisor import _Course, _give_up

SCHEMA = jsonschema.Draft202012Validator(
    json.loads(files("traindoctor.report").joinpath("schema.json").read_text())
)
SHORT = {
    "overfit-batch": {"steps": 12, "max_seconds": 0.3},
    "short-run": {"num_batches": 3},
    "long-run": {"num_batches": 8, "max_seconds": 0.3},
}
for optimizer in (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD, torch.optim.LBFGS):
    optimizer([torch.nn.Parameter(torch.zeros(1))])  # torch wraps `step` when it is first made
ENDINGS = (SystemExit, KeyboardInterrupt, GeneratorExit)  # of a worker, by the user's own code


def wrong_with(recipe: Recipe) -> list[str]:
    """Examine a target; return what went wrong of ours, which is nothing."""
    before = marks.spaces()
    with marks.process_kept() as left:
        events, wrong = _events(recipe)
        wrong += [f"left under {name}" for name in marks.ours_left(before)]
        if not recipe.deed:
            wrong += [f"changed {name}" for name in marks.changed(before)]
        marks.put_back(before)
    logging.disable(logging.NOTSET)
    wrong += [f"left {item}" for item in left]
    wrong += _wrong_with_report(events)
    target.made.clear()
    return wrong


def _events(recipe: Recipe) -> tuple[list[Event], list[str]]:
    events: list[Event] = []
    kept: list[Any] = []

    def take(event: Event) -> None:
        if not kept:
            kept.append(_marks())
        message = from_line(to_line(event))
        events.append(message)  # type: ignore[arg-type]

    job = Job(
        reference="tests.hostile.world.target:setup",
        arguments={"recipe": json.dumps(vars(recipe))},
        probes=tuple(probe.name for probe in all_probes()),
        rules=tuple(all_rules()),
        experiment_settings=SHORT,
        budget=0.2,
    )
    try:
        examine(job, take)
    except ENDINGS:
        return events, []
    except BaseException as error:
        import traceback

        last = traceback.extract_tb(error.__traceback__)[-1]
        trail = "".join(traceback.format_tb(error.__traceback__)[-3:])
        return events, [f"raised {type(error).__name__} at {last.filename}:{last.lineno}\n{trail}"]
    return events, _not_given_back(kept[0], _marks(), recipe) if kept else []


def _marks() -> tuple[Any, Any] | None:
    model = target.made[0]["model"] if target.made else None
    if type(model) is torch.jit.RecursiveScriptModule or not isinstance(model, torch.nn.Module):
        return None
    try:
        return marks.hooks_of(model), marks.values_of(model)
    except RecursionError:  # its modules lie deeper in one another than torch can go
        return None


def _not_given_back(before: Any, after: Any, recipe: Recipe) -> list[str]:
    if before is None or after is None or recipe.model == "lazy":  # which gets its shapes for good
        return []
    wrong = []
    for what, old, new in zip(("hooks", "values"), before, after, strict=True):
        names = [name for name in {*old, *new} if old.get(name) != new.get(name)]
        wrong += [f"{what} not given back: {name}" for name in sorted(names)[:4]]
    return wrong


def _wrong_with_report(events: list[Event]) -> list[str]:
    failures = [event for event in events if isinstance(event, LoadFailed)]
    if failures:
        course = _Course({probe.name: probe for probe in all_probes()})
        events = [*events, *_give_up(failures[0], course)]
    report = assemble(
        events,
        Occasion(
            reference="target",
            command="traindoctor check target",
            verify="traindoctor check target --select CODE",
            duration_seconds=1.0,
            required=frozenset(probe.name for probe in all_probes() if probe.core),
        ),
    )
    text = dumps(report)
    wrong = [f"schema: {error.message[:200]}" for error in SCHEMA.iter_errors(json.loads(text))]
    broken: dict[str, list[str]] = {}
    for event in events:
        if isinstance(event, ProbeEnded) and event.status == "errored":
            broken.setdefault(event.reason, []).append(event.name)
    wrong += [f"{' '.join(n[:3])} broke off: {reason[:300]}" for reason, n in broken.items()]
    wrong += [
        f"more than a sentence: {event.message[:300]}"
        for event in events
        if isinstance(event, LoadFailed) and "\n" in event.message
    ]
    if dumps(loads(Report, text)) != text:
        wrong.append("the record is another when it was read")
    for form in RENDERERS:
        shown = render(report, form, Look())
        shown.encode("utf-8")
    return wrong
