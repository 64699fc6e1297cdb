"""Tells a forward that takes a batch apart itself from one that is given its parts."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from traindoctor.target.batches import kind_of, parts_of

MOST_DEEP = 4  # functions and modules that hand the batch on

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_MAPPINGS = ("dict", "Dict", "Mapping", "MutableMapping")


def takes_whole(forward: Any, batch: Any) -> bool:
    """Tell whether a forward wants a batch of several parts as its one argument.

    It does if it requires one argument, takes none of the batch's parts by name, and says so: by
    the argument's name or annotation, or by reading the parts from it, there or where it hands
    it on.
    """
    try:
        parameters = inspect.signature(forward).parameters
    except (TypeError, ValueError):
        return False
    required = [
        item
        for item in parameters.values()
        if item.kind in _POSITIONAL and item.default is item.empty
    ]
    if len(required) != 1 or not set(_names(batch)).isdisjoint(parameters):
        return False
    if any(item.kind is item.VAR_KEYWORD for item in parameters.values()):
        return False
    asked = required[0]
    is_named = kind_of(batch) != "sequence" and asked.name == "batch"
    return is_named or _is_annotated(asked, batch) or _takes_apart(forward, asked.name, batch)


def takes(forward: Any, number: int) -> bool:
    """Tell whether a forward can be called with so many arguments; no where it hides them."""
    try:
        inspect.signature(forward).bind(*range(number))
    except (TypeError, ValueError):
        return False
    return True


def _names(batch: Any) -> tuple[str, ...]:
    """Return the names of a batch's parts; a plain sequence has none."""
    if kind_of(batch) == "sequence":
        return tuple(getattr(batch, "_fields", ()))
    return tuple(name for name, _ in parts_of(batch))


def _is_annotated(parameter: inspect.Parameter, batch: Any) -> bool:
    """Tell whether an annotation, which may be text, is the class of the batch."""
    annotation = parameter.annotation
    name = getattr(annotation, "__name__", None) or str(annotation)
    name = name.partition("[")[0].rpartition(".")[2]
    kinds = {kind.__name__ for kind in type(batch).__mro__} - {"object", "tuple", "list"}
    return name in kinds or (isinstance(batch, Mapping) and name in _MAPPINGS)


def _takes_apart(function: Any, name: str, batch: Any, depth: int = 0) -> bool:
    """Tell whether a function reads parts of the batch from what it knows by this name."""
    names = _names(batch)
    for node in _nodes(function):
        match node:
            case ast.Subscript(value=ast.Name(id=found), slice=ast.Constant(value=key)):
                if found == name and key in names:
                    return True
            case ast.Attribute(value=ast.Name(id=found), attr=key):
                if found == name and key in names:
                    return True
            case ast.keyword(arg=None, value=ast.Name(id=found)):
                if found == name and isinstance(batch, Mapping):
                    return True
            case ast.Assign(targets=[ast.Tuple(elts=parts)], value=ast.Name(id=found)):
                if found == name and kind_of(batch) == "sequence" and len(parts) == len(batch):
                    return True
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="self"), attr=attribute), args=given
            ):
                position = next((i for i, item in enumerate(given) if _is_name(item, name)), None)
                inner = getattr(getattr(function, "__self__", None), attribute, None)
                inner = getattr(inner, "forward", inner)
                if position is not None and depth < MOST_DEEP:
                    inner_name = _positional(inner, position)
                    if inner_name and _takes_apart(inner, inner_name, batch, depth + 1):
                        return True
    return False


def _nodes(function: Any) -> Iterator[ast.AST]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):  # no source, or none that stands alone
        return
    yield from ast.walk(tree)


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _positional(function: Any, position: int) -> str | None:
    """Return the name that a function has for an argument."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    named = [item.name for item in parameters if item.kind in _POSITIONAL]
    return named[position] if position < len(named) else None
