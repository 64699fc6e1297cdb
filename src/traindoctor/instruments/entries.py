"""Records how modules are entered past their forward: `encode()` fires no forward hook."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traindoctor.target.usercode import is_user_class

if TYPE_CHECKING:
    import torch


class Entries:
    """The last arguments that the public methods of some modules were given, by name."""

    def __init__(self) -> None:
        self.given: dict[int, dict[str, dict[str, Any]]] = {}  # by module's id, then by method

    @contextmanager
    def watching(self, modules: Iterable[torch.nn.Module]) -> Iterator[Entries]:
        """Watch the methods that the user's classes define, other than forward."""
        chosen = [(module, name) for module in modules for name in _methods(type(module))]
        for module, name in chosen:
            vars(module)[name] = self._around(module, name, getattr(module, name))
        try:
            yield self
        finally:
            for module, name in chosen:
                vars(module).pop(name, None)

    def _around(self, module: torch.nn.Module, name: str, method: Any) -> Callable[..., Any]:
        signature = inspect.signature(method)

        @functools.wraps(method)
        def around(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)  # first, so that it complains of its own arguments
            bound = signature.bind(*args, **kwargs).arguments
            self.given.setdefault(id(module), {})[name] = dict(bound)
            return result

        return around

    def forward(self, module: torch.nn.Module) -> tuple[str, Any] | None:
        """Call a module's forward with what one of its methods was given.

        Returns:
            The method and what forward returned; None where no method was given all that forward
            asks for, or forward raised.
        """
        import torch

        parameters = inspect.signature(module.forward).parameters.values()
        for name, given in self.given.get(id(module), {}).items():
            taken = {p.name: given[p.name] for p in parameters if p.name in given}
            needed = {p.name for p in parameters if p.default is p.empty}
            if not taken or not needed <= set(taken):
                continue
            try:
                with torch.no_grad():
                    return name, module.forward(**taken)
            except Exception:  # it is tried; what it takes is not known
                continue
        return None


def _methods(kind: type) -> list[str]:
    """Name the public methods that user classes of a module's give it."""
    return [
        name
        for owner in kind.__mro__
        if is_user_class(owner)
        for name, function in vars(owner).items()
        if inspect.isfunction(function) and name != "forward" and not name.startswith("_")
    ]
