"""Turns a short run's tables into what the `steps` and `backward` views show."""

from __future__ import annotations

from typing import Any

from traindoctor.trace import OptimizerRow, StepRow, Trace


def step_account(trace: Trace) -> dict[str, Any]:
    """Return batches, backward passes and steps, the learning rates, and who skipped what."""
    epochs = {row.epoch for row in trace.batches}
    num_batches = max(len(trace.batches), len({row.batch for row in trace.losses}))
    return {
        "batches": num_batches,
        "epochs": max(len(epochs), 1),
        "backward_passes": len(trace.backwards),
        "steps": len(trace.steps),
        "accumulation_declared": trace.setup.accumulation_steps,
        "is_scaled": trace.setup.has_scaler,
        "passes_per_step": sorted(set(_used_passes(trace))),
        "optimizers": [_optimizer(row, trace) for row in trace.optimizers],
        "skipped": _skipped(trace),
        "ended_by": trace.raised,
    }


def _used_passes(trace: Trace) -> list[int]:
    """Return for each step how many of the passes since its optimizer's last one it used."""
    discarded = set(trace.facts.get("discarded_backwards", ()))
    seen: dict[int, int] = {}
    used = []
    for row in trace.steps:
        first = seen.get(row.optimizer, 0)
        seen[row.optimizer] = first + row.num_backwards
        used.append(row.num_backwards - len(discarded & {*range(first, seen[row.optimizer])}))
    return used


def _optimizer(row: OptimizerRow, trace: Trace) -> dict[str, Any]:
    own = [step for step in trace.steps if step.optimizer == row.index]
    first = own[0].learning_rates if own else row.learning_rates
    last = own[-1].learning_rates if own else row.learning_rates
    return {
        "name": row.class_name,
        "parameters": row.num_held,
        "steps": len(own),
        "groups": [
            _group(trace, (row.index, number), rates, [step.index for step in own])
            for number, rates in enumerate(zip(first, last, strict=False))
        ],
        "place": _where(own[0]) if own else "",
    }


def _group(
    trace: Trace, key: tuple[int, int], rates: tuple[float, float], steps: list[int]
) -> dict[str, Any]:
    """Return a group's rates and the norms of its gradients, at the first step and the last."""
    sizes = {row.name: row.num_elements for row in trace.parameters if row.group == key}
    norms = []
    for step in steps[:1] + steps[-1:]:
        rows = [row for row in trace.gradients if row.step == step and row.parameter in sizes]
        squares = sum(row.rms**2 * sizes[row.parameter] for row in rows)
        norms.append(squares**0.5 if any(not row.is_none for row in rows) else None)
    return {
        "name": _common(list(sizes)),
        "parameters": len(sizes),
        "learning_rates": list(rates),
        "gradient_norms": norms,
    }


def _common(names: list[str]) -> str:
    """Return the path that all parameters of a group stand under; empty where there is none."""
    if not names:
        return ""
    split = [name.split(".")[:-1] for name in names]
    shared = [parts[0] for parts in zip(*split, strict=False) if len(set(parts)) == 1]
    return ".".join(shared)


def _where(step: StepRow) -> str:
    return f"{step.place.file}:{step.place.line}" if step.place else ""


def _skipped(trace: Trace) -> list[dict[str, Any]]:
    """Return how many batches were lost to whom; one batch may be counted by several."""
    found = [
        {
            "number": row.count,
            "what": f"{row.type_name} caught by `{row.handler.text}`",
            "place": f"{row.handler.file}:{row.handler.line}" if row.handler else "",
        }
        for row in trace.handled
        if any(batch >= 0 for batch in row.batches)
    ]
    reached = {batch for row in trace.backwards for batch in (row.batch, *row.through)}
    lost = [row for row in trace.batches if row.index not in reached]
    if lost and not found:
        found.append(_entry(len(lost), "a batch came to no backward pass"))
    cleared = len(trace.facts.get("discarded_backwards", ()))
    if cleared:
        found.append(_entry(cleared, "the gradients of a backward pass were used by no step"))
    still = sum(row.num_changed == 0 for row in trace.steps)
    if still:
        found.append(_entry(still, "a step changed no parameter"))
    return found


def _entry(number: int, what: str) -> dict[str, Any]:
    return {"number": number, "what": what, "place": ""}


def backward_account(trace: Trace) -> list[dict[str, Any]]:
    """Return one row a backward pass: its loss, its graph, and whose outputs are in that graph."""
    return [
        {
            "batch": row.batch,
            "loss": row.loss,
            "nodes": row.num_nodes,
            "through": list(row.through),
            "earlier": [batch for batch in row.through if batch < row.batch],
            "gradients_before": row.num_present_before,
            "gradients_after": row.num_present_after,
            "retain_graph": row.retain_graph,
            "seconds": row.seconds,
        }
        for row in trace.backwards
    ]


def phase_account(trace: Trace) -> dict[str, float] | None:
    """Return the seconds of a step by phase; what no instrument times is `rest`.

    A watched run times its forwards; in a short run they are part of the rest.
    """
    if trace.pulses:
        count = sum(row.num_steps for row in trace.pulses)
        total = sum(row.seconds for row in trace.pulses)
        spent = {
            "fetch": sum(row.fetch_seconds for row in trace.pulses),
            "forward": sum(row.forward_seconds for row in trace.pulses),
            "backward": sum(row.backward_seconds for row in trace.pulses),
            "step": sum(row.step_seconds for row in trace.pulses),
        }
    else:
        count = len(trace.losses)
        total = trace.facts.get("seconds", 0.0)
        spent = {
            "fetch": sum(row.fetch_seconds for row in trace.batches[:count]),
            "backward": sum(row.seconds for row in trace.backwards),
            "step": sum(row.seconds for row in trace.steps),
        }
    if not count or not total:
        return None
    spent["rest"] = max(0.0, total - sum(spent.values()))
    return {name: seconds / count for name, seconds in spent.items()}
