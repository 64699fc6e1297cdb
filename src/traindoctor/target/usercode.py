"""What is the user's own code, and where in it we are."""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
from functools import lru_cache
from types import CodeType, FrameType, TracebackType

from traindoctor.errors import told
from traindoctor.target.patches import UNSEEN
from traindoctor.trace import Place

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Who asked for what runs above these is not what is examined.
_BOUNDARIES = (
    os.path.join(_HERE, "experiments", "lab.py"),
    os.path.join(_HERE, "watching", "post_mortem.py"),
)
_LIBRARIES = tuple(
    sorted(
        {
            os.path.realpath(path) + os.sep
            for key in ("stdlib", "platstdlib", "purelib", "platlib")
            if (path := sysconfig.get_paths().get(key))
        }
    )
)

_MOST_PLACES = 4096
# Places by code object and line. The code objects are kept, so that no `id` is used twice.
_PLACES: dict[tuple[int, int], tuple[CodeType, Place]] = {}


@lru_cache(maxsize=4096)
def is_ours(file: str) -> bool:
    """Tell whether a source file is traindoctor's own."""
    if file == UNSEEN:
        return True
    path = real_path(file)
    return path.startswith(_HERE + os.sep) or f"{os.sep}traindoctor_probes{os.sep}" in path


@lru_cache(maxsize=4096)
def is_user_file(file: str) -> bool:
    """Tell whether a source file is the user's: not the library's, not ours, not generated."""
    if not file or file.startswith("<") or not file.endswith((".py", ".ipynb", ".pyw")):
        return file.startswith("<ipython-input")
    path = real_path(file)
    if "site-packages" in path or "dist-packages" in path:
        return False
    if is_ours(file):
        return False
    return not path.startswith(_LIBRARIES)


def is_user_class(kind: type) -> bool:
    """Tell whether a class is defined in the user's own project."""
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    if kind.__module__ == "__main__" and file is None:
        return True  # an interactive session
    return bool(file) and is_user_file(str(file))


def place_of(frame: FrameType, line: int | None = None) -> Place:
    """Return the place that a frame stands at."""
    code = frame.f_code
    number = line or frame.f_lineno
    text = linecache.getline(code.co_filename, number).strip()
    file = absolute(code.co_filename) if is_path(code.co_filename) else code.co_filename
    return Place(file, number, code.co_name, text)


def place_in(file: str, line: int) -> Place:
    """Return a line of a file as a place."""
    return Place(absolute(file), line, None, linecache.getline(file, line).strip())


def absolute(file: str) -> str:
    """Return a file's absolute path; as it is where the working directory is gone."""
    try:
        return os.path.abspath(file)
    except FileNotFoundError:
        return file


def real_path(file: str) -> str:
    """Return a file's path without links; as it is where the working directory is gone."""
    try:
        return os.path.realpath(file)
    except FileNotFoundError:
        return file


def is_path(file: str) -> bool:
    """Tell a file's path from names such as `<stdin>`."""
    return not file.startswith("<")


def user_place(frame: FrameType | None) -> Place:
    """Return the innermost line of the user's code, from a frame outwards.

    The walk ends where an experiment or a replay begins.
    """
    while frame is not None and frame.f_code.co_filename not in _BOUNDARIES:
        if is_user_file(frame.f_code.co_filename):
            return _known_place(frame)
        frame = frame.f_back
    return Place()


def _known_place(frame: FrameType) -> Place:
    """Return the place that a frame stands at; the lines of a loop come again and again."""
    key = (id(frame.f_code), frame.f_lineno)
    known = _PLACES.get(key)
    if known is None:
        if len(_PLACES) >= _MOST_PLACES:
            _PLACES.clear()
        known = _PLACES[key] = frame.f_code, place_of(frame)
    return known[1]


def is_called_by_user(frame: FrameType | None) -> bool:
    """Tell whether the innermost frame that is not ours is one of the user's code."""
    while frame is not None and is_ours(frame.f_code.co_filename):
        frame = frame.f_back
    return frame is not None and is_user_file(frame.f_code.co_filename)


def raised_place(trace: TracebackType | None) -> Place:
    """Return the innermost line of the user's code on a traceback."""
    found = Place()
    while trace is not None:
        if is_user_file(trace.tb_frame.f_code.co_filename):
            found = place_of(trace.tb_frame, trace.tb_lineno)
        trace = trace.tb_next
    return found


def raising_text(trace: TracebackType | None) -> str:
    """Return the source line that raised, in whoever's file it stands."""
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return linecache.getline(trace.tb_frame.f_code.co_filename, trace.tb_lineno).strip()


def user_traceback(error: BaseException) -> str:
    """Return a traceback of the user's own frames alone, then the error; at most 20 frames."""
    lines: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        if is_user_file(trace.tb_frame.f_code.co_filename):
            place = place_of(trace.tb_frame, trace.tb_lineno)
            lines.append(f"  {place.file}:{place.line} in {place.function}")
            if place.text:
                lines.append(f"    {place.text}")
        trace = trace.tb_next
    lines.append(told(error))
    return "\n".join(lines[-41:])
