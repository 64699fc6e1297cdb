"""Turns whatever user code ends in, while a target is made, into one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from traindoctor.errors import TargetError, words_of
from traindoctor.target.usercode import user_traceback

__all__ = ["running_user_code"]


@contextmanager
def running_user_code(what: str) -> Iterator[None]:
    """Raise a TargetError that begins with `what` and carries the user's own frames.

    A TargetError from within passes as it is. SystemExit and KeyboardInterrupt count as
    failures too: a factory has no business ending the program.
    """
    try:
        yield
    except TargetError:
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        raise TargetError(f"{what} {_ending(error)}", user_traceback(error)) from error


def _ending(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"ended the program with sys.exit({error.code!r})"
    if isinstance(error, SyntaxError):
        text = f": {error.text.strip()}" if error.text else ""
        return f"hit a syntax error at {error.filename}:{error.lineno}, {error.msg}{text}"
    lines = words_of(error).splitlines()
    raised = f"raised {type(error).__name__}" + (f": {lines[0][:300]}" if lines else "")
    if isinstance(error, ImportError) and "no known parent package" in words_of(error):
        return f"{raised}; name it as a module, `package.module:factory`"
    return raised
