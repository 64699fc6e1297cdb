"""Which modules are of the user's own making, and not a library's."""

from __future__ import annotations

from collections.abc import Mapping

from traindoctor.trace import ModuleRow

CONTAINERS = ("ModuleList", "ModuleDict", "Sequential")
_PARTS = (*CONTAINERS, "ReLU", "Sigmoid", "Tanh")  # what anyone puts into a module


def is_users(path: str, modules: Mapping[str, ModuleRow]) -> bool:
    """Tell a part of a module of the user's class, or of containers that are the whole model."""
    while path and path in modules and modules[path].class_name in _PARTS:
        path = path.rpartition(".")[0]
    row = modules.get(path)
    return row is not None and (row.is_users or (not path and row.class_name in CONTAINERS))
