"""Does the user's own code take trainable parameters off the graph?

## What it measures
Operations of the user's code that end differentiation (`detach`, `.data`, `no_grad`, numpy,
`item`, `argmax`, `torch.tensor` …), the trainable parameters whose values flow into them, and
whether those parameters ever get a gradient. The proof is an experiment: noise on the parameters
changes the loss, so their values matter, and yet no gradient comes back.

## Why it matters
The forward pass is the same with and without the cut, and the loss falls as far as the rest of
the model can bring it. What lies behind the cut stays at its initial values.

## Known limits
Silent where the parameters get a gradient by another path, are in no optimizer of the user's,
move by other means (running averages), belong to a twin of a trained module (a target network),
or run under `no_grad` in eval mode. A cut inside a library is its author's design and not reported.
Of several cuts, one whose values only scale, shift or bound others, being broadcast to them, is
named last.

## References
torch.Tensor.detach and torch.no_grad documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import Experiment, LossWithNoise, OneStep, ShortRun
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
from traindoctor.probing.wording import counted, figure, grouped, location
from traindoctor.trace import CutRow, ParameterRow, Trace
from traindoctor_probes._unreached import is_meant_to_train, without_gradient

DETACHED = Rule(
    code="TD206",
    name="detached-in-forward",
    severity=Severity.ERROR,
    title="{num_cut} of {num_trainable} trainable parameters are cut off by {operation}",
    what="An operation in the user's code takes a tensor off the graph between trainable "
    "parameters and the loss.",
    why="Everything before the cut keeps its initial values; only what comes after it learns.",
    known_limits="Reported only for parameters in an optimizer that the user built. Where two "
    "runs from one seed differ, the values are followed by operation instead of by experiment, "
    "and the finding is likely, not certain.",
    remedies=(
        Remedy(
            "Remove the cut",
            recommended=True,
            pros="Gradients flow to everything that is meant to train.",
            cons="Memory and time of the backward pass grow with it.",
            before="features = self.encoder(x).detach()",
            after="features = self.encoder(x)",
        ),
        Remedy(
            "Freeze what is cut off, if that was the idea",
            pros="Says so, and saves the optimizer its state.",
            after="self.encoder.requires_grad_(False)",
        ),
    ),
    explains=("TD103", "TD201", "TD202", "TD204", "TD405", "TD409", "TD6"),
)
LEAVES_TORCH = {"item", "tolist", "numpy", "__array__", "__float__"}
SPELLING = {
    "data": "`.data`",
    "no_grad": "`torch.no_grad()`",
    "numpy": "a round trip through numpy",
    "tensor": "`torch.tensor(...)`",
    "__float__": "`float(...)`",
    "__array__": "a round trip through numpy",
}

# No gradient can come through these; a cut that somebody could take away is named before them.
INTEGERS = ("argmax", "argmin", "argsort", "long", "int")


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Find cuts behind which parameters get no gradient although the loss needs their values."""
    run = ask(ShortRun())
    run.require(steps=1)
    one = ask(OneStep())
    one.require(losses=1)
    lost = {row.name: row for row in without_gradient(one, run) if is_meant_to_train(row, run)}
    for twin in twins(list(lost.values()), run):
        del lost[twin]
    cuts = [cut for cut in one.cuts if _may_cut(cut) and not _on_purpose(cut, run)]
    for cut in sorted(cuts, key=_last_to_blame):
        behind = tuple(name for name in cut.parameters if name in lost)
        sureness = proof(ask, one, cut, behind) if behind else None
        if sureness is None:
            continue
        others = [item for item in cuts if item is not cut and _cuts_as_well(item, cut, behind)]
        yield detached(cut, [lost.pop(name) for name in behind], others, run, sureness)


def proof(
    ask: Ask, one: Trace, cut: CutRow, behind: tuple[str, ...]
) -> tuple[Confidence, float, float | None] | None:
    """Return how sure it is that the values behind a cut matter, with the two losses.

    None where they do not matter, or nothing can be said.
    """
    try:
        plain, noisy = ask(LossWithNoise()), ask(LossWithNoise(behind))
    except ExperimentFailed:  # a watched run is left as it is; but the values do reach the loss
        return (Confidence.LIKELY, one.losses[0].value, None) if cut.reaches_loss else None
    if not plain.losses or not noisy.losses:
        return None
    before, after = plain.losses[0].value, noisy.losses[0].value
    if before != one.losses[0].value:  # the seed does not decide the loss
        return (Confidence.LIKELY, before, None) if cut.reaches_loss else None
    if after == before:
        return None
    return Confidence.CERTAIN if cut.reaches_loss else Confidence.LIKELY, before, after


def detached(
    cut: CutRow,
    behind: Sequence[ParameterRow],
    others: Sequence[CutRow],
    run: Trace,
    sureness: tuple[Confidence, float, float | None],
) -> Finding:
    """Return the finding for one cut."""
    confidence, before, after = sureness
    names = grouped(row.name for row in behind)
    spelling = SPELLING.get(cut.operation, f"`{cut.operation}()`")
    trainable = [row for row in run.parameters if row.requires_grad]
    evidence = [
        Evidence("parameters without gradient in any step", len(behind), 0),
        Evidence("their elements", sum(row.num_elements for row in behind)),
        Evidence("steps observed", len(run.steps)),
    ]
    if after is not None:
        evidence += [
            Evidence("loss of the first batch", before),
            Evidence("the same with noise on these parameters", after),
        ]
    return DETACHED.finding(
        f"{names} got no gradient in any of {counted(len(run.steps), 'step')}: {spelling} takes "
        "their values off the graph." + _moves(before, after),
        confidence=confidence,
        mechanism=f"{spelling} hands the values on without their history, so the backward pass "
        "ends there. The loss depends on these parameters, but no gradient comes back to them.",
        location=location(cut.place, module=cut.module or None),
        also_at=[location(item.place) for item in others if item.place.line != cut.place.line],
        evidence=evidence,
        num_cut=len(behind),
        num_trainable=len(trainable),
        operation=spelling,
        subject=names,
    )


def _moves(before: float, after: float | None) -> str:
    if after is None:
        return ""
    return f" Noise on them moves the loss from {figure(before, 7)} to {figure(after, 7)}."


def twins(lost: Sequence[ParameterRow], run: Trace) -> set[str]:
    """Name what belongs to a copy of a trained module: a target network moves by other means."""
    missing = {row.name for row in lost}
    found: set[str] = set()
    for root in {row.name.partition(".")[0] for row in lost}:
        own = _relative(root, run)
        if len({name.rpartition(".")[0] for name in own}) < 2 or not _all(root, own) <= missing:
            continue
        for other in {row.name.partition(".")[0] for row in run.parameters} - {root}:
            if _relative(other, run) == own and not _all(other, own) & missing:
                found |= _all(root, own)
    return found


def _relative(root: str, run: Trace) -> dict[str, tuple[int, ...]]:
    start = f"{root}."
    rows = [row for row in run.parameters if row.name.startswith(start)]
    return {row.name.removeprefix(start): row.shape for row in rows}


def _all(root: str, own: dict[str, tuple[int, ...]]) -> set[str]:
    return {f"{root}.{name}" for name in own}


def _last_to_blame(cut: CutRow) -> tuple[bool, bool, bool]:
    """Return a key that sorts the cuts: one that takes a statistic is named after all others."""
    return not cut.reaches_loss, cut.only_scales, cut.operation in INTEGERS


def _cuts_as_well(other: CutRow, named: CutRow, behind: tuple[str, ...]) -> bool:
    """Tell whether another cut stands in the way of the same parameters, as the named one does."""
    is_harmless = (named.reaches_loss and not other.reaches_loss) or (
        other.only_scales and not named.only_scales
    )
    return bool(set(other.parameters) & set(behind)) and not is_harmless


def _may_cut(cut: CutRow) -> bool:
    """Tell what may stand between parameters and the loss; plain numbers cannot be followed."""
    return not cut.is_output_cut and (cut.reaches_loss or cut.operation in LEAVES_TORCH)


def _on_purpose(cut: CutRow, run: Trace) -> bool:
    """Tell a part that is kept in eval mode and under `no_grad`, while the model trains."""
    modes = {row.path: row.is_training for row in run.modules}
    owners = {name.rpartition(".")[0] for name in cut.parameters}
    in_eval = bool(owners) and not any(modes.get(path, True) for path in owners)
    return cut.operation == "no_grad" and in_eval and modes.get("", True)


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return OneStep(), ShortRun()


probe = Probe(
    name="graph-cuts",
    doc=__doc__,
    rules=(DETACHED,),
    examine=examine,
    experiments=experiments,
)
