"""Which trainable parameters get no gradient in a short run, and what might be meant by it."""

from __future__ import annotations

from traindoctor.trace import ModuleRow, ParameterRow, Trace

CONTAINERS = {"ModuleList", "ModuleDict", "Sequential", "ParameterList", "ParameterDict"}


def without_gradient(one: Trace, run: Trace) -> tuple[ParameterRow, ...]:
    """Return the trainable parameters whose gradient is None at every step.

    Those that the loss's graph holds (their gradients were cleared, or drawn at random) and
    those that move all the same (running averages, hand-written updates) are left out.
    """
    some = {row.parameter for row in run.gradients if not row.is_none}
    # Without an optimizer's steps (weights moved by hand) the graph alone tells.
    seen = {row.parameter for row in run.gradients} or {row.name for row in run.parameters}
    others = {*one.facts.get("in_graph", ()), *(run.facts.get("moved") or ())}
    return tuple(
        row
        for row in run.parameters
        if row.requires_grad and row.name in seen and row.name not in some | others
    )


def is_meant_to_train(row: ParameterRow, run: Trace) -> bool:
    """Tell whether an optimizer that the user built holds it."""
    return row.num_optimizers > 0 and any(item.is_the_users for item in run.optimizers)


def parent(path: str, modules: dict[str, ModuleRow]) -> ModuleRow | None:
    """Return the nearest module above a path that is no mere container."""
    while path:
        path = path.rpartition(".")[0]
        row = modules.get(path)
        if row is not None and row.class_name not in CONTAINERS:
            return row
    return None


def uncalled_root(path: str, modules: dict[str, ModuleRow]) -> str | None:
    """Return the topmost module around a path of which nothing was called; None if it was."""
    called = {row.path for row in modules.values() if row.num_calls}
    reached = {part for row in called for part in _above(row)}
    if path in reached:
        return None
    while path:
        above = path.rpartition(".")[0]
        if above in reached:
            return path
        path = above
    return path


def _above(path: str) -> list[str]:
    parts = path.split(".") if path else []
    return [".".join(parts[:count]) for count in range(len(parts) + 1)]
