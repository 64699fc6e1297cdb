"""Does validation see samples that the model is trained on?

## What it measures
How many samples of the validation data are samples of the training data. Where both are parts of
one data set, by index; otherwise by the values of their inputs, bit for bit, over up to 1,000
samples of the one and 4,000 of the other. And how often training samples are equal to one another:
where inputs are few and short, some are the same by chance.

## Why it matters
A validation loss over samples that were trained on falls with the training loss. It hides
overfitting, and every choice that is made by it is made wrong.

## Known limits
Needs a `validation_loader` in the factory, and data sets with indices. Samples that are augmented,
or the same but for a crop or a rounding, are not found; nor is a person, a document or a scene that
is in both by different samples.

## References
Kaufman et al., "Leakage in Data Mining", 2012; Barz and Denzler, "Do We Train on Test Data?", 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from traindoctor.experiments import CompareData, Experiment, ReadSource
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.syntax import calls
from traindoctor.probing.wording import counted, first_location
from traindoctor.trace import Place, Trace

LEAST = 0.01  # share of the validation samples
MANY = 0.1
BY_CHANCE = 0.2  # times as often as shared, if training samples repeat, it is the data's nature
LEAST_SAMPLES = 8

OVERLAP = Rule(
    code="TD511",
    name="train-validation-overlap",
    severity=Severity.ERROR,
    title="{share:.0%} of the validation samples are training samples",
    what="The same samples are trained on and validated on.",
    why="The validation loss says how well samples are remembered, not how well new ones are met.",
    known_limits="Needs a `validation_loader`. Augmented samples are not found.",
    remedies=(
        Remedy(
            "Split before anything else, by index",
            recommended=True,
            before="validation = Subset(data, range(800, 1000))\nloader = DataLoader(data)",
            after="train, validation = random_split(data, [0.8, 0.2])\nloader = DataLoader(train)",
        ),
        Remedy(
            "Remove duplicates before the split",
            pros="Right where the data holds the same sample more than once.",
            after="data = list({hash(x.numpy().tobytes()): (x, y) for x, y in data}.values())",
        ),
        Remedy(
            "Augment or oversample after the split",
            pros="Copies of a sample stay on its side.",
        ),
    ),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Count what both have, and what training has twice."""
    run = ask(CompareData())
    facts = run.facts
    if not facts:  # there is no validation data
        return
    share = facts["num_shared"] / facts["num_validation_read"]
    repeated = facts["num_repeated"] / facts["num_train_read"]
    is_enough = facts["num_shared"] > 1 and facts["num_validation_read"] >= LEAST_SAMPLES
    # Of two parts of a data set, an index in both is no chance; of values, repeats tell.
    is_chance = facts["how"] == "values" and repeated > BY_CHANCE * share
    if is_enough and share >= LEAST and not is_chance:
        yield finding(run, split_at(ask), share, repeated)


def split_at(ask: Ask) -> Place:
    """Return the user's line that builds the validation loader, if its words say so."""
    built = [place for place, _ in calls(ask(ReadSource()).source, "DataLoader")]
    words = ("val", "test", "dev", "eval", "held")
    named = [place for place in built if any(word in place.text.lower() for word in words)]
    return named[0] if len(named) == 1 else Place()


def finding(run: Trace, place: Place, share: float, repeated: float) -> Finding:
    """Return the finding, with a few of the samples."""
    facts: dict[str, Any] = run.facts
    how = {
        "loader": "One and the same loader serves both.",
        "indices": "Both are parts of one data set.",
        "values": "Their inputs are the same bit for bit.",
    }[facts["how"]]
    pairs = ", ".join(f"{a} is {b}" for a, b in facts["pairs"])
    is_grave = share >= MANY and facts["how"] != "loader"
    return OVERLAP.finding(
        f"{facts['num_shared']} of {counted(facts['num_validation_read'], 'validation sample')} "
        f"are among {counted(facts['num_train_read'], 'training sample')}. {how} For example, by "
        f"index: {pairs}.",
        severity=None if is_grave else Severity.WARNING,
        mechanism="What was trained on is remembered, so that its loss falls whether or not "
        "anything is learned that holds for new samples.",
        location=first_location([place, run.setup.factory]),
        evidence=[
            Evidence("share of validation samples that are trained on", share, 0.0),
            Evidence("share of training samples that repeat another", repeated),
            Evidence("validation samples compared", facts["num_validation_read"]),
            Evidence("training samples compared", facts["num_train_read"], facts["num_train"]),
        ],
        share=share,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (CompareData(),)


probe = Probe(
    name="data-overlap",
    doc=__doc__,
    rules=(OVERLAP,),
    examine=examine,
    experiments=experiments,
)
