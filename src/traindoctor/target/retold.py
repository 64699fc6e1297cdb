"""Reads the exception that another one tells of in its message, with the traceback as text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from traindoctor.target.usercode import is_user_file, place_in
from traindoctor.trace import Place

_CHILD = re.compile(r"^-- Process \d+ terminated with the following error:$", re.MULTILINE)
_TRACED = re.compile(r"\bgot (\w+)\((['\"])(.*?)\2\)\s*$", re.MULTILINE)
_USERS = re.compile(r"^from user code:$", re.MULTILINE)
_FRAME = re.compile(r'^ +File "(.+)", line (\d+), in (\S+)$', re.MULTILINE)
_ERROR = re.compile(r"^([A-Za-z_][\w.]*)(?:: (.*))?\Z", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Retold:
    """What was raised first.

    Attributes:
        type_name: the exception's class, without its module.
        message: what it said.
        place: the user's innermost line on its traceback.
    """

    type_name: str
    message: str
    place: Place


def retold(message: str) -> Retold | None:
    """Return what a child of `torch.multiprocessing`, or code that was compiled, had raised."""
    child, users = _CHILD.search(message), _USERS.search(message)
    if child is not None:
        return _of_child(message[child.end() :].strip())
    traced = _TRACED.search(message[: users.start()]) if users else None
    if users is None or traced is None:
        return None
    return Retold(traced[1], traced[3], _innermost(message[users.end() :]))


def _of_child(text: str) -> Retold | None:
    frames = list(_FRAME.finditer(text))
    error = _ERROR.search(text[frames[-1].end() :] if frames else text)
    if error is None:
        return None
    return Retold(error[1].rpartition(".")[2], error[2] or "", _innermost(text))


def _innermost(text: str) -> Place:
    own = [frame for frame in _FRAME.finditer(text) if is_user_file(frame[1])]
    return place_in(own[-1][1], int(own[-1][2])) if own else Place()
