"""Is a batch that was learned in train mode right in eval mode as well?

## What it measures
The loss in eval mode of one batch that was learned by heart; where it is wrong, the same after a
hundred passes in which running statistics could follow the weights; and where it is still wrong,
which modules make it right by going back to train mode.

## Why it matters
Validation and use happen in eval mode. Where that computes something else than what was trained,
validation is bad however well the training goes, and it looks like overfitting.

## Known limits
Only a batch that is learned down to a known floor is looked at, and only where a loss can be had
without a step. Running statistics with so small a momentum that a hundred passes do not renew
them, and those that are a mean over all passes, are not judged.

## References
Ioffe and Szegedy, "Batch Normalization", 2015; Wu and Johnson, "Rethinking 'Batch' in BatchNorm",
2021, on training and evaluation that differ.
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.errors import CannotJudge
from traindoctor.experiments import Experiment, OverfitBatch
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import figure, first_location, grouped
from traindoctor.trace import Trace

MAX_SECONDS = 10.0
WRONG = 0.5  # of the way from the floor to where training began

TRAIN_ONLY = Rule(
    code="TD602",
    name="learns-in-train-mode-only",
    severity=Severity.WARNING,
    title="A batch that was learned to {train} in train mode has the loss {settled} in eval mode",
    what="The model computes something else in eval mode than what it was trained to compute.",
    why="Validation and use happen in eval mode.",
    known_limits="Judges a batch that is learned down to a known floor, by a loss without a step.",
    remedies=(
        Remedy(
            "Give each stream of data its own batch norm",
            recommended=True,
            pros="One that sees two kinds of input keeps statistics that fit neither.",
            before="left, right = self.norm(a), self.norm(b)",
            after="left, right = self.norm_left(a), self.norm_right(b)",
        ),
        Remedy(
            "Use a norm that is the same in both modes",
            pros="Group and layer norm keep no statistics.",
            before="nn.BatchNorm2d(channels)",
            after="nn.GroupNorm(8, channels)",
        ),
        Remedy(
            "Let both branches on `self.training` compute the same in expectation",
            pros="A mask of one's own must be divided by the share that it keeps.",
            before="x = x * mask if self.training else x",
            after="x = F.dropout(x, 0.5, self.training)",
        ),
    ),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look at what eval mode makes of the batch that the setup's own optimizer learned."""
    run = ask(OverfitBatch(max_seconds=MAX_SECONDS))
    modes, facts = run.facts.get("modes"), run.facts["overfit"]
    if not modes or not modes["kind"]:
        return
    edge = facts["floor"] + WRONG * (facts["start"] - facts["floor"])
    if modes["settled"] is None or modes["settled"] <= edge:
        return
    if modes["kind"] == "BatchNorm" and not modes["has_settled"]:
        raise CannotJudge(
            f"in eval mode the loss is {figure(modes['settled'])}, and the running statistics move "
            "too slowly to follow the weights in a hundred passes"
        )
    yield finding(run)


def finding(run: Trace) -> Finding:
    """Return the finding, at the module that makes the difference."""
    modes, facts = run.facts["modes"], run.facts["overfit"]
    rows = [row for row in run.modules if row.path in modes["culprits"]]
    names = grouped(modes["culprits"]) or "the model"
    why = {
        "BatchNorm": "A batch norm uses its batch's statistics in train mode, and in eval mode its "
        "running ones. These do not fit what it gets: it sees data of several kinds, or they are "
        "not updated.",
        "Dropout": "What is learned with some units dropped does not hold when all are there.",
        "own": "A branch on `self.training`, or a call that is given it, computes something else.",
    }[modes["kind"]]
    return TRAIN_ONLY.finding(
        f"In {facts['steps']} steps the loss of one batch went from {figure(facts['start'])} to "
        f"{figure(facts['end'])}. In eval mode it is {figure(modes['settled'])}, after a hundred "
        f"more passes in which running statistics could follow. With {names} alone back in train "
        "mode it is right.",
        mechanism=why,
        location=first_location(
            [*(row.place for row in rows), run.setup.forward_place, run.setup.factory],
            module=modes["culprits"][0] if modes["culprits"] else None,
        ),
        evidence=[
            Evidence("loss in train mode", facts["end"], facts["floor"]),
            Evidence("loss in eval mode", modes["at_once"], facts["end"]),
            Evidence("loss in eval mode, statistics settled", modes["settled"], facts["end"]),
            Evidence("modules that make the difference", len(modes["culprits"]), 0),
        ],
        train=figure(facts["end"]),
        settled=figure(modes["settled"]),
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (OverfitBatch(max_seconds=MAX_SECONDS),)


probe = Probe(
    name="eval-mode",
    doc=__doc__,
    rules=(TRAIN_ONLY,),
    examine=examine,
    experiments=experiments,
)
