"""Optimizers that are never stepped: the only one, or one of several, as half of a GAN."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traindoctor.errors import CannotJudge
from traindoctor.probing import Confidence, Evidence, Finding, Rule
from traindoctor.probing.syntax import Function, calls, function_at, guards
from traindoctor.probing.wording import counted, first_location, grouped
from traindoctor.trace import ParameterRow, Place, SourceRow, Trace

LEAST = 20  # steps of the others
OPTIMIZER_NAMES = {"optimizer", "optimizers", "optim", "opt"}
NOT_OPTIMIZERS = ("sched", "prof", "scaler", "self", "env", "tracker", "progress", "bar")


def require_end(run: Trace) -> None:
    """Ask that no step of a watched run comes after the backward passes that were seen closely.

    Such passes may measure what pruning or a penalty needs, before there is any training.

    Raises:
        CannotJudge: one came, or may come yet.
    """
    facts, seen = run.facts, counted(len(run.backwards), "backward pass")
    if facts.get("num_steps"):
        raise CannotJudge(f"{seen} came before the first step, and what they served is unknown")
    if run.setup.kind != "script" or facts.get("ended"):
        return
    is_training = run.optimizers and "moved" in facts and facts.get("num_epochs", 0) > 1
    if not is_training:
        raise CannotJudge(f"{seen} came before any step, which may come yet")


def later_step(run: Trace, source: Sequence[SourceRow]) -> Place:
    """Return the step whose loops all hold the backward pass, in a run that steps only later.

    Nothing where there is no such line: what the passes served is unknown.
    """
    backward = run.backwards[0].place
    around = _loops(source, backward)
    steps = step_lines(source, backward) if run.facts.get("num_steps") else []
    return next((step for step in steps if set() < _loops(source, step) <= around), Place())


def _loops(source: Sequence[SourceRow], place: Place) -> set[Place]:
    return {guard.place for guard in guards(source, place) if guard.kind in ("for", "while")}


def never(rule: Rule, run: Trace, source: Sequence[SourceRow]) -> Finding:
    """Return the finding for a loop that never steps.

    Raises:
        CannotJudge: a step would come later, or from a caller that was not handed over.
    """
    backward = run.backwards[0].place
    function = function_at(source, backward)
    taken = {item.arg for item in function.args.args} if function else set()
    steps = step_lines(source, backward)
    if run.setup.has_scaler and all(row.num_not_finite for row in run.backwards[-1:]):
        raise CannotJudge(
            f"{counted(len(run.backwards), 'backward pass')} ended with gradients that are not "
            "finite, and a gradient scaler skips the step then"
        )
    for place in steps:
        counts = [guard for guard in guards(source, place) if "%" in guard.test]
        if counts and not run.facts.get("discarded_backwards"):
            raise CannotJudge(
                f"{len(run.backwards)} backward passes were observed, and `if {counts[-1].test}` "
                "let none of them step; it may be accumulation over more batches"
            )
    if not run.setup.has_train_loop and not taken & OPTIMIZER_NAMES:
        raise CannotJudge("train_step leaves the optimizer step to a loop that was not handed over")
    written = (
        f"`{steps[0].text}` at line {steps[0].line} was never reached"
        if steps
        else "the code that ran has no optimizer.step()"
    )
    return rule.finding(
        f"{counted(len(run.backwards), 'backward pass')} over {counted(len(run.batches), 'batch')} "
        f"filled gradients; {written}, and no parameter moved.",
        confidence=Confidence.CERTAIN if run.setup.has_train_loop else Confidence.LIKELY,
        mechanism="backward() computes gradients; only step() applies them. The loss is printed "
        "and varies with the batches, so the run looks alive.",
        location=first_location([*steps, backward, run.setup.factory]),
        evidence=[
            Evidence("backward passes", len(run.backwards)),
            Evidence("optimizer steps", 0, len(run.backwards)),
            Evidence("parameters that moved", 0, len(run.parameters)),
        ],
        num_backwards=len(run.backwards),
        step="optimizer step",
    )


def idle(rule: Rule, run: Trace) -> Iterator[Finding]:
    """Yield the finding for each optimizer of a watched run that took no step to its end.

    Nothing else moved what it holds; where that is unknown, being no part of the models that were
    seen from the beginning, the finding is likely.
    """
    if run.setup.kind != "script" or not run.facts.get("ended"):
        return
    steps: dict[int, int] = {}
    for pulse in run.pulses:
        steps[pulse.optimizer] = max(steps.get(pulse.optimizer, 0), pulse.last_step + 1)
    moved = set(run.facts.get("moved", ()))
    for row in run.optimizers:
        own = [p for p in run.parameters if _belongs(p, row.index)]
        names = {p.name for p in own}
        if row.index in steps or not steps or max(steps.values()) < LEAST:
            continue
        is_known = len(own) == row.num_held
        if names & moved or not (is_known or row.num_strangers == row.num_held > 0):
            continue
        others = sum(steps.values())
        held = grouped(names) if is_known else counted(row.num_held, "parameter")
        yield rule.finding(
            f"{row.class_name} holds {held} and was not stepped once, while the other optimizers "
            f"took {counted(others, 'step')}.",
            confidence=None if is_known else Confidence.LIKELY,
            mechanism="backward() computes gradients for all that a loss depends on; only the "
            "step of the optimizer that holds a parameter applies them.",
            location=first_location([row.place, run.setup.factory]),
            evidence=[
                Evidence("steps of this optimizer", 0),
                Evidence("steps of the others", others),
                *([Evidence("its parameters that moved", 0, len(own))] if is_known else []),
            ],
            subject=f"optimizer {row.index}",
            num_backwards=run.num_backwards,
            step=f"step of the {row.class_name} that holds {held}",
        )


def _belongs(row: ParameterRow, optimizer: int) -> bool:
    return row.group is not None and row.group[0] == optimizer and row.num_optimizers == 1


def step_lines(source: Sequence[SourceRow], near: Place) -> list[Place]:
    """Return the lines that seem to step an optimizer: of a line's function, else of its file."""
    found: list[Place] = []
    function = function_at(source, near)
    for place, call in calls(source, "step"):
        owner = getattr(call.func, "value", None)
        name = str(getattr(owner, "attr", getattr(owner, "id", ""))).lower()
        is_scaled = name.startswith("scaler") and bool(call.args)  # scaler.step(optimizer)
        if place.file == near.file and (is_scaled or not name.startswith(NOT_OPTIMIZERS)):
            found.append(place)
    inside = [place for place in found if function and _holds(function, place)]
    return inside or found


def _holds(function: Function, place: Place) -> bool:
    return function.lineno <= (place.line or 0) <= (function.end_lineno or 0)
