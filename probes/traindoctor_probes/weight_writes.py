"""Do the weights change by the optimizer's steps alone?

## What it measures
Whether parameters are at each step as the step before has left them. Where they are not, a second
run sees every operation that writes to a parameter: its line, how far all of them together move the
weights beside the optimizer's own step, and what the written values have in common.

## Why it matters
An average that is taken in place, a copy that is none, an initialisation inside the loop: what they
write is not what the gradients ask for, and undoes what the steps have learned.

## Known limits
Silent on what is put back before the next step (averaged weights swapped in to validate, the two
halves of sharpness-aware steps), on what happens in fewer than half of the gaps between steps (a
best checkpoint restored, rounds of federated or meta learning), on weights that no optimizer holds
(averages, target networks), and on projections: clamping as in WGAN, masks, rows that are kept as
they were or rescaled, decay by hand. Noise that is added to the weights on purpose, as Langevin
dynamics do, is reported. Watching a script tells that weights change, and not by whom.

## References
torch.optim.swa_utils documentation: averages are kept in a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traindoctor.experiments import Experiment, LocateWrites, ShortRun
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
from traindoctor.probing.wording import counted, figure, first_location, grouped, location
from traindoctor.trace import Trace, WriteRow
from traindoctor_probes._handling import median

ELSEWHERE = Rule(
    code="TD415",
    name="weights-changed-elsewhere",
    severity=Severity.WARNING,
    title="`{operation}` changes {num_parameters} between the optimizer's steps",
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
PROJECTIONS = ("mask", "bound", "rows", "part")


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for changed weights, then for who changes them."""
    run = ask(ShortRun())
    if not run.setup.trains_by_hand:
        return
    run.require(steps=2)
    changed = [step for step in run.steps if step.num_elsewhere > step.num_reverted]
    if not is_often(len(changed), len(run.steps) - 1):
        return
    again = ask(LocateWrites())
    far = [ratio for ratio in again.facts.get("moved_elsewhere", ()) if ratio >= FAR]
    guilty = [row for row in again.writes if is_guilty(row, again)]
    if guilty and is_often(len(far), len(again.facts["moved_elsewhere"])):
        yield elsewhere(again, guilty, far)


def is_often(part: int, whole: int) -> bool:
    """Tell whether something happens in most of the gaps between steps."""
    return part >= FEWEST and part >= OFTEN * whole


def is_guilty(row: WriteRow, run: Trace) -> bool:
    """Tell writes of new values, step after step, from projections and from rare ones."""
    is_decay = row.pattern == "scale" and abs(1 - (row.factor or 0.0)) <= DECAY
    is_regular = is_often(len([s for s in row.steps if s > 0]), len(run.steps) - 1)
    steps_itself = ".step(" in row.place.text  # an optimizer around an optimizer
    return not (is_decay or steps_itself or row.pattern in PROJECTIONS) and is_regular


def elsewhere(run: Trace, guilty: Sequence[WriteRow], far: Sequence[float]) -> Finding:
    """Return the finding for lines that write to the weights between steps."""
    first = guilty[0]
    ratios = run.facts["moved_elsewhere"]
    names = list(dict.fromkeys(name for row in guilty for name in row.parameters))
    lines = list(dict.fromkeys(row.place for row in guilty))
    return ELSEWHERE.finding(
        f"`{first.place.text}` wrote to {grouped(first.parameters)} at "
        f"{len(first.steps)} of {counted(len(run.steps), 'step')}. In {len(far)} of "
        f"{counted(len(ratios), 'gap')} between steps the weights were moved by other code, "
        f"{figure(median(ratios))} times as far as the step before had moved them.",
        confidence=Confidence.LIKELY,
        mechanism="The optimizer changes the weights by its steps, and counts on finding them as "
        "it left them. What is written in between is not asked for by any gradient.",
        location=first_location([first.place, run.setup.factory]),
        also_at=[location(place) for place in lines[1:]],
        evidence=[
            Evidence("gaps in which other code moved the weights", len(far), 0),
            Evidence("gaps between steps", len(ratios)),
            Evidence("moved so far, in multiples of a step (median)", median(ratios), 0),
            Evidence("parameters written to", len(names), 0),
            *(
                Evidence(f"line {row.place.line}", f"{row.operation}, {counted(row.count, 'time')}")
                for row in guilty[:4]
            ),
        ],
        series=[Series("moved elsewhere, in steps", tuple(range(len(ratios))), tuple(ratios))],
        operation=first.operation,
        num_parameters=counted(len(names), "parameter"),
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
