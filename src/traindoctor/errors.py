"""What can go wrong that is not the user's training: one root, one exit code each."""

from __future__ import annotations


class TrainDoctorError(Exception):
    """Root of every exception that traindoctor raises on purpose.

    `exit_code` is what the command line ends with when this reaches its top.
    """

    exit_code = 3


class UsageError(TrainDoctorError):
    """What the user asked for cannot be done; the message says what would work."""

    exit_code = 2


class TargetError(UsageError):
    """The target could not be loaded; the message says what was tried.

    `details` holds the user's own frames of a traceback, where there is one.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class CannotJudge(TrainDoctorError):
    """A probe lacks what it needs; it is listed as not examined, with this reason.

    Args:
        reason: what it lacks.
        leaves_open: what was seen may well be a fault, so nobody is to call the setup healthy.
    """

    def __init__(self, reason: str = "", *, leaves_open: bool = False) -> None:
        super().__init__(reason)
        self.leaves_open = leaves_open


class ExperimentFailed(CannotJudge):
    """An experiment could not be had: it is not possible here, or user code broke it."""


CLOSE = 0.65  # of 1, for a name that may have been meant
RAISED_BY_USERS = (Exception, SystemExit)
"""What the user's code may raise and we survive. A KeyboardInterrupt is meant for us too."""


def words_of(error: BaseException, most: int = 2000) -> str:
    """Return what an exception says, shortened. It may be the user's own, and fail to say it."""
    try:
        return shortened(str(error), most)
    except Exception:
        return "(it cannot say what)"


def told(error: BaseException, most: int = 2000) -> str:
    """Return an exception's type and what it says."""
    return f"{type(error).__name__}: {words_of(error, most)}"


def shortened(text: str, most: int = 2000) -> str:
    """Keep both ends of a long text: torch's may begin with the whole model's repr."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]} … {text[-most // 2 :]}"


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Return a hint like ``; did you mean 'setup'?`` or the names there are.

    Args:
        name: what was asked for.
        known: what exists.
    """
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1, cutoff=CLOSE)
    if close:
        return f"; did you mean {close[0]!r}?"
    if not known:
        return ""
    shown = ", ".join(sorted(known)[:8])
    return f"; there is {shown}" + (" and more" if len(known) > 8 else "")
