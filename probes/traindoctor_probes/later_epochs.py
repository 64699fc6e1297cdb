"""Does the data come again in the second epoch?

## What it measures
Whether the loader, or the stream behind it, is one iterator that ends; and whether a loop of the
user's own asks an iterator for more that is over.

## Why it matters
A generator can be read once. The first epoch trains, every later one runs no iteration and raises
nothing: fifty epochs are one.

## Known limits
Silent where one epoch is declared, or where nothing says that there are several. A stream is read
for a second at most: one that has not ended by then is judged by its code, where it is a generator
without a loop for ever, and not judged else.

## References
Python, Glossary, "iterator": once exhausted it stays so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from traindoctor.experiments import Experiment, SecondEpoch, ShortRun
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.wording import counted, first_location
from traindoctor.trace import Place, Trace

EMPTY = Rule(
    code="TD513",
    name="second-epoch-empty",
    severity=Severity.ERROR,
    title="The second epoch has no batch: {what}",
    what="The training data is an iterator that is used up after the first epoch.",
    why="All epochs but the first train nothing, without any message.",
    known_limits="Silent unless several epochs are declared, or the loop iterates several times.",
    remedies=(
        Remedy(
            "Hand over something that can be iterated again",
            recommended=True,
            pros="Every epoch sees all data, and can shuffle it.",
            before="loader = (collate(chunk) for chunk in chunks)",
            after="loader = DataLoader(dataset, batch_size=32, shuffle=True)",
        ),
        Remedy(
            "Make a new iterator each epoch",
            before="batches = iter(loader)\nfor epoch in range(epochs):\n"
            "    for batch in batches: ...",
            after="for epoch in range(epochs):\n    for batch in loader: ...",
        ),
    ),
    explains=("TD404", "TD502", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Ask the loop first, then the loader."""
    run = ask(ShortRun())
    asked = [place for place in run.facts.get("asked_after_end", ()) if place]
    # Who empties a queue of batches asks on, with an answer for the end, or in each of its passes.
    asked = [place for place in asked if not _ANSWERED.search(place.text)]
    if asked and len(run.facts.get("loop_places", ())) < 2:
        yield from _over(run, asked)
        return
    if not has_several_epochs(run) or came_again(run):
        return
    tried = ask(SecondEpoch())
    used_up = tried.facts["is_used_up"]
    if used_up is None and tried.facts["is_own_iterator"] and not tried.facts["looks_endless"]:
        yield used(tried, Confidence.LIKELY)
    elif used_up:
        yield used(tried, Confidence.CERTAIN)


_ANSWERED = re.compile(r"\bnext\([^()]+,")


def has_several_epochs(run: Trace) -> bool:
    """Tell whether the data is to be read more than once: declared, or seen in the user's loop."""
    if run.setup.epochs is not None:
        return run.setup.epochs > 1
    return run.setup.has_train_loop and len(run.facts.get("loop_places", ())) > 1


def came_again(run: Trace) -> bool:
    """Tell whether a loader of a watched script gave batches in two passes."""
    if run.setup.kind != "script":  # whose batches an experiment hands on
        return False
    passes = Counter(row.loader for row in run.passes if row.num_batches and not row.is_evaluation)
    return any(number > 1 for number in passes.values())


def _over(run: Trace, asked: list[Place]) -> Iterator[Finding]:
    served = len(run.batches)
    yield EMPTY.finding(
        f"`{asked[0].text}` asked for batches {counted(len(asked), 'time')} after the iterator was "
        f"over; the loop had got {counted(served, 'batch')}, all in its first pass.",
        mechanism="The iterator was made once, before the epochs. Iterating over one that is over "
        "runs no iteration and raises nothing.",
        location=first_location(asked),
        evidence=[
            Evidence(
                "passes over the loader", len(run.facts.get("loop_places", ())), "one an epoch"
            ),
            Evidence("times it was asked after its end", len(asked), 0),
        ],
        what="the iterator is made once and is over",
    )


def used(tried: Trace, confidence: Confidence) -> Finding:
    """Return the finding for a loader that can be read once."""
    facts, setup = tried.facts, tried.setup
    first = facts.get("num_first")
    had = (
        f"The first epoch has {counted(first, 'batch')} and the second none"
        if first
        else ("The loader is one iterator, whose code comes to an end")
    )
    several = f"{setup.epochs} epochs are declared" if setup.epochs else "the loop reads it again"
    return EMPTY.finding(
        f"{had}; {several}.",
        confidence=confidence,
        mechanism="An iterator gives each batch once. A second `for` over it runs no iteration "
        "and raises nothing.",
        location=first_location([facts.get("place", Place()), setup.loader_place, setup.factory]),
        evidence=[
            Evidence("batches of the first epoch", first),
            Evidence("batches of the second epoch", 0, first),
            Evidence("epochs declared", setup.epochs),
            Evidence("it is its own iterator", facts["is_own_iterator"], False),
        ],
        what="the data can be iterated once",
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return ShortRun(), SecondEpoch()


probe = Probe(
    name="later-epochs",
    doc=__doc__,
    rules=(EMPTY,),
    examine=examine,
    experiments=experiments,
)
