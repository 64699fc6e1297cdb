"""Did the weights that were loaded arrive, and are they still there?

## What it measures
Of each `load_state_dict` on a part of the model while the setup is made: the names it was given,
those that the module has, names that are the same but for a prefix; and at the handover, before any
training, how far each matrix is from what was loaded into it.

## Why it matters
With `strict=False` a state dict whose names do not fit loads nothing and says nothing. An
initialiser that runs after loading throws the weights away. Either way training starts from
nothing, and is taken for fine-tuning.

## Known limits
Only `load_state_dict` is followed, and only while the factory runs. A partial load without a
common prefix is taken as meant, and so is a module of which less than half is initialised again:
that is how a head is replaced. Not judged where an optimizer has stepped in between.

## References
PyTorch, nn.Module.load_state_dict: `strict`, missing and unexpected keys.
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, ReadSource
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.syntax import calls, function_at
from traindoctor.probing.wording import grouped, location
from traindoctor.trace import Place, Trace, TransferRow

MOST = 0.5  # share of a state dict, or of what was loaded: less may be a head
INITIALISERS = (
    "apply",
    "reset_parameters",
    "init_weights",
    "_init_weights",
    "normal_",
    "trunc_normal_",
    "uniform_",
    "orthogonal_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "xavier_normal_",
    "xavier_uniform_",
)

NOT_LOADED = Rule(
    code="TD715",
    name="pretrained-weights-not-loaded",
    severity=Severity.ERROR,
    title="{num_lost} of {num_given} tensors of a state dict were not loaded into {module}",
    what="A state dict whose names do not fit was loaded with `strict=False`.",
    why="The module keeps its initial values: training starts from nothing.",
    known_limits="Speaks where a common prefix explains most of the names, or nothing fits at all.",
    remedies=(
        Remedy(
            "Make the names fit, and load with `strict=True`",
            recommended=True,
            pros="What does not fit is an error then.",
            before="model.load_state_dict(state, strict=False)",
            after='state = {k.removeprefix("module."): v for k, v in state.items()}\n'
            "model.load_state_dict(state)",
        ),
        Remedy(
            "Look at what was left out",
            after="left_out = model.load_state_dict(state, strict=False)\n"
            "assert not left_out.unexpected_keys, left_out.unexpected_keys",
        ),
    ),
    explains=("TD104",),
)
AGAIN = Rule(
    code="TD718",
    name="initialised-again",
    severity=Severity.WARNING,
    title="{share:.0%} of the weights loaded into {module} were overwritten afterwards",
    what="Weights were loaded into a module, and most of them hold something else before training.",
    why="What was learned before is thrown away: training starts from nothing.",
    known_limits="Silent below half of what was loaded: heads are replaced on purpose.",
    remedies=(
        Remedy(
            "Initialise first, then load",
            recommended=True,
            before="model.load_state_dict(state)\nmodel.apply(init_weights)",
            after="model.apply(init_weights)\nmodel.load_state_dict(state)",
        ),
        Remedy(
            "Initialise only what was not loaded",
            after="model.head.apply(init_weights)",
        ),
    ),
    explains=("TD104",),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Judge each call of `load_state_dict` by what it took, and by what is left of that."""
    known = ask(ReadSource())
    for row in known.transfers:
        if is_misnamed(row):
            yield not_loaded(row)
        elif row.num_overwritten > MOST * row.num_elements:
            yield again(row, known)


def is_misnamed(row: TransferRow) -> bool:
    """Tell a state dict of which nothing was taken, or most fits but for a prefix."""
    if not row.missing:
        return False
    return row.num_taken == 0 or row.num_renamed > MOST * row.num_given


def not_loaded(row: TransferRow) -> Finding:
    """Return the finding for names that do not fit."""
    module = row.path or row.class_name
    num_lost = max(row.num_given - row.num_taken, 0)
    names = f"{grouped(row.unexpected, most=2)}; the module has {grouped(row.missing, most=2)}"
    if not row.num_given:
        how = "The state dict is empty: what was to go into it has been filtered out"
    elif row.given_prefix:
        how = f"All but the prefix `{row.given_prefix}` of {row.num_renamed} names fits"
    elif row.own_prefix:
        how = (
            f"But for the prefix `{row.own_prefix}` of the module's own names {row.num_renamed} fit"
        )
    else:
        how = "No name fits"
    remedies = _renamed(row) if row.num_renamed else NOT_LOADED.remedies
    return NOT_LOADED.finding(
        f"{row.num_taken} of {row.num_given} tensors were taken, and {len(row.missing)} tensors of "
        f"{module} keep their initial values. {how}" + (f": {names}." if row.num_given else "."),
        mechanism="A state dict is loaded by name. With `strict=False` names that are not there "
        "are returned, and nothing is raised; the module trains on from its initial values.",
        location=location(row.place, module=row.path or None),
        evidence=[
            Evidence("tensors taken", row.num_taken, row.num_given),
            Evidence("tensors of the module without a value", len(row.missing), 0),
            Evidence("names that fit but for a prefix", row.num_renamed, 0),
        ],
        remedies=remedies,
        subject=row.path,
        num_lost=num_lost,
        num_given=row.num_given,
        module=module,
    )


def _renamed(row: TransferRow) -> tuple[Remedy, ...]:
    """Return the remedies, with the prefix that was found."""
    new = f'k.removeprefix("{row.given_prefix}")' if row.given_prefix else f'"{row.own_prefix}" + k'
    fitted = Remedy(
        NOT_LOADED.remedies[0].title,
        recommended=True,
        pros=NOT_LOADED.remedies[0].pros,
        before="model.load_state_dict(state, strict=False)",
        after=f"state = {{{new}: v for k, v in state.items()}}\nmodel.load_state_dict(state)",
    )
    return fitted, *NOT_LOADED.remedies[1:]


def again(row: TransferRow, known: Trace) -> Finding:
    """Return the finding for weights that were overwritten after they were loaded."""
    module = row.path or row.class_name
    place = initialised_at(row.place, known)
    return AGAIN.finding(
        f"{len(row.overwritten)} matrices that were loaded into {module} hold something else "
        f"before the first step: {grouped(row.overwritten)}.",
        mechanism="What is written last counts. An initialiser that visits every module does not "
        "ask whether weights were loaded into it.",
        location=location(place or row.place, module=row.path or None),
        also_at=[location(row.place)] if place else [],
        evidence=[
            Evidence("weights that were overwritten", row.num_overwritten, 0),
            Evidence("weights that were loaded", row.num_elements),
        ],
        subject=row.path,
        share=row.num_overwritten / row.num_elements,
        module=module,
    )


def initialised_at(loaded: Place, known: Trace) -> Place:
    """Return the first line behind the loading, in the same function, that may initialise."""
    function = function_at(known.source, loaded)
    last = (function.end_lineno or 0) if function is not None else 0
    behind = [
        place
        for place, _ in calls(known.source, *INITIALISERS)
        if place.file == loaded.file and (loaded.line or 0) < (place.line or 0) <= last
    ]
    return behind[0] if behind else Place()


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ReadSource(),)


probe = Probe(
    name="loaded-weights",
    doc=__doc__,
    rules=(NOT_LOADED, AGAIN),
    examine=examine,
    experiments=experiments,
)
