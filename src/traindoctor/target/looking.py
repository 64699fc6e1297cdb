"""Looks at objects of the user's, which may raise whatever they are asked."""

from __future__ import annotations

from typing import Any

from traindoctor.errors import RAISED_BY_USERS

__all__ = ["attribute", "length"]


def attribute(thing: Any, name: str, default: Any = None) -> Any:
    """Return an attribute; the default where there is none, or asking for it raises."""
    try:
        return getattr(thing, name, default)
    except RAISED_BY_USERS:
        return default


def length(thing: Any) -> int | None:
    """Return how long a thing says that it is; None where it does not, or cannot be."""
    try:
        return len(thing)
    except RAISED_BY_USERS:
        return None
