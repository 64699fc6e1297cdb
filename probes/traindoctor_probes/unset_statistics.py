"""Does batch norm normalise by statistics that something has set?

## What it measures
Batch-norm modules that are in eval mode at every backward pass, while their running statistics are
those of the constructor: mean 0, variance 1, no batch counted.

## Why it matters
In eval mode batch norm takes its running statistics for the data's. If nothing has set them, it
normalises nothing, and keeps doing so: in eval mode they are not updated either.

## Known limits
Only torch's own batch norm, and only where the user's own step or loop trains. One whose weights
are frozen as well is taken for switched off on purpose. Power iterations of spectral norm, and
statistics of the user's own making, are not looked at.

## References
PyTorch, nn.BatchNorm1d: `track_running_stats`, `num_batches_tracked`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traindoctor.experiments import Experiment, ReadSource, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.syntax import calls
from traindoctor.probing.wording import counted, first_location, grouped, location
from traindoctor.trace import ModuleRow, Place, Trace

UNSET = Rule(
    code="TD719",
    name="state-used-before-set",
    severity=Severity.ERROR,
    title="{modules} in eval mode by statistics that nothing has set",
    what="Batch norm is kept in eval mode from the start, with the running statistics that its "
    "constructor gives it.",
    why="It normalises nothing: mean 0 and variance 1 are not the data's.",
    known_limits="Only torch's batch norm, in loops of the user's own.",
    remedies=(
        Remedy(
            "Load statistics before batch norm is frozen",
            recommended=True,
            pros="Freezing it is right where it was trained before.",
            before="freeze_batch_norm(model)",
            after="model.load_state_dict(pretrained)\nfreeze_batch_norm(model)",
        ),
        Remedy(
            "Let it learn its statistics",
            before="model.train()\nfreeze_batch_norm(model)",
            after="model.train()",
        ),
    ),
    explains=("TD204", "TD409", "TD602", "TD6", "TD706"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for batch norm in eval mode whose statistics are the constructor's."""
    fresh = set(ask(ReadSource()).facts.get("fresh_statistics", ()))
    if not fresh:
        return
    run = ask(ShortRun())
    learns = {row.parameter.rpartition(".")[0] for row in run.gradients if not row.is_none}
    unset = [
        row
        for row in run.modules
        if row.path in fresh & learns and row.modes and not any(row.modes)
    ]
    if unset and run.setup.trains_by_hand:
        yield used_unset(unset, run, ask(ReadSource()))


def used_unset(rows: Sequence[ModuleRow], run: Trace, known: Trace) -> Finding:
    """Return the finding for batch norms that normalise by nothing."""
    evals = [place for place, _ in calls(known.source, "eval")]
    frozen = evals if len(evals) == 1 else []
    passes = len(rows[0].modes)
    places: list[Place] = [*frozen, rows[0].place]
    return UNSET.finding(
        f"{grouped(row.path for row in rows)}: in eval mode in all of "
        f"{counted(passes, 'backward pass')}, with mean 0, variance 1, and no batch counted.",
        mechanism="In eval mode batch norm neither looks at the batch nor updates what it knows of "
        "the data. What it knows here is what the constructor wrote.",
        location=first_location([*places, run.setup.model_place], module=rows[0].path),
        also_at=[location(row.place) for row in rows[:1] if frozen and row.place],
        evidence=[
            Evidence("batch norms in eval mode with fresh statistics", len(rows), 0),
            Evidence("batches that they have counted", 0, "more than 0"),
            Evidence("backward passes in eval mode", passes, 0),
        ],
        modules=f"{counted(len(rows), 'batch norm')} normalise{'s' if len(rows) == 1 else ''}",
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return ReadSource(), ShortRun()


probe = Probe(
    name="unset-statistics",
    doc=__doc__,
    rules=(UNSET,),
    examine=examine,
    experiments=experiments,
)
