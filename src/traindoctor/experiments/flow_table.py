"""Turns a short run's tables into the rows of the gradient-flow view: one row a module."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from traindoctor.trace import GradientRow, ParameterRow, Trace, UpdateRow


def flow_rows(trace: Trace) -> list[dict[str, Any]]:
    """Return one row for each module that owns parameters, in forward order.

    Gradient RMS is over the module's elements and all steps; `none`, `zero` and `not_finite`
    count its tensors that were so at every step (not finite: at any).
    """
    gradients: dict[str, list[GradientRow]] = defaultdict(list)
    updates: dict[str, list[UpdateRow]] = defaultdict(list)
    for gradient in trace.gradients:
        gradients[gradient.parameter].append(gradient)
    for update in trace.updates:
        updates[update.parameter].append(update)
    owned: dict[str, list[ParameterRow]] = defaultdict(list)
    for parameter in trace.parameters:
        owned[parameter.module].append(parameter)
    order = {row.path: row.order for row in trace.modules}
    last = len(trace.modules)
    paths = sorted(owned, key=lambda path: last if order.get(path) is None else order[path] or 0)
    return [_row(path, owned[path], order.get(path), gradients, updates) for path in paths]


def _row(
    path: str,
    parameters: list[ParameterRow],
    order: int | None,
    gradients: dict[str, list[GradientRow]],
    updates: dict[str, list[UpdateRow]],
) -> dict[str, Any]:
    active = [p for p in parameters if p.requires_grad]
    seen = [(p, gradients[p.name]) for p in active if gradients.get(p.name)]
    moved = [(p, u) for p in active for u in updates.get(p.name, [])]
    elements = sum(p.num_elements for p, rows in seen for _ in rows)
    squares = sum(row.rms**2 * p.num_elements for p, rows in seen for row in rows)
    weights = sum(u.weight_rms**2 * p.num_elements for p, u in moved)
    changes = sum(u.update_rms**2 * p.num_elements for p, u in moved)
    present = any(not row.is_none for _, rows in seen for row in rows)
    return {
        "module": path,
        "class": parameters[0].module_class,
        "order": order,
        "parameters": sum(p.num_elements for p in parameters),
        "tensors": len(parameters),
        "frozen": len(parameters) - len(active),
        "none": sum(all(row.is_none for row in rows) for _, rows in seen),
        "zero": sum(
            all(row.rms == 0 for row in rows) and not all(row.is_none for row in rows)
            for _, rows in seen
        ),
        "not_finite": sum(any(row.num_not_finite for row in rows) for _, rows in seen),
        "gradient_rms": (squares / elements) ** 0.5 if elements and present else None,
        "weight_rms": _mean_weight(parameters),
        "update_ratio": (changes / weights) ** 0.5 if weights else None,
    }


def _mean_weight(parameters: list[ParameterRow]) -> float:
    elements = sum(p.num_elements for p in parameters)
    squares = sum(p.weight_rms**2 * p.num_elements for p in parameters)
    return float((squares / elements) ** 0.5) if elements else 0.0
