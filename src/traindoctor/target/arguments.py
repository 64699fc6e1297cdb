"""What `--arg name=value` gives, converted as the factory's signature asks."""

from __future__ import annotations

import ast
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from traindoctor.errors import TargetError, nearest

__all__ = ["convert_all"]

_TRUTH = {"true": True, "yes": True, "on": True, "1": True}
_FALSEHOOD = {"false": False, "no": False, "off": False, "0": False}
_PLAIN = (bool, int, float, str, Path)


def convert_all(
    factory: Callable[..., Any], arguments: Mapping[str, str], reference: str
) -> dict[str, Any]:
    """Convert each argument by its annotation, else by its default, else as a literal.

    Raises:
        TargetError: one is unknown, missing, or does not convert.
    """
    try:
        parameters = dict(inspect.signature(factory).parameters)
    except (TypeError, ValueError):  # some builtins hide their parameters
        parameters = {}
    takes_anything = any(item.kind is item.VAR_KEYWORD for item in parameters.values())
    named = {
        name: item
        for name, item in parameters.items()
        if item.kind not in (item.VAR_KEYWORD, item.VAR_POSITIONAL)
    }
    for name in arguments:
        if name not in named and not takes_anything:
            hint = nearest(name, tuple(named)) or "; it takes no arguments"
            raise TargetError(f"{reference} takes no argument {name!r}{hint}")
    missing = [
        name for name, item in named.items() if item.default is item.empty and name not in arguments
    ]
    if missing:
        shown = " ".join(f"--arg {name}=VALUE" for name in missing)
        raise TargetError(f"{reference} wants {', '.join(missing)}; pass {shown}")
    hints = _hints(factory)
    return {
        name: _convert(text, _wanted(name, hints, named), name, reference)
        for name, text in arguments.items()
    }


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    subject = inspect.unwrap(factory)
    called = getattr(subject, "__init__") if isinstance(subject, type) else subject  # noqa: B009
    try:
        return typing.get_type_hints(called)
    except (NameError, TypeError, AttributeError):  # names known to a type checker alone
        return {}


def _wanted(name: str, hints: Mapping[str, Any], named: Mapping[str, inspect.Parameter]) -> Any:
    """Return the type that an argument is converted to; None for whatever it looks like."""
    hint = hints.get(name)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(item for item in typing.get_args(hint) if item is not type(None))
    if hint in _PLAIN:
        return hint
    default = named[name].default if name in named else None
    return type(default) if hint is None and type(default) in (str, bool) else None


def _convert(text: str, wanted: Any, name: str, reference: str) -> Any:
    if wanted is bool:
        choices = _TRUTH | _FALSEHOOD
        if text.lower() not in choices:
            raise TargetError(f"{reference}: --arg {name}={text} is not true or false")
        return choices[text.lower()]
    if wanted in (str, Path):
        return wanted(text)
    if wanted in (int, float):
        try:
            return wanted(text)
        except ValueError as error:
            raise TargetError(
                f"{reference}: --arg {name}={text} is not a{'n int' if wanted is int else ' float'}"
            ) from error
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
