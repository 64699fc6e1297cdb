"""Is everything that the loss trains registered with its module?

## What it measures
Which modules and leaf tensors stand in plain lists, tuples and dicts of the user's own modules
(or are plain tensors with `requires_grad`), unknown to `nn.Module`, and which of them the loss
of one step descends from.

## Why it matters
`model.parameters()`, `.to(device)`, `.train()`, `.eval()` and `state_dict()` see only what is
registered. The forward pass works all the same, so nothing looks wrong.

## Known limits
Containers are searched three levels deep, in classes of the user's own. A module that a forward
builds anew on each call, or reaches through a closure, is not seen.

## References
torch.nn.ModuleList and torch.nn.ParameterList documentation.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import Experiment, OneStep, ReadSource, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.syntax import last_name, subtrees
from traindoctor.probing.wording import counted, grouped, location
from traindoctor.trace import ModuleRow, SourceRow
from traindoctor_probes._training_loops import mentions, spot

REGISTERING = ("ModuleList", "ModuleDict", "Sequential", "add_module", "register_module")

UNREGISTERED = Rule(
    code="TD709",
    name="unregistered-module",
    severity=Severity.ERROR,
    title="{num_elements:,} weights in {holder} are neither trained nor saved",
    what="Modules or parameters stand in a plain list, dict or attribute that nn.Module "
    "does not search.",
    why="The optimizer never gets them, `.to(device)` leaves them behind, and a checkpoint does "
    "not hold them: after loading they are random again.",
    known_limits="Silent on what is registered elsewhere too, on what needs no gradient (a frozen "
    "teacher hidden on purpose), and on what the loss does not descend from. Information only "
    "where an optimizer was given them by hand.",
    remedies=(
        Remedy(
            "Use the container that registers",
            recommended=True,
            pros="Indexing and loops stay as they are.",
            cons="Checkpoints saved before have no weights for them.",
            before="self.layers = [nn.Linear(dim, dim) for _ in range(depth)]",
            after="self.layers = nn.ModuleList([nn.Linear(dim, dim) for _ in range(depth)])",
        ),
        Remedy(
            "Say that they are not meant to train",
            pros="Keeps a teacher out of the checkpoint on purpose.",
            before="self.teacher = [teacher]",
            after="self.teacher = [teacher.requires_grad_(False)]",
        ),
    ),
    explains=(
        "TD006",
        "TD103",
        "TD201",
        "TD202",
        "TD207",
        "TD212",
        "TD401",
        "TD403",
        "TD409",
        "TD6",
    ),
)
CONTAINERS = {"list": "nn.ModuleList", "tuple": "nn.ModuleList", "dict": "nn.ModuleDict"}


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Compare what modules hold with what they registered, and with the loss's ancestors."""
    known = ask(ReadSource())
    hidden = [row for row in known.modules if not row.is_registered and row.num_trainable]
    if not hidden:
        return
    used = set(in_graph(ask))
    by_line: dict[Any, list[ModuleRow]] = {}
    for row in hidden:
        if (row.path, row.holder) in used:
            by_line.setdefault(row.place or row.path, []).append(row)
    for rows in by_line.values():
        yield unregistered(rows)


def in_graph(ask: Ask) -> tuple[tuple[str, str], ...]:
    """Return what is hidden and used: of one step, or of a watched run with compiled modules.

    Raises:
        CannotJudge: no loss was seen.
    """
    try:
        step = ask(OneStep())
    except ExperimentFailed:
        facts = ask(ShortRun()).facts
        if "unregistered_in_graph" not in facts:
            raise
        return tuple(facts["unregistered_in_graph"])
    step.require(losses=1)
    return tuple(step.facts.get("unregistered_in_graph", ()))


def unregistered(rows: Sequence[ModuleRow]) -> Finding:
    """Return the finding for a line whose attribute, of one module or several, hides weights."""
    row, facts = rows[0], rows[0].attributes

    def total(fact: str, default: int = 0) -> int:
        return sum(one.attributes.get(fact, default) for one in rows)

    num_held, num_tensors = total("num_held"), total("num_tensors")
    num_trainable = sum(one.num_trainable for one in rows)
    name = grouped(f"{one.path}.{one.holder}" if one.path else f"self.{one.holder}" for one in rows)
    kind = facts.get("container", "list")
    verbs = f"are plain {kind}s that hold" if len(rows) > 1 else f"is a plain {kind} that holds"
    return UNREGISTERED.finding(
        f"{name} {verbs} {counted(total('num_items', 1), row.class_name)} "
        f"with {num_trainable:,} trainable weights. The loss descends from them, but "
        "model.parameters() and state_dict() do not know them.",
        severity=Severity.INFO if num_held == num_tensors else None,
        mechanism="nn.Module registers what is assigned to an attribute as a Module or a "
        f"Parameter; it does not look into a {kind}. The optimizer takes its tensors from "
        "model.parameters(), so these keep their random initial values.",
        location=location(row.place, module=row.path or None),
        evidence=[
            Evidence("trainable weights hidden", num_trainable, 0),
            Evidence("their tensors in an optimizer", num_held, num_tensors),
            Evidence("their tensors in state_dict()", 0, num_tensors),
        ],
        remedies=_remedies(row, kind),
        subject=row.holder,
        num_elements=num_trainable,
        holder=name,
    )


def _remedies(row: ModuleRow, kind: str) -> list[Remedy]:
    """Show the user's own line before and after, where it is one whole assignment."""
    container, frozen = UNREGISTERED.remedies
    left, equals, right = row.place.text.partition(" = ")
    if not equals:
        return [container, frozen]
    if kind in CONTAINERS and right[-1] in "])}":
        after = f"{left} = {CONTAINERS[kind]}({right})"
    elif kind == "Tensor":
        after = f"{left} = nn.Parameter({right.replace(', requires_grad=True', '')})"
    else:
        return [container, frozen]
    return [replace(container, before=row.place.text, after=after), frozen]


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return ReadSource(), OneStep()


def lint(row: SourceRow) -> Iterator[Finding]:
    """Yield plain lists and dicts of modules in constructors that register nothing of the kind."""
    if "nn." not in row.text:
        return
    for owner in subtrees(row, ast.ClassDef):
        if not any(last_name(base) == "Module" for base in owner.bases):
            continue
        for node in ast.walk(owner):
            if not isinstance(node, ast.Assign) or not _holds_modules(node.value):
                continue
            target = node.targets[0]
            if isinstance(target, ast.Attribute) and not mentions([owner], *REGISTERING):
                yield UNREGISTERED.suspicion(
                    f"`{ast.unparse(target)}` is a plain {_kind(node.value)} of modules",
                    "`nn.Module` does not search lists and dicts: `parameters()`, `state_dict()` "
                    "and `to()` pass over what is in them.",
                    location=spot(row, node),
                    subject=ast.unparse(target),
                )


def _kind(value: ast.expr) -> str:
    return "list" if isinstance(value, ast.List | ast.ListComp) else "dict"


def _holds_modules(value: ast.expr) -> bool:
    """Tell whether a list or dict is made of calls such as `nn.Linear(…)`."""
    items: list[ast.expr] = []
    if isinstance(value, ast.List):
        items = value.elts
    elif isinstance(value, ast.ListComp):
        items = [value.elt]
    elif isinstance(value, ast.Dict):
        items = value.values
    elif isinstance(value, ast.DictComp):
        items = [value.value]
    return any(
        isinstance(item, ast.Call)
        and isinstance(item.func, ast.Attribute)
        and last_name(item.func.value) == "nn"
        for item in items
    )


probe = Probe(
    name="registration",
    doc=__doc__,
    rules=(UNREGISTERED,),
    examine=examine,
    experiments=experiments,
    lint=lint,
)
