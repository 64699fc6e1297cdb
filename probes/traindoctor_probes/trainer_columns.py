"""Does the Trainer drop columns of the data that the loss needs?

## What it measures
The columns of the data set that `remove_unused_columns` takes out, and the loss of one batch with
and without them.

## Why it matters
The Trainer keeps what the model's `forward` names, letter by letter. What a `compute_loss` reads
besides is gone before it runs, and a wrapper whose `forward(*args, **kwargs)` names nothing loses
everything.

## Known limits
Speaks only where the loss of the first batch differs, or comes to be at all, with the columns. A
column that matters to later batches alone is not noticed. In a watched run only a collator that
asks for a dropped column, and so ends the run, is.

## References
transformers, TrainingArguments, `remove_unused_columns` (on by default).
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import AllColumns, Experiment, ReadSource, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.syntax import calls
from traindoctor.probing.wording import counted, figure, first_location, location
from traindoctor.trace import EvaluationRow, Place, SetupRow, Trace

SAME = 1e-6  # relative; from one seed, an untouched loss is bitwise the same

DROPPED = Rule(
    code="TD008",
    name="columns-dropped",
    severity=Severity.ERROR,
    title="The Trainer drops {columns}, and the loss needs {which}",
    what="`remove_unused_columns` takes columns out of the data that the loss reads.",
    why="Weights, masks or targets silently do not count, or the batch arrives empty.",
    known_limits="Judged on the first batch.",
    remedies=(
        Remedy(
            "Keep all columns, and let the collator choose",
            recommended=True,
            before="TrainingArguments(output_dir=...)",
            after="TrainingArguments(output_dir=..., remove_unused_columns=False)",
        ),
        Remedy(
            "Name the columns in the model's forward",
            pros="Columns that nobody reads are still dropped.",
            before="def forward(self, *args, **kwargs):",
            after="def forward(self, input_ids, attention_mask=None, labels=None):",
        ),
    ),
    explains=("TD001", "TD002", "TD004", "TD011", "TD013", "TD1", "TD2", "TD4", "TD5", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Compare the losses with and without what the Trainer drops."""
    kind = ask(ReadSource()).setup.kind
    if kind == "script":
        yield from asked_in_vain(ask)
    if kind != "Trainer":
        return
    tried = ask(AllColumns())
    by_label = {row.label: row for row in tried.evaluations}
    if not by_label:
        return
    as_it_is, with_all = by_label["as it is"], by_label["with all"]
    if with_all.detail or not differs(as_it_is, with_all):
        return
    dropped = tried.facts["dropped"]
    needed = [
        name for name in dropped if differs(by_label.get(f"without {name}", with_all), with_all)
    ]
    yield lost(ask, tried, as_it_is, with_all, needed or list(dropped))


def asked_in_vain(ask: Ask) -> Iterator[Finding]:
    """Yield the finding for a watched run that ended at a column which the Trainer took out."""
    run = ask(ShortRun())
    columns, dropped = run.facts.get("columns", ()), run.facts.get("dropped", ())
    for row in run.exceptions[-1:]:
        missing = [name for name in dropped if row.message == repr(name)]
        if row.type_name != "KeyError" or not missing:
            continue
        yield DROPPED.finding(
            f"`{row.place.text}` asks for {missing[0]}; of the data's "
            f"{counted(len(columns), 'column')} the Trainer drops {', '.join(dropped)}.",
            severity=Severity.CRITICAL,
            mechanism="The Trainer keeps the columns that the model's forward names, and takes the "
            "others out before the collator runs. It says so in the log, at a level that is not "
            "shown.",
            location=first_location(_places(ask, run.setup)),
            also_at=[location(row.place)] if row.place else [],
            evidence=[
                Evidence("columns of the data", ", ".join(columns)),
                Evidence("columns dropped", ", ".join(dropped), "none that the loss needs"),
            ],
            quote=f"{row.type_name}: {row.message}",
            columns=missing[0],
            which="it",
            subject=missing[0],
        )


def differs(one: EvaluationRow, other: EvaluationRow) -> bool:
    """Tell whether one raised and the other did not, or their losses are not the same."""
    if bool(one.detail) != bool(other.detail):
        return True
    return abs(one.value - other.value) > SAME * max(abs(one.value), abs(other.value), 1e-12)


def lost(
    ask: Ask, tried: Trace, as_it_is: EvaluationRow, with_all: EvaluationRow, needed: list[str]
) -> Finding:
    """Return the finding for columns without which the loss is another one, or none."""
    columns, dropped = tried.facts["columns"], tried.facts["dropped"]
    now = f"`{as_it_is.detail}`" if as_it_is.detail else f"a loss of {figure(as_it_is.value, 6)}"
    setup = tried.setup
    takes = ", ".join(setup.forward_parameters) or "no column by name"
    return DROPPED.finding(
        f"Of the data's {counted(len(columns), 'column')}, {', '.join(dropped)} "
        f"{'do' if len(dropped) > 1 else 'does'} not reach the loss. The first batch gives {now}; "
        f"with {', '.join(needed)} it gives {figure(with_all.value, 6)}.",
        severity=Severity.CRITICAL if as_it_is.detail else None,
        mechanism=f"The Trainer keeps the columns that {setup.model_class}.forward names, and it "
        f"names {takes}. It says what it drops in the log, at a level that is not shown.",
        location=first_location(_places(ask, setup)),
        evidence=[
            Evidence("columns of the data", ", ".join(columns)),
            Evidence("columns dropped", ", ".join(dropped), "none that the loss needs"),
            Evidence("first loss without them", as_it_is.value, with_all.value),
        ],
        quote=as_it_is.detail,
        columns=", ".join(needed),
        which="them" if len(needed) > 1 else "it",
        subject=", ".join(needed),
    )


def _places(ask: Ask, setup: SetupRow) -> Iterator[Place]:
    """Yield the forward that names nothing, else where the arguments are built."""
    if setup.forward_takes_kwargs and set(setup.forward_parameters) <= {"args", "kwargs"}:
        yield setup.forward_place
    yield from (place for place, _ in calls(ask(ReadSource()).source, "TrainingArguments"))
    yield from (setup.trainer_place, setup.factory)


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for first."""
    return (ReadSource(),)


probe = Probe(
    name="trainer-columns",
    doc=__doc__,
    rules=(DROPPED,),
    examine=examine,
    experiments=experiments,
)
