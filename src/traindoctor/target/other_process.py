"""Reads an exception that another process raised: its traceback came here as text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from traindoctor.target.usercode import is_user_file, place_in
from traindoctor.trace import Place

_BEGINS = re.compile(r"^-- Process \d+ terminated with the following error:$", re.MULTILINE)
_FRAME = re.compile(r'^  File "(.+)", line (\d+), in (\S+)$', re.MULTILINE)
_ERROR = re.compile(r"^([A-Za-z_][\w.]*)(?:: (.*))?\Z", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class RaisedElsewhere:
    """What another process raised.

    Attributes:
        type_name: the exception's class, without its module.
        message: what it said.
        place: the user's innermost line on its traceback.
    """

    type_name: str
    message: str
    place: Place


def raised_elsewhere(message: str) -> RaisedElsewhere | None:
    """Return what is in the message with which `torch.multiprocessing` raises it again."""
    begin = _BEGINS.search(message)
    if begin is None:
        return None
    text = message[begin.end() :].strip()
    frames = list(_FRAME.finditer(text))
    last = text[frames[-1].end() :] if frames else text
    error = _ERROR.search(last)
    if error is None:
        return None
    own = [frame for frame in frames if is_user_file(frame[1])]
    place = place_in(own[-1][1], int(own[-1][2])) if own else Place()
    return RaisedElsewhere(error[1].rpartition(".")[2], error[2] or "", place)
