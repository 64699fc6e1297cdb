"""Runs a script as `python script.py …` or `python -m module …` would, in this process."""

from __future__ import annotations

import builtins
import ctypes
import importlib.machinery
import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import CodeType, ModuleType, TracebackType
from typing import Any

from traindoctor.target.usercode import is_ours

INTERRUPTED = 130
PR_SET_PDEATHSIG = 1
_is_interrupted = threading.Event()


def run_script(
    path: str, arguments: tuple[str, ...], compiled: Callable[[bytes, str], CodeType]
) -> None:
    """Run a file as `__main__`.

    `sys.argv`, `sys.path[0]`, `__file__` and the working directory are as without us, and
    classes of the script can be pickled, also for spawned processes.

    Args:
        path: the script.
        arguments: what follows it on the command line.
        compiled: from source and file name to code.

    Raises:
        BaseException: whatever the script raises.
    """
    file = os.path.abspath(path)
    main = _fresh_main()
    main.__file__ = file
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", file)
    sys.argv[:] = [path, *arguments]
    if not _is_path_safe():
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    with open(file, "rb") as source:
        code = compiled(source.read(), file)
    exec(code, vars(main))


def run_module(name: str, arguments: tuple[str, ...]) -> None:
    """Run a module as `__main__`.

    Raises:
        BaseException: whatever the module raises.
    """
    _fresh_main()
    sys.argv[:] = ["-m", *arguments]
    runpy._run_module_as_main(name)  # type: ignore[attr-defined]  # what `python -m` calls


def end_like_python(error: BaseException) -> None:
    """Show an exception that nobody caught as the interpreter does, and end as it does.

    Raises:
        SystemExit: with the status that the interpreter would end with.
    """
    if isinstance(error, SystemExit):
        raise error
    error.__traceback__ = without_us(error.__traceback__)
    sys.excepthook(type(error), error, error.__traceback__)
    if not isinstance(error, KeyboardInterrupt):
        raise SystemExit(1)
    _is_interrupted.set()
    raise SystemExit(INTERRUPTED)


def status_of(error: BaseException | None) -> int:
    """Return the exit status of an interpreter that an exception ends, or nothing."""
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    return 1


def end_by_signal_if_interrupted() -> None:
    """End as the interpreter does after Ctrl-C: by the signal, once everything else has ended.

    To be the first that is registered with `atexit`, which calls it last.
    """
    if _is_interrupted.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


def end_with_parent(watcher: int) -> None:
    """Have this process asked to end, by SIGTERM, when its parent is killed that watches it.

    Args:
        watcher: the parent, which may be gone by now; 0 where it is not known.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if watcher and os.getppid() != watcher:
        os.kill(os.getpid(), signal.SIGTERM)


def without_us(trace: TracebackType | None) -> TracebackType | None:
    """Take our own frames out of a traceback, which is changed in place, and return it.

    A function of torch's that was handed to a function mode of ours, to be called again there, is
    left in it once.
    """
    kept: list[TracebackType] = []
    is_handed_over = False
    while trace is not None:
        code = trace.tb_frame.f_code
        if is_ours(code.co_filename):
            if is_handed_over:
                del kept[-2:]
            is_handed_over = False
        else:
            kept.append(trace)
            is_handed_over = len(kept) > 1 and code.co_name == "handle_torch_function"
        trace = trace.tb_next
    for one, following in zip(kept, [*kept[1:], None], strict=False):
        if one.tb_next is not following:
            one.tb_next = following
    return kept[0] if kept else None


def _fresh_main() -> ModuleType:
    """Put an empty `__main__` in place of ours, and return it."""
    main = ModuleType("__main__")
    attributes: dict[str, Any] = {
        "__builtins__": builtins,
        "__annotations__": {},
        "__cached__": None,
    }
    vars(main).update(attributes)
    sys.modules["__main__"] = main
    return main


def _is_path_safe() -> bool:
    return bool(getattr(sys.flags, "safe_path", False))
