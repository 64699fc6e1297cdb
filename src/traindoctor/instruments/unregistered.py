"""Finds what a module holds to be trained without nn.Module knowing: in plain lists and dicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from traindoctor.target.source import attribute_place
from traindoctor.target.usercode import is_user_class
from traindoctor.trace import ModuleRow

if TYPE_CHECKING:
    import torch

Lost = Mapping[tuple[str, str], Sequence[Any]]


def unregistered(model: torch.nn.Module) -> dict[tuple[str, str], list[Any]]:
    """Return modules and leaf tensors by (path of the holding module, attribute).

    Only classes of the user's own are searched. What is registered elsewhere does not count, and
    what stands in two places counts once.
    """
    known = {id(m) for m in model.modules()}
    known |= {id(p) for p in model.parameters()}
    known |= {id(b) for b in model.buffers()}
    found: dict[tuple[str, str], list[Any]] = {}
    for path, parent in model.named_modules():
        if not is_user_class(type(parent)):
            continue
        for name, value in vars(parent).items():
            if name in ("_parameters", "_buffers", "_modules"):
                continue
            lost = [item for item in _learnable(value) if id(item) not in known]
            if lost:
                found[path, name] = lost
                known |= {id(item) for item in lost}
    return found


def unregistered_rows(
    model: torch.nn.Module, lost: Lost, held: Iterable[torch.Tensor]
) -> tuple[ModuleRow, ...]:
    """Return one row an attribute.

    Args:
        model: the model that was searched.
        lost: what `unregistered` found in it.
        held: the parameters that the optimizers hold.
    """
    in_optimizer = {id(p) for p in held}
    rows = []
    for (path, name), items in lost.items():
        parent = model.get_submodule(path)
        tensors = [p for item in items for p in _parameters(item)]
        facts = {
            "num_items": len(items),
            "container": type(vars(parent)[name]).__name__,
            "num_tensors": len(tensors),
            "num_held": sum(id(p) in in_optimizer for p in tensors),
        }
        rows.append(
            ModuleRow(
                path=path,
                class_name=type(items[0]).__name__,
                is_users=True,
                place=attribute_place(type(parent), name),
                num_parameters=sum(p.numel() for p in tensors),
                num_trainable=sum(p.numel() for p in tensors if p.requires_grad),
                is_registered=False,
                holder=name,
                attributes=facts,
            )
        )
    return tuple(rows)


def places_among(lost: Lost, tensors: Set[int]) -> tuple[tuple[str, str], ...]:
    """Name what of `lost` is among tensors given by `id`, such as the leaves of a graph."""
    return tuple(
        place
        for place, items in lost.items()
        if any(id(p) in tensors for item in items for p in _parameters(item))
    )


def _learnable(value: Any, depth: int = 3) -> list[Any]:
    """Return the modules and the leaf tensors with gradients in a value and its containers."""
    import torch

    if isinstance(value, torch.nn.Module):
        return [value]
    if isinstance(value, torch.Tensor):
        return [value] if value.requires_grad and value.is_leaf else []
    if depth == 0 or not isinstance(value, dict | list | tuple):
        return []
    items = value.values() if isinstance(value, dict) else value
    return [found for item in items for found in _learnable(item, depth - 1)]


def _parameters(item: Any) -> list[torch.Tensor]:
    import torch

    return list(item.parameters()) if isinstance(item, torch.nn.Module) else [item]
