"""Trains one batch with one thing changed at a time, until a change heals it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import OverfitBatch
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    Remedy,
    Rule,
    Series,
    Severity,
    Table,
)
from traindoctor.probing.wording import figure, first_location
from traindoctor.trace import Trace
from traindoctor_probes._rates import raising_factor, update_ratio
from traindoctor_probes._suspects import Suspect

FAR, NEAR = 0.5, 0.25  # of the way to the floor: with the change, and without
SMALL, LARGE = 1e-3, 0.1  # ratios of update to weights that ask for other rates first
# Of these, less makes every training slower, and is meant to.
ORDINARY = {"dropout": 0.8, "clipping": 0.9}
STRONG = 0.5  # what a short run shows to be so is tried before anything else
# What cannot be to blame alone where a fresh optimizer over all parameters fails as well.
OF_OPTIMIZER = {"clipping", "weight decay", "leaving parameters out", "the scaler"}


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of the batch with one change.

    Attributes:
        name: the change, as one says it after "with" or "without".
        suspect: what was taken away; None where the learning rate was changed.
        run: the trace, or the reason why there is none.
        heals: the batch is learned with it.
    """

    name: str
    suspect: Suspect | None
    run: Trace | str
    heals: bool

    @property
    def said(self) -> str:
        """What became of it."""
        return self.run if isinstance(self.run, str) else said(self.run)


def first_healing(trials: Iterable[Trial], tried: list[Trial]) -> Trial | None:
    """Return the first trial that heals, having noted all up to it."""
    for trial in trials:
        tried.append(trial)
        if trial.heals:
            return trial
    return None


def without(ask: Ask, own: Trace, found: Iterable[Suspect], max_seconds: float) -> Iterator[Trial]:
    """Yield a trial without each of these."""
    for suspect in found:
        change = OverfitBatch(without=suspect.change, max_seconds=max_seconds)
        yield _tried(ask, own, change, f"without {suspect.change}", suspect)


def at_other_rates(ask: Ask, own: Trace, short: Trace, max_seconds: float) -> Iterator[Trial]:
    """Yield trials of the setup's own optimizer at other learning rates, likely ones first."""
    for factor in _factors(update_ratio(short), own.facts["overfit"]["course"]):
        change = OverfitBatch(factor=factor, max_seconds=max_seconds)
        yield _tried(ask, own, change, f"the learning rate times {figure(factor)}", None)


def _factors(ratio: float, course: str) -> tuple[float, ...]:
    """Return what the learning rate is multiplied by, the likely ones first."""
    if ratio >= LARGE or course in ("rising", "not finite"):
        return (0.1, 0.01, 0.001, 10.0)
    if 0 < ratio < SMALL:
        factor = raising_factor(ratio)
        return (factor, factor / 10, factor * 10, 0.1)
    return (10.0, 0.1, 100.0, 0.01)


def _tried(ask: Ask, own: Trace, change: OverfitBatch, name: str, suspect: Suspect | None) -> Trial:
    try:
        run = ask(change)
    except ExperimentFailed as error:
        return Trial(name, suspect, str(error), heals=False)
    before, after = own.facts["overfit"], run.facts["overfit"]
    is_ordinary = suspect is not None and suspect.strength < ORDINARY.get(suspect.change, 0.0)
    came_far = (after["progress"] or 0.0) >= FAR and (before["progress"] or 0.0) < NEAR
    is_finite = after["course"] != "not finite"
    return Trial(
        name,
        suspect,
        run,
        heals=not is_ordinary and is_finite and (after["learned"] is True or came_far),
    )


def said(run: Trace) -> str:
    """State what became of one run."""
    facts = run.facts["overfit"]
    return (
        f"the loss went from {figure(facts['start'])} to {figure(facts['end'])} in "
        f"{facts['steps']} steps with {facts['optimizer']} at {figure(facts['learning_rate'])}"
    )


def curve(name: str, run: Trace) -> Series:
    """Return the losses of a run, as they are plotted."""
    return Series(name, tuple(range(len(run.losses))), tuple(row.value for row in run.losses))


def compared(own: Trace, tried: Sequence[Trial]) -> Table:
    """Return the runs side by side."""
    rows = [("as it is", *_figures(own))]
    rows += [
        (trial.name, *_figures(trial.run))
        if isinstance(trial.run, Trace)
        else (trial.name, "not tried", "", trial.run)
        for trial in tried
    ]
    columns = ("change", "steps", "first loss", "last loss")
    title = "The same batch, one thing changed at a time"
    return Table(title, columns, tuple(rows), heading="What was tried")


def _figures(run: Trace) -> tuple[str, str, str]:
    facts = run.facts["overfit"]
    return str(facts["steps"]), figure(facts["start"]), figure(facts["end"])


def healed(rule: Rule, own: Trace, tried: Sequence[Trial]) -> Finding:
    """Return the finding whose cause is the last change tried."""
    trial = tried[-1]
    suspect, run = trial.suspect, trial.run
    assert suspect is not None
    assert isinstance(run, Trace)
    before, after = own.facts["overfit"], run.facts["overfit"]
    mechanism, remedy = _HOW[suspect.change]
    is_meant = suspect.change == "freezing"  # a head on a trunk learns less, and may be wanted so
    return rule.finding(
        f"With {suspect.what} {said(own)}. {trial.name.capitalize()} {said(run)}; nothing else was "
        "changed.",
        severity=Severity.WARNING if is_meant else None,
        confidence=Confidence.LIKELY if is_meant else None,
        mechanism=mechanism,
        location=first_location([*suspect.places, own.setup.model_place, own.setup.factory]),
        evidence=[
            Evidence("end of the loss", before["end"], before["floor"]),
            Evidence(f"end of the loss {trial.name}", after["end"], before["floor"]),
            Evidence("way gone to the floor", before["progress"], "close to 1"),
            Evidence(f"way gone {trial.name}", after["progress"], "close to 1"),
        ],
        series=[curve("as it is", own), curve(trial.name, run)],
        tables=[compared(own, tried)],
        explains=[*rule.explains, "TD104"],  # the first loss is taken with all of this in place
        remedies=[Remedy(remedy, recommended=True, pros="It healed this very batch.")],
        blamed_on=suspect.rules,
        cause=f" with {suspect.what}",
        end=figure(before["end"]),
        floor=figure(before["floor"]),
    )


_HOW = {  # what each of them does, and what is to be done
    "dropout": (
        "At each step another few units are left. What they learn does not fit the next few, and "
        "the answer, which needs them all, never forms.",
        "Lower the probability of dropout",
    ),
    "clipping": (
        "Every step is as long as the limit allows, however far the way is.",
        "Raise the limit to what only outliers exceed",
    ),
    "weight decay": (
        "Each step shrinks the weights by the rate times the decay. Where that is as much as the "
        "gradient adds, they stay near zero.",
        "Lower the weight decay",
    ),
    "leaving parameters out": (
        "What no optimizer holds stays as it was initialised, and the rest cannot make up for it.",
        "Give the optimizer all of the model's parameters",
    ),
    "freezing": (
        "What is left to train cannot tell these samples apart by what the frozen part gives it.",
        "Unfreeze what the task needs",
    ),
    "low precision": (
        "An update smaller than half the distance between two representable numbers is rounded "
        "away.",
        "Keep the weights in float32, and compute under autocast",
    ),
    "autocast": (
        "In the lower precision the gradient loses what tells the samples apart.",
        "Leave the sensitive part out of autocast",
    ),
    "the scaler": (
        "The scale makes gradients infinite, and the scaler skips such steps.",
        "Leave the scaler out, or start it at a smaller scale",
    ),
}
