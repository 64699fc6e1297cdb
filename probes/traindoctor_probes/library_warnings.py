"""Has a library said already what is wrong?

## What it measures
The warnings that torch and transformers gave while the program ran, through `warnings` and through
their loggers, with the user's line that was running; and which of them are known to mean a fault.

## Why it matters
Among a hundred warnings about speed and names that will change, one says that the loss compares
every prediction with every target. It comes once, scrolls by, and the run goes on.

## Known limits
Only texts of the table are known, as torch 2.13 and transformers 5.23 write them. A warning is
taken at its word; where another rule has measured the same fault, this one stands below it. What
was said before the program was looked at (while its modules were imported) is not known.

## References
The sources of torch 2.13 and transformers 5.23.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import Experiment, OneStep, ReadSource, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, first_location, location
from traindoctor.trace import Place, Trace, WarningRow
from traindoctor_probes._known_warnings import KNOWN, Known
from traindoctor_probes.loss_broadcast import broadcast

MEANS_FAULT = Rule(
    code="TD807",
    name="warning-means-fault",
    severity=Severity.ERROR,
    title="{what}",
    what="A warning of torch or transformers that is known to mean a fault in the training.",
    why="The library goes on with what it was given, which is not what was meant.",
    known_limits="Only warnings of a table that was verified with torch 2.13 and transformers "
    "5.23; their severity is the table's.",
    remedies=(Remedy("Do what the warning says", recommended=True),),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look up each warning that was given."""
    run = ask(ShortRun())
    seen = {row.message for row in run.warnings}
    rows = [*run.warnings, *(row for row in _of_first_step(ask) if row.message not in seen)]
    for known in KNOWN:
        found = [row for row in rows if re.search(known.text, row.message)]
        found = [row for row in found if matters(known, row, run)]
        if found and not is_excused(known, ask, run):
            yield meaning(known, found)


def _of_first_step(ask: Ask) -> tuple[WarningRow, ...]:
    """Return the warnings of a first step: a library may give them once a process."""
    try:
        return ask(OneStep()).warnings
    except ExperimentFailed:
        return ()


def matters(known: Known, row: WarningRow, run: Trace) -> bool:
    """Tell a warning that means its fault here from one that only looks like it."""
    if known.name == "target-broadcast":
        match = re.search(known.text, row.message)
        target, given = (_shape(match[name]) if match else () for name in ("target", "given"))
        result = broadcast(given, target)
        return result is not None and math.prod(result) > max(math.prod(given), math.prod(target))
    if known.name == "checkpoint-lacks-keys":  # of two names of one tensor, one is saved
        tied = {name for row in run.parameters for name in (row.name, *row.also_named)
                if row.also_named}  # fmt: skip
        return not set(re.findall(r"'([^']+)'", row.message)) <= tied
    return True


def is_excused(known: Known, ask: Ask, run: Trace) -> bool:
    """Tell a warning that healthy programs give too: a scaler skips its first steps."""
    if known.name != "scheduler-before-optimizer":
        return False
    return run.setup.has_scaler or any("GradScaler" in row.text for row in ask(ReadSource()).source)


def meaning(known: Known, rows: list[WarningRow]) -> Finding:
    """Return the finding for one kind of warning."""
    places = list(dict.fromkeys(row.place for row in rows if row.place))
    number = sum(row.count for row in rows)
    who = "transformers" if any(row.category == "logging" for row in rows) else "torch"
    first = rows[0].message.strip().splitlines()[0].partition(" (Triggered internally")[0]
    return MEANS_FAULT.finding(
        f"{who} warned {counted(number, 'time')}: {first[:300]}",
        severity=known.severity,
        mechanism=known.mechanism,
        location=first_location([*places, Place()]),
        also_at=[location(place) for place in places[1:5]],
        evidence=[Evidence("times it was said", number, 0)],
        remedies=(known.remedy,),
        explains=known.explains,
        subject=known.name,
        quote=first,
        what=known.title,
    )


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split(",") if size.strip())


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return ShortRun(), OneStep()


probe = Probe(
    name="library-warnings",
    doc=__doc__,
    rules=(MEANS_FAULT,),
    examine=examine,
    experiments=experiments,
)
