"""Weaves calls into the user's functions: at the head of each `except`, before each running total.

A function's code is exchanged for the same code compiled with the calls in it, and exchanged
back: the function object, its file and its line numbers stay. What is imported, pickled, traced
or inspected is as before, and nothing is paid until a woven line runs. A function whose file no
longer says what it was compiled from is left as it is.
"""

from __future__ import annotations

import ast
import gc
import linecache
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from types import CodeType, FrameType, FunctionType
from typing import Any, Protocol

from traindoctor.target.usercode import is_user_file


class Listener(Protocol):
    """Who wants to know that a woven line ran."""

    def caught(self, frame: FrameType, error: BaseException) -> None:
        """Take in that an `except` body in this frame begins, and with what."""

    def counted(self, frame: FrameType) -> None:
        """Take in that a line of this frame, which adds to a total, is about to run."""


_LISTENERS: list[Listener] = []  # woven code finds whoever listens here, like torch its hooks


def caught() -> None:
    """Tell the listeners; woven at the head of the user's `except` bodies."""
    error = sys.exc_info()[1]
    assert error is not None
    for listener in _LISTENERS:
        with suppress(Exception):  # the user's exception may be any object; listening is ours
            listener.caught(sys._getframe(1), error)


def counted() -> None:
    """Tell the listeners; woven before the user's running totals."""
    for listener in _LISTENERS:
        listener.counted(sys._getframe(1))


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Weave the calls into the user's functions and hear them, for as long as it is open."""
    with heard_by(listener), weaving():
        yield


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Tell a listener of each woven line that runs while inside."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)


@contextmanager
def weaving() -> Iterator[None]:
    """Weave the calls into all functions of the user's that there are; take them out again."""
    exchanged = [
        (function, function.__code__, new)
        for function in _user_functions()
        if (new := woven_codes(function.__code__.co_filename).get(function.__code__))
    ]
    for function, _, new in exchanged:
        function.__code__ = new
    try:
        yield
    finally:
        for function, old, new in exchanged:
            if function.__code__ is new:
                function.__code__ = old


def _user_functions() -> list[FunctionType]:
    """Return every living function of the user's, methods and closures included."""
    return [
        item
        for item in gc.get_objects()
        if type(item) is FunctionType and is_user_file(item.__code__.co_filename)
    ]


def woven_source(source: bytes, file: str) -> CodeType | None:
    """Return a whole file's code with the calls in it; None where it cannot be woven.

    Such code needs no exchange: it is what an import, or the run of a script, is given.
    """
    try:
        tree = ast.fix_missing_locations(_Weaver().visit(ast.parse(source, file)))
        code: CodeType = compile(tree, file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return code


def woven_codes(file: str) -> dict[CodeType, CodeType]:
    """Return a file's code objects with what is to replace them; nothing where it cannot be."""
    return _woven_codes(file, "".join(linecache.getlines(file)))


@lru_cache(maxsize=4096)
def _woven_codes(file: str, text: str) -> dict[CodeType, CodeType]:
    if "except" not in text and "+=" not in text:  # most files: compiling one takes 10 to 20 ms
        return {}
    try:
        with warnings.catch_warnings():  # the user has seen them at import
            warnings.simplefilter("ignore")
            plain = compile(text, file, "exec", dont_inherit=True)
            tree = ast.fix_missing_locations(_Weaver().visit(ast.parse(text)))
            woven = compile(tree, file, "exec", dont_inherit=True)
        return {old: new for old, new in _pairs(plain, woven) if old.co_names != new.co_names}
    except (SyntaxError, ValueError, RecursionError):  # a notebook's magics; left as it is
        return {}


def _pairs(plain: CodeType, woven: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """Yield the functions of two compilations that differ by the woven calls alone."""
    insides = ([c for c in code.co_consts if isinstance(c, CodeType)] for code in (plain, woven))
    for old, new in zip(*insides, strict=True):
        yield old, new
        yield from _pairs(old, new)


class _Weaver(ast.NodeTransformer):
    def __init__(self) -> None:
        self.is_training = False  # inside a function that differentiates or steps

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._function(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: Any) -> ast.AST:
        outside, self.is_training = self.is_training, _trains(node)
        self.generic_visit(node)
        self.is_training = outside
        return node  # type: ignore[no-any-return]  # what came in

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.body[-1], ast.Raise):  # whoever catches that will say so
            node.body.insert(0, _call("caught", node))
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        is_sum = self.is_training and isinstance(node.op, ast.Add)
        return [_call("counted", node), node] if is_sum else node


def _trains(node: ast.AST) -> bool:
    return any(
        isinstance(inner, ast.Call)
        and isinstance(inner.func, ast.Attribute)
        and inner.func.attr in ("backward", "step")
        for inner in ast.walk(node)
    )


def _call(name: str, at: ast.AST) -> ast.stmt:
    """Return a call of `caught` or `counted` on a node's line that needs no name of the user's."""
    call = ast.parse(f"__import__({__name__!r}, fromlist=['_']).{name}()").body[0]
    for node in ast.walk(call):
        if isinstance(node, ast.expr | ast.stmt):
            node.lineno = node.end_lineno = at.lineno  # type: ignore[attr-defined]  # has one
            node.col_offset = node.end_col_offset = at.col_offset  # type: ignore[attr-defined]
    return call
