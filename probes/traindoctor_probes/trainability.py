"""Is there anything to train?

## What it measures
`requires_grad` of the model's parameters and of those that the user's optimizer holds.

## Why it matters
With everything frozen a loss has no graph: backward fails, or nothing moves.

## Known limits
Parameters that a hand-written loop moves without gradients (evolution strategies) are trained;
what moves in a short run is therefore not called frozen. A model that unfreezes itself later than
the short run looks is.

## References
torch.nn.Module.requires_grad_ documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from traindoctor.experiments import Experiment, ReadSource, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.values import freezing_line
from traindoctor.probing.wording import first_location, location
from traindoctor.trace import Trace
from traindoctor_probes._uncopied import kept_as_given

_REFUSED = re.compile(
    "optimizer got an empty parameter list|does not require grad and does not have a grad_fn"
)
NOTHING = Rule(
    code="TD212",
    name="nothing-trainable",
    severity=Severity.CRITICAL,
    title="{num_trainable} of {num_parameters} parameters {whose} require a gradient",
    what="No parameter of the model, or none that the optimizer holds, requires a gradient.",
    why="There is nothing that training could change.",
    known_limits="A model that unfreezes its parameters during the run, later than the steps that "
    "were observed, is reported.",
    remedies=(
        Remedy(
            "Unfreeze what is meant to train",
            recommended=True,
            before="model.requires_grad_(False)",
            after="model.requires_grad_(False)\nmodel.head.requires_grad_(True)",
        ),
        Remedy(
            "Build the new head after freezing", pros="New modules require gradients by default."
        ),
    ),
    explains=(
        "TD101",
        "TD103",
        "TD201",
        "TD202",
        "TD401",
        "TD403",
        "TD404",
        "TD405",
        "TD409",
        "TD6",
    ),
)
COPIED = Remedy(
    "Freeze a copy, not the model that trains",
    recommended=True,
    before="self.model = model.eval()",
    after="self.model = copy.deepcopy(model).eval()",
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Count what requires a gradient, in the model and in the optimizer."""
    known = ask(ReadSource())
    trainable = [row for row in known.parameters if row.requires_grad]
    held = [row for row in known.parameters if row.num_optimizers]
    if not known.parameters and not known.setup.model_class:
        return  # its tensors are in no module
    if not known.parameters or not known.setup.has_optimizer:
        held = []
    if trainable and (not held or any(row.requires_grad for row in held)):
        yield from later(ask, known)
        return
    if any(row.num_strangers for row in known.optimizers):  # it trains something else as well
        return
    run, names = ask(ShortRun()), {row.name for row in held or known.parameters}
    if names & set(run.facts.get("moved") or ()):
        return
    if any(not row.is_none and row.parameter not in names for row in run.gradients):
        return  # what trains is not what the optimizer holds
    yield frozen(known, "in the optimizer" if trainable else "of the model")


def frozen(known: Trace, whose: str) -> Finding:
    """Return the finding, at the line that freezes if there is one such line."""
    in_optimizer = whose == "in the optimizer"
    rows = [row for row in known.parameters if row.num_optimizers or not in_optimizer]
    optimizers = [row.place for row in known.optimizers]
    freezing = freezing_line(known.source)
    kept = kept_as_given(known, freezing)
    why = f" `{kept.text}` keeps the model that it is given, which is frozen then." if kept else ""
    return NOTHING.finding(
        f"None of the {len(rows)} parameters {whose} "
        f"({sum(row.num_elements for row in rows):,} elements) requires a gradient.{why}",
        mechanism="Autograd records operations only on tensors that require a gradient. Without "
        "one the loss has no history, backward has nowhere to go, and a step changes nothing.",
        location=first_location(
            [
                kept,
                freezing,
                *(optimizers if in_optimizer else ()),
                known.setup.model_place,
                known.setup.factory,
            ]
        ),
        evidence=[
            Evidence("parameters that require a gradient", 0, len(rows)),
            Evidence("frozen elements", sum(row.num_elements for row in rows)),
        ],
        also_at=[location(freezing)] if kept and kept != freezing else [],
        remedies=[COPIED] if kept else None,
        num_trainable=0,
        num_parameters=len(rows),
        whose=whose,
    )


def later(ask: Ask, known: Trace) -> Iterator[Finding]:
    """Yield the finding for a watched run that another model's training ended."""
    run = ask(ShortRun())
    row = next((row for row in run.exceptions if _REFUSED.search(row.message)), None)
    if row is None or run.facts.get("num_trainable_at_end") != 0:
        return
    at = freezing_line(known.source) or row.place
    yield NOTHING.finding(
        f"When `{row.place.text}` was reached, nothing that an optimizer was given required a "
        "gradient.",
        mechanism="A loss of frozen parameters alone has no history, and an optimizer of none of "
        "them has nothing to step.",
        location=first_location([at, run.setup.factory]),
        also_at=[location(row.place)] if at != row.place else [],
        evidence=[Evidence("parameters that require a gradient", 0)],
        quote=f"{row.type_name}: {row.message.splitlines()[0]}",
        num_trainable=0,
        num_parameters="all",
        whose="in the optimizer",
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ReadSource(),)


probe = Probe(
    name="trainability",
    doc=__doc__,
    rules=(NOTHING,),
    examine=examine,
    experiments=experiments,
)
