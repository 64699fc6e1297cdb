"""Records the user's own hooks on modules: what each was given, returned and raised."""

from __future__ import annotations

import ast
import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from traindoctor.errors import words_of
from traindoctor.instruments.holdings import held, roots_of
from traindoctor.instruments.modules import tensors_of
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.source import at, parse
from traindoctor.target.usercode import (
    absolute,
    is_user_class,
    is_user_file,
    raised_place,
    raising_text,
    user_traceback,
)
from traindoctor.trace import HookRow, Place

if TYPE_CHECKING:
    import torch

    from traindoctor.target.setup import TrainingSetup

MOST_HOOKS = 500  # that are watched: some code registers one at each step
TABLES = {
    "_forward_hooks": "forward",
    "_forward_pre_hooks": "forward-pre",
    "_backward_hooks": "backward",
    "_backward_pre_hooks": "backward-pre",
}
REGISTER = {
    "register_forward_hook": "_forward_hooks",
    "register_forward_pre_hook": "_forward_pre_hooks",
    "register_full_backward_hook": "_backward_hooks",
    "register_full_backward_pre_hook": "_backward_pre_hooks",
}


@dataclass(slots=True)
class Hook:
    """One hook on one module, watched."""

    function: Callable[..., Any]
    module: torch.nn.Module
    path: str
    kind: str
    num_calls: int = 0
    given: dict[str, None] = field(default_factory=dict)  # in order of first sight
    last: Any = None  # what it was called with last, where that is kept
    num_replaced: int = 0
    num_cut: int = 0
    replaced_by: str = ""
    error: dict[str, Any] = field(default_factory=dict)

    def row(self, **more: Any) -> HookRow:
        """Return what was seen."""
        code = code_of(self.function)
        name = getattr(inspect.unwrap(_innermost(self.function)), "__qualname__", "")
        return HookRow(
            hook=(name or type(self.function).__qualname__).replace(".<locals>", ""),
            place=_place(code.co_filename, code.co_firstlineno, code.co_name),
            module=self.path,
            module_class=type(self.module).__name__,
            is_users_module=is_user_class(type(self.module)),
            kind=self.kind,
            num_calls=self.num_calls,
            given=tuple(self.given),
            num_replaced=self.num_replaced,
            replaced_by=self.replaced_by,
            num_cut=self.num_cut,
            return_place=_return_place(code) if self.num_replaced else Place(),
            **{**self.error, **more},
        )


class Hooks:
    """The user's hooks on the model's modules and on those that other objects of a setup hold.

    With `keeps_going`, a hook that raises is passed over, and each hook's last call is kept.
    """

    def __init__(self, setup: TrainingSetup | None, keeps_going: bool = False) -> None:
        self.keeps_going = keeps_going
        self.paths = _modules(setup) if setup is not None else {}
        self.hooks: list[Hook] = []
        self._installed: list[tuple[Any, int, Any, Any]] = []

    @contextmanager
    def watching(self) -> Iterator[Hooks]:
        """Put a watcher around every hook there is, and around those registered meanwhile."""
        import torch

        for module, path in list(self.paths.values()):
            for table in TABLES:
                for key in list(getattr(module, table, None) or ()):
                    self._watch(module, path, table, key)
        originals = {name: getattr(torch.nn.Module, name) for name in REGISTER}
        try:
            for name, original in originals.items():
                setattr(torch.nn.Module, name, self._registering(original, REGISTER[name]))
            yield self
        finally:
            for name, original in originals.items():
                setattr(torch.nn.Module, name, original)
            for table, key, wrapper, hook in self._installed:
                if table.get(key) is wrapper:
                    table[key] = hook

    def _registering(self, original: Any, table: str) -> Any:
        @functools.wraps(original)
        def register(module: Any, *args: Any, **kwargs: Any) -> Any:
            handle = original(module, *args, **kwargs)
            _, path = self.paths.get(id(module), (module, type(module).__name__))
            self._watch(module, path, table, handle.id)
            return handle

        return register

    def _watch(self, module: Any, path: str, table: str, key: int) -> None:
        hooks = getattr(module, table)
        function = hooks.get(key)
        code = code_of(function)
        if code is None or not is_user_file(code.co_filename) or len(self.hooks) >= MOST_HOOKS:
            return
        hook = Hook(function, module, path, TABLES[table])
        wrapper = self._around(hook)
        hooks[key] = wrapper
        self.hooks.append(hook)
        self._installed.append((hooks, key, wrapper, function))

    def _around(self, hook: Hook) -> Callable[..., Any]:
        return _Around(hook, self.keeps_going)

    def name(self, setup: TrainingSetup) -> None:
        """Name the modules by their paths in a setup, which was not known so far."""
        self.paths = _modules(setup)
        for hook in self.hooks:
            hook.path = self.paths.get(id(hook.module), (None, hook.path))[1]


class _Around:
    """A hook with a watcher around it. What is copied or pickled of it is the hook alone."""

    def __init__(self, hook: Hook, keeps_going: bool) -> None:
        self.hook, self.keeps_going = hook, keeps_going
        self.number = -1 if hook.kind == "forward" else 1

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        hook, given = self.hook, args[self.number]
        hook.num_calls += 1
        hook.given[type(given).__name__] = None
        if self.keeps_going:
            hook.last = args
        try:
            result = hook.function(*args, **kwargs)
        except Exception as error:  # the user's hook may raise anything
            _note_error(hook, error, given)
            if self.keeps_going:
                return None
            raise
        if result is not None and result is not given:
            _note_result(hook, given, result)
        return result

    def __deepcopy__(self, memo: Any) -> Any:
        return copy.deepcopy(self.hook.function, memo)

    def __reduce__(self) -> Any:
        return functools.partial, (self.hook.function,)


@contextmanager
def hooks_seen(setup: TrainingSetup, recorder: Recorder) -> Iterator[None]:
    """Record the user's hooks while inside."""
    hooks = Hooks(setup)
    try:
        with hooks.watching():
            yield
    finally:
        recorder.hooks += [hook.row() for hook in hooks.hooks]


def code_of(function: Any) -> Any:
    """Return the code that runs when a hook is called; None where it is no Python code."""
    inner = inspect.unwrap(_innermost(function))
    found = getattr(inner, "__code__", None)
    return found or getattr(type(inner).__call__, "__code__", None)


def _innermost(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__func__", function)


def _modules(setup: TrainingSetup) -> dict[int, tuple[Any, str]]:
    """Return modules with their paths by `id`: the model's, then those held elsewhere."""
    import torch

    found = {id(m): (m, path) for path, m in setup.model.named_modules()}
    for path, part in held(roots_of(setup)):
        if isinstance(part, torch.nn.Module) and id(part) not in found:
            above = path.rpartition(".")[2]
            for inner, module in part.named_modules(prefix=above):
                found.setdefault(id(module), (module, inner))
    return found


def _note_error(hook: Hook, error: Exception, given: Any) -> None:
    if hook.error:
        return
    is_raised = raising_text(error.__traceback__).startswith("raise ")
    hook.error = {
        "error_type": type(error).__name__,
        "error_message": words_of(error),
        "error_given": type(given).__name__,
        "error_place": raised_place(error.__traceback__),
        "is_users_error": is_raised and is_user_class(type(error)),
        "traceback": user_traceback(error),
    }


def _note_result(hook: Hook, given: Any, result: Any) -> None:
    import torch

    hook.num_replaced += 1
    hook.replaced_by = hook.replaced_by or type(result).__name__
    had = any(tensor.requires_grad for tensor in tensors_of(given))
    has = any(tensor.requires_grad for tensor in tensors_of(result))
    hook.num_cut += had and not has and torch.is_grad_enabled()


def _place(file: str, line: int, name: str) -> Place:
    """Return the line of a function's `def`, below its decorators."""
    tree = parse(file)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.FunctionDef) and node.name == name:
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            if first == line:
                return at(absolute(file), node, name)
    return at(absolute(file), ast.Pass(lineno=line), name)


def _return_place(code: Any) -> Place:
    """Return the last line of a function that returns a value; a lambda's own line."""
    tree = parse(code.co_filename)
    lines = {line for _, _, line in code.co_lines() if line}
    returns = [
        node
        for node in (ast.walk(tree) if tree else ())
        if isinstance(node, ast.Return) and node.value is not None and node.lineno in lines
    ]
    last = max(returns, key=lambda node: node.lineno, default=None)
    here = last or ast.Pass(lineno=code.co_firstlineno)
    return at(absolute(code.co_filename), here, code.co_name)
