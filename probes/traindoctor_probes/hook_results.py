"""Does a hook that looks at a module's output leave it as it is?

## What it measures
What every forward hook and forward pre-hook of the user's returned in a short run, whether that
kept the gradient of what it was given, and which parameters got no gradient then.

## Why it matters
Whatever a hook returns, other than None, takes the place of the module's output. An observer
that detaches, stores and returns cuts the network in two.

## Known limits
A replacement that keeps type and gradient, such as an adapter's, is taken as meant, whatever its
values are. A hook that stops the gradient on purpose is reported as one that does so by mistake.

## References
torch.nn.Module.register_forward_hook: "The hook can modify the output."
"""

from __future__ import annotations

from collections.abc import Iterator

from traindoctor.experiments import Experiment, ShortRun
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import counted, grouped, location
from traindoctor.trace import HookRow, Place, Trace

NO_OUTPUTS = ("ndarray", "float", "int", "bool", "str")  # types that no next layer takes

REPLACES = Rule(
    code="TD804",
    name="hook-changes-output",
    severity=Severity.WARNING,
    title="The hook on {module} returns {value} in place of {what}",
    what="A hook returns a value, and torch takes it for the module's output (or input).",
    why="What follows computes with the replacement; if that is detached, nothing before it is "
    "trained.",
    known_limits="Reported where the value lost its gradient or is of another type. A replacement "
    "that keeps both, such as an adapter's, is taken as meant.",
    remedies=(
        Remedy(
            "Return nothing from a hook that only looks",
            recommended=True,
            pros="The output stays as the module made it.",
            before="def hook(module, args, output):\n    output = output.detach()\n"
            "    seen.append(output)\n    return output",
            after="def hook(module, args, output):\n    seen.append(output.detach())",
        ),
    ),
    explains=("TD1", "TD2", "TD405", "TD6"),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Judge what the hooks returned."""
    yield from replaces(ask(ShortRun()))


def replaces(run: Trace) -> Iterator[Finding]:
    """Yield hooks whose returned value lost the gradient, or is something else altogether."""
    lost = _never_reached(run)
    guilty = [row for row in run.hooks if row.num_cut or _other_type(row)]
    groups: dict[Place, list[HookRow]] = {}
    for row in guilty:
        groups.setdefault(row.place, []).append(row)
    for rows in groups.values():  # one hook on many modules is one fault
        first = rows[0]
        is_cut = first.num_cut > 0
        value = f"a detached {first.replaced_by}" if is_cut else f"a value ({first.replaced_by})"
        yield REPLACES.finding(
            f"`{first.hook}` returned {value} in {first.num_replaced} of "
            f"{counted(first.num_calls, 'call')}; torch used it in place of what it was given"
            + (
                f", and {counted(len(lost), 'trainable parameter')} got no gradient." * bool(lost)
                or "."
            ),
            severity=Severity.ERROR if is_cut and lost else None,
            mechanism="A value that a hook returns replaces the module's own. "
            + ("Without a gradient function, the backward pass ends there." * is_cut),
            location=location(first.return_place or first.place, module=first.module),
            evidence=[
                Evidence("calls that replaced it", first.num_replaced, 0),
                Evidence("calls that cut the gradient", first.num_cut, 0),
                Evidence("calls", first.num_calls),
                Evidence("trainable parameters without gradient", len(lost), 0),
            ],
            subject=first.hook,
            module=grouped(dict.fromkeys(row.module or row.module_class for row in rows)),
            value=value,
            what="its input" if first.kind == "forward-pre" else "its output",
        )


def _other_type(row: HookRow) -> bool:
    is_forward = row.kind in ("forward", "forward-pre")
    return is_forward and row.replaced_by in NO_OUTPUTS


def _never_reached(run: Trace) -> list[str]:
    """Return the trainable parameters that got no gradient in any step."""
    reached = {row.parameter for row in run.gradients if not row.is_none}
    seen = {row.parameter for row in run.gradients}
    return [row.name for row in run.parameters if row.requires_grad and row.name in seen - reached]


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ShortRun(),)


probe = Probe(
    name="hook-results",
    doc=__doc__,
    rules=(REPLACES,),
    examine=examine,
    experiments=experiments,
)
