"""Does the forward take the batch's keys, and do they matter to it?

## What it measures
The names of the arguments that the model was called with, beside those that its forward
declares; and, for keys that only `**kwargs` takes, the loss and every gradient with the key and
without it, from one seed.

## Why it matters
A key too many stops the first forward. A key that `**kwargs` swallows is worse: training runs,
and whatever the key was to say (a mask, weights, a condition) is never heard.

## Known limits
Only the first batch is tried. A key whose tensor is constant there (an attention mask without
padding) says nothing and is not judged. A key that is read for its shape alone counts as ignored.

## References
Python language reference, "Calls": unexpected keyword arguments. PyTorch, torch.nn.Module.forward.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from traindoctor.experiments import Experiment, ForwardKeys, OneStep
from traindoctor.probing import (
    Ask,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.wording import first_location, location
from traindoctor.trace import ExceptionRow, ModuleRow, Place, SetupRow, Trace
from traindoctor_probes._raised import (
    DOWNSTREAM,
    as_dict,
    batch_of,
    failures,
    keys_of,
    made_first,
    named,
    quoted,
    where,
)
from traindoctor_probes.tensor_shapes import is_shape

MOST_NAMED = 3  # keys in a title
_UNEXPECTED = re.compile(r"forward\(\) got an unexpected keyword argument '([^']+)'")
TARGETS = frozenset({"labels", "label", "targets", "target", "y"})

REJECTED = Rule(
    code="TD001",
    name="forward-rejects-batch-key",
    severity=Severity.CRITICAL,
    title="The forward of {model} does not take {keys}",
    what="The batch has keys that the model's forward has no parameter for.",
    why="The first call raises TypeError: no loss is computed and nothing is trained.",
    known_limits="Of a module inside the model that rejects a key, keys after the first are found "
    "only if the whole model rejects them too.",
    remedies=(
        Remedy(
            "Pass the forward only what it takes",
            recommended=True,
            pros="Dataset and model stay as they are.",
            before="outputs = model(**batch)",
            after="outputs = model(**{key: batch[key] for key in TAKEN})",
        ),
        Remedy(
            "Leave the key out where batches are made",
            pros="Nothing is moved to the device in vain.",
            cons="Other users of the dataset may need it.",
        ),
        Remedy(
            "Give the forward a parameter of that name, and use it",
            pros="What the key says reaches the model.",
        ),
    ),
    explains=(*DOWNSTREAM, "TD011"),
)
IGNORED = Rule(
    code="TD002",
    name="batch-key-ignored",
    severity=Severity.WARNING,
    title="{model} does not hear of the batch's {keys}",
    what="A key of the batch lands in the forward's `**kwargs` and nothing reads it.",
    why="The model trains as if the key were not there, without a word.",
    known_limits="Judged on the first batch. Keys for other readers (an identifier that is only "
    "logged) are reported too: leave them out before the call.",
    remedies=(
        Remedy(
            "Have the forward read it by name",
            recommended=True,
            before="def forward(self, x, **kwargs):",
            after="def forward(self, x, mask, **kwargs):",
        ),
        Remedy(
            "Take it out of the batch before the call",
            pros="The code says what the model sees.",
            after='batch.pop("mask")',
        ),
    ),
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Judge the exceptions if there are any, and the keys that went into `**kwargs`."""
    found = failures(ask)
    for trace, row in found:
        yield from rejected(trace, row, ask)
    step = as_dict(ask) or (found[-1][0] if found else ask(OneStep()))
    if step.exceptions and not is_shape(step.exceptions[0]):
        return
    root = next((row for row in step.modules if row.path == ""), None)
    extra = set(root.keywords if root else ()) - set(step.setup.forward_parameters)
    if root and extra:
        yield from ignored(ask, step, root, extra)


def rejected(trace: Trace, row: ExceptionRow, ask: Ask) -> Iterator[Finding]:
    """Yield the keys that a forward refused, unless it is the missing loss function's doing."""
    key = refused_key(row)
    given = keys_of(batch_of(row, trace))
    if key is None or key not in given:
        return
    keys = _all_rejected(trace, row, key, given, ask)
    if lacks_loss(trace, keys):
        return
    model = row.module_class or trace.setup.model_class
    taken = trace.setup.forward_parameters if not row.module else ()
    names = ", ".join(keys)
    yield REJECTED.finding(
        f"{named(row.module, model)} was called with {', '.join(row.module_keywords or given)}. "
        + (f"Its forward takes {', '.join(taken)}; " if taken else "")
        + f"{names} {'is' if len(keys) == 1 else 'are'} not among its parameters.",
        mechanism="A batch that is a mapping is passed as keywords. Python refuses a keyword that "
        "the signature does not name, one at a time: taking the first away only shows the next.",
        location=where(row, trace),
        evidence=[
            Evidence("keys in the batch", ", ".join(given)),
            Evidence("keys that the forward refuses", names, "none"),
            Evidence("parameters of the forward", ", ".join(taken) or "unknown"),
        ],
        quote=quoted(row),
        subject=names,
        keys=names,
        model=model,
    )


def refused_key(row: ExceptionRow) -> str | None:
    """Return the keyword that a forward refused, if that is what the exception says."""
    match = _UNEXPECTED.search(row.message) if row.type_name == "TypeError" else None
    return match[1] if match else None


def _all_rejected(
    trace: Trace, row: ExceptionRow, first: str, given: Sequence[str], ask: Ask
) -> list[str]:
    """List every key refused: from the signature where it is known, else by trying."""
    if not row.module and trace.setup.forward_parameters:
        names = trace.setup.forward_parameters
        return [key for key in row.module_keywords if key not in names] or [first]
    tried = ask(ForwardKeys()).facts.get("rejected", ())
    return [key for key in given if key == first or key in tried]


def lacks_loss(trace: Trace, keys: Sequence[str]) -> bool:
    """Tell whether the refused keys are targets that nobody is there to compare with."""
    setup = trace.setup
    is_ours = not (setup.has_loss_fn or setup.has_train_step or setup.has_train_loop)
    return is_ours and set(keys) <= TARGETS


def ignored(ask: Ask, step: Trace, root: ModuleRow, extra: set[str]) -> Iterator[Finding]:
    """Yield keys that were passed, have no parameter and change nothing."""
    tried = ask(ForwardKeys()).facts
    leaves = {leaf.key: leaf for batch in step.batches[:1] for leaf in batch.leaves}
    keys = [key for key in tried.get("ignored", ()) if key in extra]
    varied = [key for key in keys if key in leaves and leaves[key].minimum != leaves[key].maximum]
    if not varied:
        return
    setup, names, left_out = step.setup, ", ".join(keys), tried.get("left_out", "")
    how = f", tried without {left_out}, which it refuses," if left_out else ""
    origin = made_first(ask, varied)
    call = root.call_place
    yield IGNORED.finding(
        f"{setup.model_class} is called with {names}; its forward names "
        f"{', '.join(setup.forward_parameters)} and takes the rest as **kwargs. Without any one of "
        f"them the loss and every gradient{how} are bit for bit the same.",
        mechanism="`**kwargs` accepts any keyword. What no line reads from it is lost silently.",
        location=first_location(
            [setup.forward_place, call, origin, setup.model_place, setup.factory]
        ),
        also_at=[location(place) for place in (call, origin) if place],
        evidence=[
            Evidence("keys without effect", len(keys), 0),
            Evidence("which", names),
            *(
                Evidence(f"values of {key}", f"{leaves[key].minimum:g} to {leaves[key].maximum:g}")
                for key in varied
            ),
        ],
        remedies=_reading(setup, call, keys),
        subject=names,
        keys=names if len(keys) <= MOST_NAMED else f"{keys[0]} and {len(keys) - 1} other keys",
        model=setup.model_class,
    )


def _reading(setup: SetupRow, call: Place, keys: Sequence[str]) -> list[Remedy]:
    """Return the ways out: a forward of the user's can be mended, a library's is left as it is."""
    names = ", ".join(f'"{key}"' for key in keys)
    found = re.search(r"\*\*(\w+)", call.text)
    batch = found[1] if found else "inputs"
    lines = f"for key in ({names}{',' if len(keys) == 1 else ''}):\n    {batch}.pop(key, None)"
    taken = replace(
        IGNORED.remedies[1],
        recommended=not setup.forward_place,
        before=call.text if found else "",
        after=f"{lines}\n{call.text if found else ''}".rstrip(),
    )
    read = replace(IGNORED.remedies[0], recommended=bool(setup.forward_place))
    return [read, taken] if setup.forward_place else [taken]


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (OneStep(),)


probe = Probe(
    name="forward-arguments",
    doc=__doc__,
    rules=(REJECTED, IGNORED),
    examine=examine,
    experiments=experiments,
)
