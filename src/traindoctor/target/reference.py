"""From what the user names, `train.py:setup` or `package.module:setup`, to a setup."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from traindoctor.errors import TargetError, nearest
from traindoctor.target.arguments import convert_all
from traindoctor.target.births import births
from traindoctor.target.caught import Caught
from traindoctor.target.checkpoints import Checkpoints, checkpoints_noted
from traindoctor.target.failures import running_user_code
from traindoctor.target.history import lines_kept
from traindoctor.target.patches import Notes
from traindoctor.target.setup import TrainingSetup, a_kind, as_setup
from traindoctor.target.transfers import Transfers, transfers_noted
from traindoctor.target.usercode import is_user_file
from traindoctor.target.woven import heard_by, weaving
from traindoctor.trace import Place

__all__ = ["load"]


def load(
    reference: str | None,
    arguments: Mapping[str, str],
    model: str | None = None,
    data: str | None = None,
) -> TrainingSetup:
    """Load what `reference` names, or what `model` and `data` name, call it, and take it in.

    Args:
        reference: `path/to/file.py:factory` or `package.module:factory`; `setup` where no
            factory is named.
        arguments: what `--arg name=value` gave, as text.
        model: a factory that returns a model, instead of `reference`.
        data: a factory that returns the loader that belongs to it.

    Raises:
        TargetError: one sentence on what failed and what would work.
    """
    if reference and (model or data):
        raise TargetError("name a TARGET or `--model` and `--data`, not both")
    caught, checkpoints, transfers = Caught(), Checkpoints(), Transfers()
    noted = checkpoints_noted(checkpoints, Notes()), transfers_noted(transfers, Notes())
    with births() as places, heard_by(caught), lines_kept(until_step=True), noted[0], noted[1]:
        setup = _load(reference, arguments, model, data)
    setup.built_at, setup.handled = places, caught.rows()
    setup.checkpoints, setup.transfers = checkpoints, transfers
    return setup


def _load(
    reference: str | None, arguments: Mapping[str, str], model: str | None, data: str | None
) -> TrainingSetup:
    if reference:
        factory = _locate(reference, "setup")
        returned = _call(factory, reference, convert_all(factory, arguments, reference))
        return as_setup(returned, reference=reference, factory=_place_of(factory))
    if not model or not data:
        raise TargetError("name a TARGET such as `train.py:setup`, or both `--model` and `--data`")
    return _load_pair(model, data, arguments)


def _load_pair(model: str, data: str, arguments: Mapping[str, str]) -> TrainingSetup:
    """Call two factories; each gets the arguments that it names."""
    factories = {"model": _locate(model, "model"), "loader": _locate(data, "data")}
    parts: dict[str, Any] = {}
    untaken = dict(arguments)
    for (part, factory), reference in zip(factories.items(), (model, data), strict=True):
        taken = {name: text for name, text in arguments.items() if name in _names(factory)}
        untaken = {name: text for name, text in untaken.items() if name not in taken}
        parts[part] = _call(factory, reference, convert_all(factory, taken, reference))
    if untaken:
        known = (*_names(factories["model"]), *_names(factories["loader"]))
        name = next(iter(untaken))
        raise TargetError(f"neither {model} nor {data} takes {name!r}{nearest(name, known)}")
    return as_setup(parts, reference=f"{model} + {data}", factory=_place_of(factories["model"]))


def _names(factory: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        return ()


def _call(factory: Callable[..., Any], reference: str, arguments: Mapping[str, Any]) -> Any:
    file = inspect.getsourcefile(inspect.unwrap(factory)) or reference
    with running_user_code(reference), _as_script(file), weaving():
        return factory(**arguments)


def _locate(reference: str, default: str) -> Callable[..., Any]:
    """Import the module that a reference names and return its factory."""
    where, separator, name = reference.rpartition(":")
    if not separator or Path(reference).exists() or "/" in name or "\\" in name:
        where, name = reference, ""
    is_file = where.endswith(".py") or "/" in where or Path(where).is_dir()
    module = _import_file(where) if is_file else _import_module(where)
    return _factory_in(module, where, name, default)


def _factory_in(module: ModuleType, where: str, name: str, default: str) -> Callable[..., Any]:
    found: Any = module
    for part in (name or default).split("."):
        found = getattr(found, part, None)
    functions = tuple(
        key
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and key[0] != "_"
    )
    if found is None and name:
        raise TargetError(f"{where} has no function {name!r}{nearest(name, functions)}")
    if found is None:
        shown = ", ".join(f"`{where}:{key}`" for key in functions[:5])
        hint = f"name one of {shown}" if shown else "it defines no functions"
        raise TargetError(f"{where} has no function {default!r}; {hint}")
    if not callable(found) or (hasattr(found, "forward") and not isinstance(found, type)):
        kind = a_kind(found)
        raise TargetError(
            f"{where}:{name or default} is {kind}, not a function{nearest('', functions)}"
        )
    factory: Callable[..., Any] = found
    return factory


def _import_file(path: str) -> ModuleType:
    """Run a file as `python file.py` would, but under a name of its own."""
    file = Path(path).resolve()
    if file.is_dir():
        files = tuple(str(Path(path) / item.name) for item in sorted(file.glob("*.py")))
        raise TargetError(f"{path} is a folder, not a file{nearest('', files)}")
    if not file.is_file():
        siblings = tuple(item.name for item in file.parent.glob("*.py"))
        where = f" in {file.parent}" if file.parent.is_dir() else ""
        raise TargetError(f"no file {path}{where and nearest(file.name, siblings)}")
    _make_importable(file.parent, Path.cwd())
    name = _module_name(file)
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise TargetError(f"{path} is not a Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module  # pickle, dataclasses and spawned workers find it here
    try:
        with running_user_code(f"importing {path}"), _as_script(str(file)):
            spec.loader.exec_module(module)
    except TargetError:
        sys.modules.pop(name, None)
        raise
    return module


def _module_name(file: Path) -> str:
    """Return the file's stem, which spawned workers can import, unless a library has it."""
    known = sys.modules.get(file.stem)
    is_taken = known is not None and not is_user_file(str(getattr(known, "__file__", "")))
    return f"{file.stem}_target" if is_taken or file.stem in sys.stdlib_module_names else file.stem


def _import_module(name: str) -> ModuleType:
    _make_importable(Path.cwd())
    try:
        with running_user_code(f"importing {name}"), _as_script(name):
            return importlib.import_module(name)
    except TargetError as error:
        cause = error.__cause__
        missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
        if missing and (name == missing or name.startswith(f"{missing}.")):
            there = tuple(f"{item.stem}.py" for item in Path.cwd().glob("*.py"))
            raise TargetError(
                f"no module {name!r} and no file of that name{nearest(f'{name}.py', there)}"
            ) from cause
        raise


def _make_importable(*folders: Path) -> None:
    """Put folders at the head of the search path, the first one first."""
    for folder in reversed(folders):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


@contextmanager
def _as_script(file: str) -> Iterator[None]:
    """Hide our own command line from user code that reads `sys.argv`."""
    before = sys.argv
    sys.argv = [file]
    try:
        yield
    finally:
        sys.argv = before


def _place_of(factory: Callable[..., Any]) -> Place:
    """Return the line that a factory is defined at."""
    subject = inspect.unwrap(factory)
    try:
        lines, first = inspect.getsourcelines(subject)
        file = inspect.getsourcefile(subject)
    except (OSError, TypeError):
        return Place()
    name = getattr(subject, "__name__", None)
    starts = [number for number, text in enumerate(lines) if text.lstrip().startswith("def ")]
    offset = starts[0] if starts else 0  # below its decorators
    text = lines[offset].strip()
    return Place(str(Path(file).resolve()) if file else None, first + offset, name, text)
