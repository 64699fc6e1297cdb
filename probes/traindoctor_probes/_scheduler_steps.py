"""Steps of learning rate schedulers that come never, too early, or once too often."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from traindoctor.experiments import ReadSource
from traindoctor.probing import Ask, Confidence, Evidence, Finding, Remedy, Rule, Severity
from traindoctor.probing.syntax import calls, guards, last_name
from traindoctor.probing.wording import counted, figure, first_location, location
from traindoctor.trace import ExceptionRow, Place, SchedulerRow, SourceRow, Trace
from traindoctor_probes._schedules import steps_by_epoch

NOT_SCHEDULERS = ("opt", "scaler", "prof", "env")


def is_overrun(run: Trace, row: SchedulerRow) -> bool:
    """Tell whether a schedule ended long before the loop; a cut epoch may end it by rounding."""
    total = row.settings.get("total_steps")
    if not total or row.num_steps < total:
        return False
    lengths = [sum(b.epoch == 0 for b in run.batches), run.setup.num_batches or 0]
    return not row.is_built_in_run or total <= max(lengths)


def overrun(rule: Rule, run: Trace, row: SchedulerRow, raised: ExceptionRow) -> Finding:
    """Return the finding for a schedule that ran out, which ends the run."""
    total, epochs = int(row.settings["total_steps"]), run.setup.epochs
    unit = ", the number of epochs" if total == epochs else ""
    return rule.finding(
        f"{row.class_name} was stepped {counted(row.num_steps, 'time')} in "
        f"{counted(len(run.batches), 'batch')} and is planned for {total}{unit}: "
        f"{raised.message.splitlines()[0]}",
        severity=Severity.CRITICAL,
        mechanism="OneCycleLR knows its last step from the beginning and refuses another one. "
        "Stepped each batch, it has to be planned for epochs times batches.",
        location=first_location([row.place, raised.place]),
        also_at=[location(raised.place)] if raised.place and row.place else [],
        evidence=[
            Evidence("steps that it is planned for", total, "epochs × batches"),
            Evidence("steps before it refused", row.num_steps),
            Evidence("epochs of the training", epochs),
            Evidence("batches of an epoch", run.setup.num_batches),
        ],
        quote=raised.traceback,
        explains=(*rule.explains, "TD404", "TD6"),
        name=row.class_name,
        how=f"planned for {total} steps and stepped at each batch",
    )


def never_stepped(rule: Rule, ask: Ask, run: Trace, row: SchedulerRow) -> Iterator[Finding]:
    """Yield the finding for a scheduler that nobody steps, once an epoch is over."""
    others = [r for r in run.schedulers if r.optimizer == row.optimizer and r is not row]
    num_epochs = len({batch.epoch for batch in run.batches})
    is_over = run.setup.kind != "script" or bool(run.facts.get("ended"))
    if not is_over or run.exceptions or num_epochs < 2 or row.num_optimizer_steps < 2:
        return
    if any(other.num_steps for other in others) or not run.setup.has_train_loop:
        return
    source = ask(ReadSource()).source
    written = scheduler_steps(source, row.place, run.steps[0].place)
    if any(guard.kind in ("if", "else") for place in written for guard in guards(source, place)):
        return
    where = f"`{written[0].text}` on line {written[0].line} was never reached" if written else ""
    yield rule.finding(
        f"{row.class_name} was not stepped once in {counted(num_epochs, 'epoch')} and "
        f"{counted(row.num_optimizer_steps, 'optimizer step')}; "
        f"{where or 'no line of the code steps it'}. The rate stayed at "
        f"{figure(row.highest_rate)}.",
        confidence=Confidence.LIKELY if written else None,
        mechanism="A scheduler changes the rate when its `step` is called, and at no other time.",
        location=first_location([row.place, *written, run.setup.factory]),
        also_at=[location(place) for place in written[:1] if row.place],
        evidence=[
            Evidence("steps of the scheduler", 0, "one a batch or an epoch"),
            Evidence("optimizer steps", row.num_optimizer_steps),
            Evidence("epochs observed", num_epochs),
        ],
        remedies=[
            Remedy(
                "Step the scheduler, once for each unit that it counts",
                recommended=True,
                before="for batch in loader:\n    train(batch)",
                after="for batch in loader:\n    train(batch)\nscheduler.step()",
            )
        ],
        subject=f"optimizer {row.optimizer}",
        name=row.class_name,
        how="never stepped",
    )


def scheduler_steps(source: Sequence[SourceRow], built: Place, loop: Place) -> list[Place]:
    """Return the lines that may step a scheduler.

    By its name, or the one it was given where it is built; in the loop's own file whatever is no
    optimizer by its name.
    """
    given = built.text.partition("=")[0].strip().rpartition(".")[2].lower()
    found = []
    for place, call in calls(source, "step"):
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        name = last_name(owner).lower() if owner is not None else ""
        is_named = name == given or "sched" in name
        is_near = place.file == loop.file and not name.startswith(NOT_SCHEDULERS)
        if name and (is_named or is_near):
            found.append(place)
    return found


def is_ahead(row: SchedulerRow) -> bool:
    """Tell whether a scheduler always steps before its optimizer, beginning with the first time."""
    in_one_place = row.num_at_place == row.num_steps >= 2
    always = row.num_ahead in (0, row.num_steps)
    return in_one_place and row.num_before == 1 and always and not row.num_told


def ahead(rule: Rule, run: Trace, row: SchedulerRow) -> Finding:
    """Return the finding for a scheduler that steps before the optimizer."""
    skipped = f" of {figure(row.base_rate)}" if row.base_rate else ""
    per = max(steps_by_epoch(run, row), default=1) if not row.num_ahead else 1
    return rule.finding(
        f"`{row.step_place.text}` ran before the first step of its optimizer, and before each "
        f"later one: the schedule's first rate{skipped} was never used.",
        mechanism="The scheduler sets the rate of the steps that follow. Called first, it goes on "
        f"to its second value before the first is used: the whole schedule is "
        f"{counted(per, 'optimizer step')} early.",
        location=first_location([row.step_place, row.place]),
        also_at=[location(row.place)] if row.place else [],
        evidence=[
            Evidence("its steps before the optimizer's first", row.num_before, 0),
            Evidence("its steps", row.num_steps),
            Evidence("optimizer steps", row.num_optimizer_steps),
        ],
        remedies=[
            Remedy(
                "Step the scheduler after the optimizer",
                recommended=True,
                before="scheduler.step()\noptimizer.step()",
                after="optimizer.step()\nscheduler.step()",
            )
        ],
        subject=f"optimizer {row.optimizer}",
        name=row.class_name,
        how="stepped before the optimizer",
    )
