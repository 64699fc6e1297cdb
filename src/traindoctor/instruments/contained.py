"""Calls a function of the user's once more and undoes what it did; it may not reach outside."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CellType, FunctionType
from typing import Any

from traindoctor.instruments.holdings import held
from traindoctor.target.interpreter import InterpreterState
from traindoctor.target.memory import Memory
from traindoctor.target.usercode import is_user_class, is_user_file

MOST_BYTES = 256 * 2**20  # of tensors and arrays that a function holds and may write to
# Where computing ends: the modules of C functions that reach files, processes and the network.
_OUTSIDE = frozenset(
    [
        "_io",
        "io",
        "posix",
        "nt",
        "_socket",
        "socket",
        "_posixsubprocess",
        "_thread",
        "_queue",
        "select",
        "mmap",
        "_sqlite3",
    ]
)
_HARMLESS = frozenset(
    [
        "abc",
        "collections",
        "contextlib",
        "copy",
        "copyreg",
        "dataclasses",
        "enum",
        "functools",
        "inspect",
        "itertools",
        "math",
        "numbers",
        "operator",
        "random",
        "re",
        "statistics",
        "string",
        "textwrap",
        "types",
        "typing",
        "warnings",
        "weakref",
        "_collections_abc",
        "_weakrefset",
    ]
)
_COMPUTING = ("torch", "numpy", "transformers")
_STDLIB = os.path.realpath(sysconfig.get_paths()["stdlib"]) + os.sep


class LeftComputing(BaseException):
    """The function was about to do something that cannot be undone. No `except` may hold it."""


class TooLarge(Exception):
    """What the function holds is more than would be copied for one call."""


def call_contained(function: Callable[..., Any], *args: Any) -> Exception | None:
    """Call a function of the user's; return what it raised.

    It runs up to the first call into another library or to the operating system. Objects,
    closures, containers, tensors and random generators that it holds come back as they were;
    modules do not (the experiment's snapshot gives those back).

    Raises:
        TooLarge: they hold too much to be copied.
    """
    silence = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with _undone(function), silence[0], silence[1], warnings.catch_warnings(), _gate():
        warnings.simplefilter("ignore")
        try:
            function(*args)
        except LeftComputing:
            return None
        except Exception as error:  # the user's function may raise anything
            return error
    return None


@contextmanager
def _gate() -> Iterator[None]:
    def gate(frame: Any, event: str, callee: Any) -> None:
        if event == "call" and not _computes(frame.f_code.co_filename):
            raise LeftComputing
        if event == "c_call":
            owner = getattr(callee, "__self__", None)
            home = getattr(callee, "__module__", None) or type(owner).__module__
            is_sleep = getattr(callee, "__name__", "") == "sleep"
            if is_sleep or str(home).partition(".")[0] in _OUTSIDE:
                raise LeftComputing

    before = sys.getprofile()
    sys.setprofile(gate)
    try:
        yield
    finally:
        sys.setprofile(before)


def _computes(file: str) -> bool:
    if file.startswith("<") or file == __file__ or file == contextlib.__file__:
        return True
    if is_user_file(file):
        return True
    parts = os.path.realpath(file).split(os.sep)
    if "serialization.py" in parts or "tensorboard" in parts or "multiprocessing" in parts:
        return False
    if "site-packages" in parts or "dist-packages" in parts:
        return any(name in parts for name in _COMPUTING)
    path = os.path.realpath(file).removeprefix(_STDLIB)
    return path.split(os.sep)[0].removesuffix(".py") in _HARMLESS


@contextmanager
def _undone(function: Callable[..., Any]) -> Iterator[None]:
    """Give back what a function holds."""
    parts = [part for _, part in held({"": function})]
    memory, interpreter = _remembered(parts), InterpreterState.read()
    cells = [(part, part.cell_contents) for part in parts if _is_filled(part)]
    names = [_globals_named(part) for part in parts if isinstance(part, FunctionType)]
    try:
        yield
    finally:
        memory.restore()
        interpreter.restore()
        for cell, content in cells:
            cell.cell_contents = content
        for namespace, before in names:
            namespace.update(before)


def _remembered(parts: list[Any]) -> Memory:
    import numpy as np
    import torch

    memory, num_bytes = Memory(), 0
    for part in parts:
        if isinstance(part, torch.nn.Module):
            for tensor in (*part.parameters(), *part.buffers()):
                memory.watch(tensor)
        elif isinstance(part, torch.Tensor | np.ndarray):
            num_bytes += part.nbytes
    if num_bytes > MOST_BYTES:
        raise TooLarge
    for part in parts:
        is_object = is_user_class(type(part)) and not isinstance(part, torch.nn.Module)
        memory.remember(vars(part) if is_object and hasattr(part, "__dict__") else part)
    memory.keep()
    return memory


def _is_filled(part: Any) -> bool:
    if not isinstance(part, CellType):
        return False
    try:
        return part.cell_contents is not part
    except ValueError:  # nothing was assigned yet
        return False


def _globals_named(function: FunctionType) -> tuple[dict[str, Any], dict[str, Any]]:
    namespace, names = function.__globals__, function.__code__.co_names
    return namespace, {name: namespace[name] for name in names if name in namespace}
