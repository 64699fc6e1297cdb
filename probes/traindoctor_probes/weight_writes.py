"""Do the weights change by the optimizer's steps alone?

## What it measures
Whether parameters are at each step as the step before has left them. Where they are not: how far
they were moved beside what that step had moved them, and what the new values have in common. A
second run then sees every operation that writes to a parameter, with its line.

## Why it matters
An average that is taken in place, a copy that is none, an initialisation inside the loop: what they
write is not what the gradients ask for, and undoes what the steps have learned.

## Known limits
Silent on what is put back before the next step (averaged weights swapped in to validate, the two
halves of sharpness-aware steps), on what happens in fewer than half of the gaps between steps (a
best checkpoint restored, rounds of federated or meta learning), on weights that no optimizer holds
(averages, target networks), and on projections: clamping as in WGAN, masks, rows that are kept as
they were or rescaled, decay by hand. Noise that is added to the weights on purpose, as Langevin
dynamics do, is reported. Of a watched script only its first steps are compared, and the line is
taken from its source.

## References
torch.optim.swa_utils documentation: averages are kept in a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import Experiment, LocateWrites, ReadSource, ShortRun
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Series,
    Severity,
)
from traindoctor.probing.syntax import function_at
from traindoctor.probing.values import in_place_writes
from traindoctor.probing.wording import counted, figure, first_location, grouped, location
from traindoctor.trace import Place, Trace, WriteRow
from traindoctor_probes._handling import median

ELSEWHERE = Rule(
    code="TD415",
    name="weights-changed-elsewhere",
    severity=Severity.WARNING,
    title="{num_parameters} are changed between the optimizer's steps, by {who}",
    what="Parameters that an optimizer trains are written to by other code, step after step.",
    why="The weights are not where the optimizer has put them: what its steps have learned is "
    "diluted or lost, and its moments belong to other weights.",
    known_limits="Projections such as clamping, masks and renormalised rows are silent. Noise "
    "that is added on purpose is not told from an accident.",
    remedies=(
        Remedy(
            "Keep averages and targets in a copy of their own",
            recommended=True,
            before="ema = model",
            after="ema = copy.deepcopy(model)",
        ),
        Remedy(
            "Initialise or restore weights before the loop",
            before="for batch in loader:\n    model.load_state_dict(average)\n    train(batch)",
            after="model.load_state_dict(average)\nfor batch in loader:\n    train(batch)",
        ),
    ),
    explains=("TD105", "TD408", "TD409", "TD6"),
)
OFTEN = 0.5  # share of the gaps between steps
FEWEST = 3
FAR = 0.1  # of what a step moves the weights, from which on it is not rounding
DECAY = 0.01  # that a decay by hand takes off at most
STEPS = ("step", "first_step", "second_step")
WHOLE = ("mask", "bound", "rows")  # projections of a whole tensor
PROJECTIONS = (*WHOLE, "part")


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for weights that other code moves, then for the line that does."""
    run = ask(ShortRun())
    if not run.setup.trains_by_hand:
        return
    run.require(steps=2)
    ratios = run.facts.get("moved_elsewhere", ())
    far = [ratio for ratio in ratios if ratio >= FAR]
    projected = {name for row in run.writes if row.pattern in WHOLE for name in row.parameters}
    guilty = [row for row in run.writes if is_guilty(row, len(ratios), projected)]
    if not guilty or not is_often(len(far), len(ratios)) or is_put_back(run):
        return
    rows = located(ask)
    places = [row.place for row in rows] or written(ask, run)
    if not any(".step(" in place.text or place.function in STEPS for place in places[:1]):
        yield elsewhere(run, guilty, rows, places)


def is_often(part: int, whole: int) -> bool:
    """Tell whether something happens in most of the gaps between steps."""
    return part >= FEWEST and part >= OFTEN * whole


def is_guilty(row: WriteRow, num_gaps: int, projected: Set[str]) -> bool:
    """Tell new values, in most of the gaps, from projections and from a decay by hand.

    What is projected at times, and at other times looks different, is projected.
    """
    is_decay = row.pattern == "scale" and abs(1 - (row.factor or 0.0)) <= DECAY
    is_free = row.pattern not in PROJECTIONS and not set(row.parameters) <= projected
    return is_free and not is_decay and is_often(len(row.steps), num_gaps)


def is_put_back(run: Trace) -> bool:
    """Tell weights that are as before the last step: another rule's."""
    later = [step for step in run.steps if step.num_elsewhere]
    return all(step.num_reverted >= step.num_elsewhere for step in later)


def located(ask: Ask) -> list[WriteRow]:
    """Return the writes by line, of a run in which they are seen; none where that cannot be had."""
    try:
        run = ask(LocateWrites())
    except ExperimentFailed:
        return []
    rows = [row for row in run.writes if is_often(len(row.steps), len(run.steps) - 1)]
    free = [row for row in rows if row.pattern not in PROJECTIONS]
    return sorted(free, key=lambda row: row.pattern == "scale")


def written(ask: Ask, run: Trace) -> list[Place]:
    """Return the lines of the loop's file that may write to weights, those of the loop first."""
    source, step = ask(ReadSource()).source, run.steps[0].place
    loop = function_at(source, step)
    near = [place for place in in_place_writes(source) if place.file == step.file]
    return sorted(near, key=lambda place: function_at(source, place) is not loop)


def elsewhere(
    run: Trace, guilty: Sequence[WriteRow], rows: Sequence[WriteRow], places: Sequence[Place]
) -> Finding:
    """Return the finding for weights that other code moves between the steps."""
    ratios = run.facts["moved_elsewhere"]
    names = list(dict.fromkeys(name for row in guilty for name in row.parameters))
    lines = list(dict.fromkeys(place for place in places if place))
    who = f"`{lines[0].text}`" if lines else "Other code"
    says = f"{who} writes to them" if rows or not lines else f"{who} may be what writes to them"
    return ELSEWHERE.finding(
        f"{grouped(names)} were not at a step as the step before had left them, in "
        f"{len(guilty[0].steps)} of {counted(len(ratios), 'gap')} between steps. In the middle "
        f"they were {figure(median(ratios))} times as far away as that step had moved them. "
        f"{says}.",
        confidence=Confidence.LIKELY if rows else Confidence.POSSIBLE,
        mechanism="The optimizer changes the weights by its steps, and counts on finding them as "
        "it left them. What is written in between is not asked for by any gradient.",
        location=first_location([*lines, run.steps[0].place, run.setup.factory]),
        also_at=[location(place) for place in lines[1:5]],
        evidence=[
            Evidence("gaps in which other code moved the weights", len(guilty[0].steps), 0),
            Evidence("gaps between steps", len(ratios)),
            Evidence("moved so far, in multiples of a step (median)", median(ratios), 0),
            Evidence("parameters that were moved", len(names), 0),
            *(
                Evidence(f"line {row.place.line}", f"{row.operation}, {counted(row.count, 'time')}")
                for row in rows[:4]
            ),
        ],
        series=[Series("moved elsewhere, in steps", tuple(range(len(ratios))), tuple(ratios))],
        num_parameters=counted(len(names), "parameter"),
        who=f"{rows[0].operation} on line {lines[0].line}" if rows and lines else "other code",
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first; a second run follows where weights change."""
    return (ShortRun(),)


probe = Probe(
    name="weight-writes",
    doc=__doc__,
    rules=(ELSEWHERE,),
    examine=examine,
    experiments=experiments,
)
