"""Do the hooks on modules hold whatever the modules return?

## What it measures
Every forward, backward and pre-hook that the user's code registered: what it was given and
raised in a short run. Each forward hook is then called again, outside training, with the
kinds of output it has not met: tensor, tuple, ModelOutput, dict.

## Why it matters
A hook runs inside the forward pass. An observer that raises ends the training that it only
wanted to look at.

## Known limits
A hook that returns early, by a flag or a step count, seems safe in a trial. The trial ends at
the hook's first call into another library or to the operating system, and is not made where it
holds more than 256 MiB. Only AttributeError, TypeError and NotImplementedError count as failing:
shapes and keys of the examples are invented. Hooks on tensors are not looked at.

## References
torch.nn.Module.register_forward_hook; transformers.utils.ModelOutput, which is a dict and no tuple.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traindoctor.experiments import Experiment, ShortRun, TryHooks
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
from traindoctor.probing.wording import grouped, location
from traindoctor.trace import HookRow, Trace

EXTRACT = """def tensor_of(output):
    if isinstance(output, torch.Tensor):
        return output
    parts = output.values() if isinstance(output, dict) else output
    return next((part for part in parts if isinstance(part, torch.Tensor)), None)"""
BEFORE = "hidden = output[0] if isinstance(output, tuple) else output"
REMEDIES = (
    Remedy(
        "Take the tensor out of whatever the module returns",
        recommended=True,
        pros="The hook works on every module, and keeps working when one changes its output.",
        before=BEFORE,
        after=f"{EXTRACT}\n\nhidden = tensor_of(output)",
    ),
    Remedy(
        "Never let an observer raise",
        pros="No fault of the hook can end a training.",
        cons="A broken observer is silent unless its error is logged.",
        after="try:\n    observe(output)\nexcept Exception as error:\n"
        '    print(f"hook on {name}: {error}")',
    ),
    Remedy(
        "Register the hook only where it is asked for",
        pros="No cost and no risk in ordinary runs.",
        cons="One more flag.",
        after="if args.plot_embeddings:\n    manager.register_hooks(model)",
    ),
)
CRASHES = Rule(
    code="TD802",
    name="hook-crashes",
    severity=Severity.CRITICAL,
    title="The {kind} hook on {module} raises {error} when it is given {given}",
    what="A hook that the user's code registered on a module raises in the forward or backward.",
    why="The exception leaves the module's call and ends the training step.",
    known_limits="An exception of the user's own class that a hook raises on purpose, to stop a "
    "forward early, is taken as meant.",
    remedies=REMEDIES,
    explains=("TD0", "TD1", "TD2", "TD4", "TD5", "TD6", "TD801"),
)
FRAGILE = Rule(
    code="TD803",
    name="hook-fragile",
    severity=Severity.WARNING,
    title="The forward hook on {module} would raise on {kinds}",
    what="A forward hook works with what it was given and fails on another kind of output that "
    "its module can return.",
    why="A change of mode, of `return_dict` or of a version turns an observer into a crash.",
    known_limits="Reported where a `return` of the module's own forward makes the kind, or where a "
    "hook of the same file already crashes on it; hooks behind a flag that is off seem safe.",
    remedies=REMEDIES,
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Judge the hooks as they ran, and as they were tried."""
    run = ask(ShortRun())
    if not run.hooks:
        return
    tried = ask(TryHooks()).hooks
    yield from crashes(run, tried)
    yield from fragile(tried)


def crashes(run: Trace, tried: Sequence[HookRow]) -> Iterator[Finding]:
    """Yield one finding a hook function that raised, with the table of all hooks."""
    seen = [row for row in run.hooks if _crashed(row)]
    for rows in _by_function([*seen, *(row for row in tried if _crashed(row))]):
        first = rows[0]
        modules = grouped(dict.fromkeys(row.module or row.module_class for row in rows))
        yield CRASHES.finding(
            f"The hook `{first.hook}`, registered on {modules} ({first.module_class}), was given "
            f"{first.error_given} and raised {first.error_type}: {first.error_message[:300]}",
            mechanism=f"torch calls a {first.kind} hook inside the module's own call, with "
            f"whatever the module returned. Here that is {first.error_given}; the hook is written "
            "for something else, and its exception ends the step.",
            location=location(first.error_place or first.place, module=first.module),
            also_at=[location(first.place)],
            evidence=_table(tried or run.hooks),
            quote=first.traceback,
            subject=first.hook,
            kind=first.kind,
            module=modules,
            error=first.error_type,
            given=first.error_given,
        )


def fragile(tried: Sequence[HookRow]) -> Iterator[Finding]:
    """Yield one finding a hook function that did not crash and fails on a kind it may meet."""
    crashing = [row for row in tried if _crashed(row)]
    risky = [row for row in tried if not _crashed(row) and _fails_on(row, crashing)]
    for rows in _by_function(risky):
        first = rows[0]
        kinds = _fails_on(first, crashing)
        own = [kind for kind in kinds if kind in first.possible]
        module, met = first.module or first.module_class, (own or kinds)[0]
        why = (
            f"{first.module_class}.forward has a `return` that makes {' and '.join(own)}"
            if own
            else f"`{crashing[0].hook}`, written alike in the same file, crashes on it already"
        )
        yield FRAGILE.finding(
            f"`{first.hook}` on {module} was given {_given(first)}. Called with {met} it "
            f"raises {dict(first.tried)[met]}; {why}.",
            confidence=None if own else Confidence.LIKELY,
            mechanism="A forward hook gets whatever the module returns. This one handles "
            f"{_handled(first)} only; the first call that returns something else ends the run.",
            location=location(first.tried_place or first.place, module=first.module),
            also_at=[location(first.place)],
            evidence=_table(rows),
            subject=first.hook,
            module=grouped(dict.fromkeys(row.module or row.module_class for row in rows)),
            kinds=" and ".join(kinds),
        )


def _crashed(row: HookRow) -> bool:
    return bool(row.error_type) and not row.is_users_error


def _fails_on(row: HookRow, crashing: Sequence[HookRow]) -> list[str]:
    """Return the kinds it fails on, if it may meet one of them."""
    failed = [kind for kind, error in row.tried if error]
    own = row.is_users_module and set(failed) & set(row.possible)
    shared = {
        kind
        for other in crashing
        if other.place.file == row.place.file and other.place != row.place
        for kind, error in other.tried
        if error and kind in other.possible
    }
    return failed if own or shared & set(failed) else []


def _by_function(rows: Sequence[HookRow]) -> list[list[HookRow]]:
    """Group rows by the function: one hook on many modules is one fault."""
    groups: dict[object, list[HookRow]] = {}
    for row in rows:
        groups.setdefault(row.place, []).append(row)
    return list(groups.values())


def _table(rows: Sequence[HookRow]) -> list[Evidence]:
    """Return hook, module, what it was given, what it may be given, and what came of it."""
    return [
        Evidence(
            f"{row.hook} on {row.module or row.module_class}",
            f"{_status(row)}; was given {_given(row)}; its module can return "
            f"{', '.join(row.possible) or 'unknown'}",
            "safe",
        )
        for row in rows[:12]
        if row.kind == "forward" or _crashed(row)
    ]


def _status(row: HookRow) -> str:
    if _crashed(row):
        return f"crashing: {row.error_type} on {row.error_given}"
    failed = [kind for kind, error in row.tried if error]
    return f"risky: fails on {', '.join(failed)}" if failed else "safe"


def _given(row: HookRow) -> str:
    return " and ".join(row.given) if row.given else "nothing yet (its module was never called)"


def _handled(row: HookRow) -> str:
    return " and ".join(kind for kind, error in row.tried if not error) or "nothing"


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for; the trial is ordered only where there are hooks."""
    return (ShortRun(),)


probe = Probe(
    name="module-hooks",
    doc=__doc__,
    rules=(CRASHES, FRAGILE),
    examine=examine,
    experiments=experiments,
)
