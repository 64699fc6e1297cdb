"""Are weights that are said to be one tensor one tensor?

## What it measures
Pairs of parameters of one shape that are to be the same tensor, and are two: because a
transformers config says `tie_word_embeddings`; because a constructor of the user's assigns one to
the other (`self.head.weight = self.tokens.weight`); or because both lie in the same memory.

## Why it matters
A table that is tied to the head learns from both its uses. Two tensors have two gradients and two
states in the optimizer, and go apart from the first step on; a checkpoint that is loaded later
ties them again, and throws one of them away.

## Known limits
An assignment under an `if` is not taken for a promise, nor one outside of a constructor. Where
both lie in the same memory they hold the same values for now, and get two updates a step: that is
a warning.

## References
Press and Wolf 2017, "Using the Output Embedding to Improve Language Models".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traindoctor.experiments import Experiment, ReadSource
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.syntax import assigned
from traindoctor.probing.wording import figure, first_location, location
from traindoctor.trace import Place, TieRow, Trace

APART = Rule(
    code="TD213",
    name="tied-weights-apart",
    severity=Severity.ERROR,
    title="{name} and {other} are to be one tensor, and are {what}",
    what="Two parameters that are to share their weights are two tensors.",
    why="Each learns from its own use alone, and one is lost when they are tied again on loading.",
    known_limits="Only what a config, a constructor or the same memory says to be one.",
    remedies=(
        Remedy(
            "Tie them once the last of both modules is built",
            recommended=True,
            pros="One tensor, one gradient, one state in the optimizer.",
            before="self.head.weight = self.tokens.weight\nself.head = nn.Linear(dim, vocab_size)",
            after="self.head = nn.Linear(dim, vocab_size)\nself.head.weight = self.tokens.weight",
        ),
        Remedy(
            "Say that they are two",
            pros="Loading leaves them as they are.",
            after="model.config.tie_word_embeddings = False",
        ),
    ),
    explains=("TD104", "TD705"),
)
MEMORY = Remedy(
    "Assign the parameter, not its data",
    recommended=True,
    pros="One parameter, which the optimizer holds once and `.to(device)` keeps in one piece.",
    before="self.head.weight.data = self.tokens.weight.data",
    after="self.head.weight = self.tokens.weight",
)

_IN_ONE_MEMORY = (
    "Assigning `.data` shares the memory and not the parameter: there are two gradients, and an "
    "optimizer updates the same numbers twice in every step. Moving the model to another device "
    "makes two memories of it."
)
_REPLACED = (
    "A module that is built, or a parameter that is set, after the weights were tied has a tensor "
    "of its own. Nothing ties them again before training."
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at each pair that is said to be one; those that share their memory come as a warning."""
    known = ask(ReadSource())
    for row in known.ties:
        yield apart(row, known)


def apart(row: TieRow, known: Trace) -> Finding:
    """Return the finding for one pair."""
    what = "two parameters in one memory" if row.is_one_memory else "two"
    places = [row.place, *replaced_at(row, known)]
    return APART.finding(
        f"{row.said_by} says that {row.name} and {row.other} are one tensor of "
        f"{row.num_elements:,} weights. They are {what}, and differ by up to "
        f"{figure(row.difference)}.",
        severity=Severity.WARNING if row.is_one_memory else None,
        mechanism=_IN_ONE_MEMORY if row.is_one_memory else _REPLACED,
        location=first_location([*places[1:], *places[:1], known.setup.model_place]),
        also_at=[location(place) for place in places[:1] if place and places[1:]],
        evidence=[
            Evidence("tensors", 2, 1),
            Evidence("largest difference between them", row.difference, 0.0),
            Evidence("weights of each", row.num_elements),
        ],
        remedies=(MEMORY, APART.remedies[1]) if row.is_one_memory else None,
        subject=f"{row.name} {row.other}",
        name=row.name,
        other=row.other,
        what=what,
    )


def replaced_at(row: TieRow, known: Trace) -> Sequence[Place]:
    """Return the last line that assigns the module or the parameter anew, outside of the tie."""
    module = row.name.rpartition(".")[0]
    name = "data" if row.is_one_memory else module.rpartition(".")[2]
    tie = row.place
    found = [
        place
        for place, _ in assigned(known.source, name)
        if place.file != tie.file or (place.line or 0) > (tie.line or 0)
    ]
    return found[-1:]


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ReadSource(),)


probe = Probe(
    name="tied-weights",
    doc=__doc__,
    rules=(APART,),
    examine=examine,
    experiments=experiments,
)
