"""Does the loss reach every trainable parameter?

## What it measures
Which trainable parameters have no gradient (`None`) at any step of a short run, and why: their
module is never called, its output is not used by the loss, the parameter is not touched, or what
is computed from it is not differentiable.

## Why it matters
A parameter without a gradient keeps its initial value. That is meant for one real model in five
(poolers, second heads, experts that got no token), and a forgotten layer in others.

## Known limits
A warning needs three witnesses: the user's own class builds the module or parameter, an optimizer
that the user built holds it, and nothing in the user's methods would ever use it (or a fixed slice
leaves it out of a loop over its siblings). Everything else is one line of information, and so is
everything once a method reads `getattr(self, name)` with a name that is computed.

## References
transformers' model classes of which 142 in 715 have such parameters by design.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traindoctor.experiments import Experiment, OneStep, ReadSource, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.syntax import uses
from traindoctor.probing.wording import counted, grouped, location
from traindoctor.trace import ModuleRow, ParameterRow, Place, SourceRow, Trace
from traindoctor_probes._unreached import is_meant_to_train, parent, uncalled_root, without_gradient

NO_GRADIENT = Rule(
    code="TD201",
    name="no-gradient",
    severity=Severity.ERROR,
    title="{num_unreached} of {num_trainable} trainable parameters get no gradient",
    what="The gradient of trainable parameters is None at every step.",
    why="They keep their initial values; the optimizer skips them without a word.",
    known_limits="An error only if nothing that the optimizer holds gets a gradient; a warning "
    "only for what the user's own class builds and never uses; information otherwise.",
    remedies=(
        Remedy(
            "Use it where it was meant to be used",
            recommended=True,
            pros="The part of the model that was forgotten takes part again.",
            before="x = self.tokens(ids)",
            after="x = self.tokens(ids) + self.positions(places)",
        ),
        Remedy(
            "Remove it, or freeze it",
            pros="Nothing is left that looks trained and is not.",
            after="model.pooler.requires_grad_(False)",
        ),
    ),
    explains=("TD405",),
)
NEVER_CALLED = "never called"
NOT_USED = "called, and its output is not used by this loss"
NOT_TOUCHED = "not touched by the forward pass of its module, or frozen by then"
NOT_DIFFERENTIABLE = "used in a way that has no gradient"


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Sort the parameters without gradient by why they have none."""
    run = ask(ShortRun())
    if not run.facts.get("moved"):  # weights that move without an optimizer are trained by hand
        run.require(steps=1)
    one = ask(OneStep())
    one.require(losses=1)
    cut = {name for row in one.cuts if row.reaches_loss for name in row.parameters}
    lost = [row for row in without_gradient(one, run) if row.name not in cut]
    if not lost:
        return
    forgotten = forgotten_ones(lost, run, ask(ReadSource()).source)
    for path, rows in at_one_line(forgotten, run).items():
        yield unused(path, rows, run)
    named = {row.name for rows in forgotten.values() for row in rows}
    rest = [row for row in lost if row.name not in named]
    if rest:
        yield without_use(rest, one, run)


def forgotten_ones(
    lost: Sequence[ParameterRow], run: Trace, source: Sequence[SourceRow]
) -> dict[str, list[ParameterRow]]:
    """Group by path what the user's own classes build for training and never use."""
    modules = {row.path: row for row in run.modules}
    found: dict[str, list[ParameterRow]] = {}
    for row in lost:
        top = uncalled_root(row.module, modules)
        path = row.name if top is None else top
        above = parent(path, modules)
        if above is None or not above.is_users or not is_meant_to_train(row, run):
            continue
        attribute, _, element = path.removeprefix(f"{above.path}.").partition(".")
        read = uses(source, attribute)
        holder = path.removesuffix(f".{element}") if element else ""
        if not read or (
            element
            and _is_left_out(holder, above.num_calls, modules)
            and not any(use.is_conditional for use in read)
        ):
            found.setdefault(holder or path, []).append(row)
    return found


def at_one_line(
    forgotten: dict[str, list[ParameterRow]], run: Trace
) -> dict[str, list[ParameterRow]]:
    """Put together what one line of a class builds for each of its instances, by the first path."""
    modules = {row.path: row for row in run.modules}
    first: dict[Place, str] = {}
    found: dict[str, list[ParameterRow]] = {}
    for path, rows in forgotten.items():
        place = _built_at(path, rows, modules)
        key = first.setdefault(place, path) if place else path
        found.setdefault(key, []).extend(rows)
    return found


def _built_at(path: str, rows: Sequence[ParameterRow], modules: dict[str, ModuleRow]) -> Place:
    row = modules.get(path)
    return row.place if row is not None and row.place else rows[0].place


def _is_left_out(holder: str, num_forwards: int, modules: dict[str, ModuleRow]) -> bool:
    """Tell a loop that always takes the same elements from one that chooses (experts)."""
    elements = [row for path, row in modules.items() if path.rpartition(".")[0] == holder]
    called = [row for row in elements if row.num_calls]
    always = all(row.num_calls >= num_forwards for row in called)
    return always and len({(row.num_calls, row.input_shapes) for row in called}) == 1


def unused(path: str, rows: Sequence[ParameterRow], run: Trace) -> Finding:
    """Return the finding for something built, handed to the optimizer and never used."""
    modules = {row.path: row for row in run.modules}
    place = _built_at(path, rows, modules)
    names = grouped(item.name for item in rows)
    held = [item for item in run.parameters if is_meant_to_train(item, run)]
    forwards = max((item.num_calls for item in run.modules), default=0)
    return NO_GRADIENT.finding(
        f"{names} got no gradient in any of {counted(len(run.steps), 'step')}: no forward pass "
        "uses them, although your optimizer holds them.",
        severity=Severity.ERROR if len(rows) == len(held) else Severity.WARNING,
        mechanism="The module or parameter is built and registered, but the code that runs never "
        "calls it. Its values do not enter the loss, so no gradient comes back.",
        location=location(place, module=path),
        evidence=[
            Evidence("parameters without gradient", len(rows), 0),
            Evidence("their elements", sum(item.num_elements for item in rows)),
            Evidence("calls of the module", 0, forwards),
            Evidence("steps observed", len(run.steps)),
        ],
        subject=path,
        num_unreached=len(rows),
        num_trainable=sum(item.requires_grad for item in run.parameters),
    )


def without_use(rows: Sequence[ParameterRow], one: Trace, run: Trace) -> Finding:
    """Return the line of information on everything that this loss leaves out."""
    modules = {row.path: row for row in one.modules} | {
        row.path: row for row in run.modules if not row.num_calls
    }
    reasons: dict[str, list[ParameterRow]] = {}
    for row in rows:
        reasons.setdefault(_reason(row, modules), []).append(row)
    parts = [f"{grouped(item.name for item in items)}: {why}" for why, items in reasons.items()]
    held = {item.name for item in run.parameters if is_meant_to_train(item, run)}
    return NO_GRADIENT.finding(
        "; ".join(parts) + ".",
        severity=Severity.ERROR if held and held <= {r.name for r in rows} else Severity.INFO,
        mechanism="This loss does not use them. Freeze them or leave them out of the optimizer "
        "if that is meant.",
        location=location(rows[0].place, module=rows[0].module),
        evidence=[Evidence(f"parameters {why}", len(items)) for why, items in reasons.items()],
        num_unreached=len(rows),
        num_trainable=sum(item.requires_grad for item in run.parameters),
    )


def _reason(row: ParameterRow, modules: dict[str, ModuleRow]) -> str:
    owner = modules.get(row.module)
    if owner is None or not owner.num_calls:
        return NEVER_CALLED
    if owner.output_requires_grad is False:
        return NOT_DIFFERENTIABLE
    return NOT_TOUCHED if owner.output_in_graph else NOT_USED


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return OneStep(), ShortRun(), ReadSource()


probe = Probe(
    name="gradient-reach",
    doc=__doc__,
    rules=(NO_GRADIENT,),
    examine=examine,
    experiments=experiments,
    core=True,
)
