"""Does each step draw random numbers of its own?

## What it measures
Lines that seed the global generator of torch, numpy or python with one value again and again while
the model trains; and at each backward pass behind one, whether that generator stands where it stood
at the pass before, having been drawn from.

## Why it matters
Seeded in every step, dropout masks the same units each time, noise is one and the same noise,
and an augmentation is always the same one. What was to be an average over many draws is one draw.

## Known limits
A generator whose state is set back afterwards (`fork_rng`) is left alone, and so is one that is
seeded with another value each time. Seeding once an epoch is not judged. Whether a run gives the
same result twice is not asked: generators that the code keeps for itself cannot all be set back.

## References
PyTorch, "Reproducibility". Srivastava et al. 2014, "Dropout".
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import location
from traindoctor.trace import LoaderRow, SeedRow

FEWEST_SAME = 3  # backward passes; fewer are the beginnings of epochs

RESET = Rule(
    code="TD707",
    name="not-reproducible",
    severity=Severity.ERROR,
    title="The {generator} generator is set back to seed {value} in every step",
    what="Code that runs in every step seeds a global generator with one and the same value.",
    why="Every step draws the same random numbers: dropout, noise and augmentation are constants.",
    known_limits="Results that differ from run to run are not looked for. Seeding once an epoch "
    "is not judged.",
    remedies=(
        Remedy(
            "Seed once, before the training begins",
            recommended=True,
            pros="The run is as reproducible, and each step draws numbers of its own.",
            before="for batch in loader:\n    torch.manual_seed(0)\n    loss = model(batch)",
            after="torch.manual_seed(0)\nfor batch in loader:\n    loss = model(batch)",
        ),
        Remedy(
            "Give what is to be the same each time a generator of its own",
            after="noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))",
        ),
    ),
    explains=("TD508", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for lines behind which steps draw the same numbers."""
    run = ask(ShortRun())
    explains = (*RESET.explains, *(("TD503",) if any(map(draws_one, run.loaders)) else ()))
    for row in run.seeds:
        if row.num_same >= FEWEST_SAME and not row.num_other:
            yield reset(row, explains)


def draws_one(loader: LoaderRow) -> bool:
    """Tell a loader whose sampler draws, and has drawn the same batch each time."""
    return not loader.is_in_order and 0 < loader.num_fetched - 1 <= loader.num_repeats


def reset(row: SeedRow, explains: tuple[str, ...]) -> Finding:
    """Return the finding for one line."""
    return RESET.finding(
        f"The line ran {row.count} times and gave seed {row.value} each time. At "
        f"{row.num_same} backward passes the generator stood where it had stood at the one before.",
        mechanism="A seed sets the whole state of the generator that all code without one of its "
        "own draws from. What is drawn behind it is the same in every step.",
        location=location(row.place),
        evidence=[
            Evidence("backward passes with the numbers of the one before", row.num_same, 0),
            Evidence("calls with this seed", row.count, 1),
        ],
        explains=explains,
        subject=row.generator,
        generator=row.generator,
        value=row.value,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ShortRun(),)


probe = Probe(
    name="seeding",
    doc=__doc__,
    rules=(RESET,),
    examine=examine,
    experiments=experiments,
)
