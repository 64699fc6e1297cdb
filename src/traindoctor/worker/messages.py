"""Events as JSON lines: what crosses from the worker to its supervisor."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, get_args

from traindoctor.codec import decode, encode
from traindoctor.probing.events import Event


@dataclass(frozen=True, slots=True)
class Ready:
    """The interpreter and torch are up: from here on, time is the user's."""


Message = Event | Ready
_KINDS: dict[str, type] = {kind.__name__: kind for kind in (*get_args(Event), Ready)}


def to_line(message: Message) -> bytes:
    """Return a message as one line, its newline included."""
    return json.dumps([type(message).__name__, encode(message)]).encode() + b"\n"


def from_line(line: bytes) -> Message:
    """Return the message that a line holds.

    Raises:
        ValueError: the line is no message, or not whole, as when its writer died.
    """
    try:
        name, data = json.loads(line)
        message: Any = decode(_KINDS[name], data)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{line[:100]!r} is no message") from error
    return message  # type: ignore[no-any-return]  # of one of the kinds
