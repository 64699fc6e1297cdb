"""Do the hooks on modules hold whatever the modules return?

## What it measures
Every forward, backward and pre-hook that the user's code registered: what it was given and
raised in a short run. Each forward hook is then called again, outside training, with the
kinds of output it has not met: tensor, tuple, ModelOutput, dict. What a module of the user's
returns that is only entered past its forward is tried with the arguments it was entered with.

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

import ast
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace

from traindoctor.experiments import Experiment, ReadSource, ShortRun, TryHooks
from traindoctor.experiments.hook_table import RISKY, fails_on, has_crashed, hook_rows
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    Location,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Severity,
    Table,
)
from traindoctor.probing.syntax import function_at, last_name
from traindoctor.probing.wording import grouped, location
from traindoctor.trace import HookRow, Place, SourceRow, Trace

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
    helper = f"{EXTRACT}\n\n"  # stands in the first of several findings
    for finding in (*crashes(run, tried), *fragile(tried)):
        places = (finding.location, *finding.also_at)
        ways = remedies(ask(ReadSource()).source, places, helper)
        yield replace(finding, remedies=tuple(ways))
        helper = ""


def crashes(run: Trace, tried: Sequence[HookRow]) -> Iterator[Finding]:
    """Yield one finding a hook function that raised, with the table of all hooks."""
    seen = [row for row in run.hooks if has_crashed(row)]
    for rows in _by_function([*seen, *(row for row in tried if has_crashed(row))]):
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
            evidence=[
                Evidence("type that it was given", first.error_given),
                Evidence("calls that raised", 1, 0),
                Evidence("hooks on modules", len(tried)),
                Evidence("of them risky, see the table", _num_risky(tried), 0),
            ],
            tables=[_table(tried or run.hooks)],
            quote=_traceback(run, first),
            subject=first.hook,
            kind=first.kind,
            module=modules,
            error=first.error_type,
            given=first.error_given,
        )


def _traceback(run: Trace, row: HookRow) -> str:
    """Return the way from the user's loop to the hook, where the crash ended the run."""
    ended = (raised for raised in run.exceptions if raised.message == row.error_message)
    return next((raised.traceback for raised in ended if raised.traceback), row.traceback)


def fragile(tried: Sequence[HookRow]) -> Iterator[Finding]:
    """Yield one finding a hook function that did not crash and fails on a kind it may meet."""
    crashing = [row for row in tried if has_crashed(row)]
    risky = [row for row in tried if not has_crashed(row) and fails_on(row, crashing)]
    for rows in _by_function(risky):
        first = rows[0]
        kinds = fails_on(first, crashing)
        own = [kind for kind in kinds if kind in first.possible]
        module, met = first.module or first.module_class, (own or kinds)[0]
        yield FRAGILE.finding(
            f"`{first.hook}` on {module} {_was_given(first)}. Called with {met} it "
            f"raises {dict(first.tried)[met]}; {_why(first, own, crashing)}.",
            confidence=None if own else Confidence.LIKELY,
            mechanism="A forward hook gets whatever the module returns. This one handles "
            f"{_handled(first)} only; the first call that returns something else ends the run.",
            location=location(first.tried_place or first.place, module=first.module),
            also_at=[location(first.place)],
            evidence=[
                Evidence("kinds of output that it fails on", ", ".join(kinds), "none"),
                Evidence("kinds that its module can return", ", ".join(first.possible)),
                Evidence("times it was called", first.num_calls),
            ],
            tables=[] if crashing else [_table(tried)],
            subject=first.hook,
            module=grouped(dict.fromkeys(row.module or row.module_class for row in rows)),
            kinds=" and ".join(own or kinds),
        )


def remedies(source: Sequence[SourceRow], places: Sequence[Location], helper: str) -> list[Remedy]:
    """Return the ways out, the first one made of the hook's own lines where it has such."""
    first = places[-1]  # where the hook is defined
    row = next((row for row in source if row.file == first.file), None)
    function = function_at(source, Place(first.file, first.line)) if row else None
    for node in ast.walk(function) if function else ():
        if isinstance(node, ast.If) and row and (name := _unpacked(node)):
            lines = row.text.splitlines()[node.lineno - 1 : node.end_lineno]
            after = f"{helper}{name} = tensor_of({ast.unparse(node.test.args[0])})"  # type: ignore[attr-defined]  # a call, as just seen
            own = replace(REMEDIES[0], before=textwrap.dedent("\n".join(lines)), after=after)
            return [own, *REMEDIES[1:]]
    return list(REMEDIES)


def _unpacked(node: ast.If) -> str:
    """Return the name that `if isinstance(x, tuple): name = x[0] else: name = x` sets."""
    is_kind = isinstance(node.test, ast.Call) and last_name(node.test.func) == "isinstance"
    branches = (node.body, node.orelse)
    if not is_kind or any(len(b) != 1 or not isinstance(b[0], ast.Assign) for b in branches):
        return ""
    names = {ast.unparse(branch[0].targets[0]) for branch in branches}  # type: ignore[attr-defined]  # assignments both
    return names.pop() if len(names) == 1 else ""


def _was_given(row: HookRow) -> str:
    if row.given:
        return f"was given {' and '.join(row.given)}"
    if row.entered_by:
        return (
            f"was never called: `{row.entered_by}` was, and that fires no forward hook. With the "
            f"same arguments the forward of {row.module_class} returns {row.would_give}"
        )
    return "was never called, and nor was its module"


def _why(row: HookRow, own: Sequence[str], crashing: Sequence[HookRow]) -> str:
    if not own:
        return f"`{crashing[0].hook}`, written alike in the same file, crashes on it already"
    if row.entered_by:
        return f"the first call of {row.module or row.module_class} itself ends the run"
    return f"{row.module_class}.forward has a `return` that makes {' and '.join(own)}"


def _by_function(rows: Sequence[HookRow]) -> list[list[HookRow]]:
    """Group rows by the function: one hook on many modules is one fault."""
    groups: dict[object, list[HookRow]] = {}
    for row in rows:
        groups.setdefault(row.place, []).append(row)
    return list(groups.values())


def _table(rows: Sequence[HookRow]) -> Table:
    """Return all hooks: module, what each was given, what it may be given, what came of it."""
    return Table(
        "Hooks on modules",
        ("hook", "module", "type seen", "types possible", "fails on", "status"),
        tuple(
            (
                row["hook"],
                row["module"],
                ", ".join(row["given"]) or "never called",
                ", ".join(row["possible"]) or "unknown",
                ", ".join(row["fails_on"]) or "–",
                row["status"],
            )
            for row in hook_rows(rows)
        ),
    )


def _num_risky(rows: Sequence[HookRow]) -> int:
    return sum(row["status"] == RISKY for row in hook_rows(rows))


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
