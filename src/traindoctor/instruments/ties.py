"""Finds tensors that are said to be one, by a config or by the user's code, and are two."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from traindoctor.target.source import at, class_body, class_file
from traindoctor.target.usercode import is_user_class
from traindoctor.target.valueless import has_values
from traindoctor.trace import Place, TieRow

if TYPE_CHECKING:
    import torch


def ties_apart(model: torch.nn.Module) -> tuple[TieRow, ...]:
    """Return the pairs of parameters of one shape that are to be the same tensor and are not."""
    said = [*_by_config(model), *_by_source(model), *_by_memory(model)]
    rows: dict[frozenset[str], TieRow] = {}
    for name, other, said_by, place in said:
        one, two = _tensor(model, name), _tensor(model, other)
        if one is None or two is None or one is two or one.shape != two.shape:
            continue
        rows.setdefault(
            frozenset((name, other)),
            TieRow(
                name=name,
                other=other,
                said_by=said_by,
                place=place,
                num_elements=one.numel(),
                is_one_memory=one.data_ptr() == two.data_ptr(),
                difference=float((one.detach() - two.detach()).abs().max()),
            ),
        )
    return tuple(rows.values())


def _by_config(model: torch.nn.Module) -> Iterator[tuple[str, str, str, Place]]:
    """Yield what transformers ties, where the config still says so."""
    for path, module in model.named_modules():
        keys = getattr(module, "all_tied_weights_keys", None)
        config: Any = getattr(module, "config", None)
        if isinstance(keys, dict) and getattr(config, "tie_word_embeddings", False):
            for name, other in keys.items():
                both = (f"{path}.{part}".lstrip(".") for part in (name, other))
                yield (*both, "config.tie_word_embeddings", Place())  # type: ignore[misc]  # two


def _by_source(model: torch.nn.Module) -> Iterator[tuple[str, str, str, Place]]:
    """Yield `self.head.weight = self.table.weight`, where a constructor says so in any case."""
    for path, module in model.named_modules():
        kind: type = type(module)
        body, file = (class_body(kind), class_file(kind)) if is_user_class(kind) else (None, None)
        for node in _constructor(body) if body is not None and file else ():
            if not isinstance(node, ast.Assign) or len(node.targets) != 1:
                continue
            name, other = _attribute(node.targets[0]), _attribute(node.value)
            if name and other and "." in name and "." in other:
                place = at(file or "", node, f"{kind.__name__}.__init__")
                start = f"{path}." if path else ""
                yield start + name, start + other, ast.unparse(node), place


def _by_memory(model: torch.nn.Module) -> Iterator[tuple[str, str, str, Place]]:
    """Yield trainable parameters that lie in the same memory."""
    first: dict[tuple[Any, ...], str] = {}
    for name, p in model.named_parameters():
        if not has_values(p) or not p.requires_grad or p.numel() < 2:
            continue
        key = (str(p.device), p.data_ptr(), tuple(p.shape))
        if key in first:
            yield name, first[key], "their memory", Place()
        first.setdefault(key, name)


def _constructor(body: ast.ClassDef) -> list[ast.stmt]:
    found = [
        node for node in body.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    ]
    return found[0].body if found else []


def _attribute(node: ast.expr) -> str:
    """Return `head.weight` for `self.head.weight`; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed(parts)) if isinstance(node, ast.Name) and node.id == "self" else ""


def _tensor(model: torch.nn.Module, name: str) -> torch.Tensor | None:
    import torch

    found: Any = model
    for part in name.split("."):
        found = getattr(found, part, None)
    is_plain = isinstance(found, torch.nn.Parameter) and has_values(found)
    return found if is_plain else None
