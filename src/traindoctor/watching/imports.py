"""Sees imports: weaves the user's modules as they come in, and tells when torch is there."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from traindoctor.target.usercode import is_user_file
from traindoctor.target.woven import woven_source


def compiled(source: bytes, file: str) -> CodeType:
    """Compile a file of the user's, woven where it can be."""
    code: CodeType = woven_source(source, file) or compile(source, file, "exec", dont_inherit=True)
    return code


def weave_imports() -> None:
    """Weave the user's modules from now on, however they are imported.

    Their cached bytecode is neither read nor written.
    """
    original = SourceFileLoader.get_code

    @functools.wraps(original)
    def get_code(self: Any, name: str) -> CodeType | None:
        if not is_user_file(self.path):
            return original(self, name)
        return compiled(self.get_data(self.path), self.path)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]


class Imports(MetaPathFinder):
    """First in `sys.meta_path`. What it finds, others found: it only tells of it.

    Args:
        when: by module name, what to call once the module was imported.
    """

    def __init__(self, when: dict[str, Callable[[], None]]) -> None:
        self.when = when

    def install(self) -> None:
        """See every import from now on."""
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Let the other finders look, and take note."""
        spec = self._found(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        if name in self.when:
            spec.loader = _Telling(spec.loader, self.when.pop(name))
        return spec

    def _found(self, name: str, path: Any, target: Any) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: ModuleSpec | None = find(name, path, target)
            if spec is not None:
                return spec
        return None


class _Telling(Loader):
    """Loads as another does, then tells. The module knows the other alone."""

    def __init__(self, loader: Any, tell: Callable[[], None]) -> None:
        self.loader, self.tell = loader, tell

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        self.tell()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)
