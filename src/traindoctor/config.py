"""The settings of one run: `[tool.traindoctor]`, then the environment, then flags, frozen."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from glob import escape
from pathlib import Path
from typing import Any

from traindoctor.errors import UsageError, nearest
from traindoctor.probing.runner import BUDGET
from traindoctor.report.renderers import RENDERERS

FAIL_ON = ("critical", "error", "warning", "info", "never")
_PREFIX = "TRAINDOCTOR_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a run was asked to be.

    Attributes:
        select: rules that may report: codes, prefixes, names or `ALL`.
        extend_select: more of them.
        ignore: rules that stay silent.
        fail_on: the mildest severity that makes the exit code 1, or `never`.
        format: of what goes to `output`, or to stdout.
        output: where the report goes instead of stdout.
        report: further copies, each in the format of its ending.
        baseline: an earlier report as JSON; what it has is not reported again.
        timeout: seconds without a sign of life after which user code counts as hung;
            0 waits for ever.
        budget: seconds for experiments that follow up what was found; 0 for no limit.
        restore: whether the setup is given back as it was between experiments.
        probes: settings of single probes, by probe name.
        per_file_ignores: rules that stay silent in files, by patterns of absolute paths.
    """

    select: tuple[str, ...] = ("ALL",)
    extend_select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    fail_on: str = "error"
    format: str | None = None
    output: Path | None = None
    report: tuple[Path, ...] = ()
    baseline: Path | None = None
    timeout: float = 300.0
    budget: float = BUDGET
    restore: bool = True
    probes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    per_file_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def load_config(
    flags: Mapping[str, Any],
    *,
    file: Path | None = None,
    start: Path | None = None,
    environment: Mapping[str, str] | None = None,
    defaults: Config | None = None,
) -> Config:
    """Return the configuration: each source overrides the one before.

    Args:
        flags: what the command line set, by field name; None means not set.
        file: a TOML file to read instead of the nearest pyproject.toml.
        start: the folder from which the nearest pyproject.toml is looked for upwards.
        environment: variables; `TRAINDOCTOR_FAIL_ON` sets `fail-on`, and so on.
        defaults: what holds where nobody says anything.

    Raises:
        UsageError: a file cannot be read, or a key or value is unknown.
    """
    config = defaults or Config()
    path = file or _nearest_pyproject(start or Path.cwd())
    if path is not None:
        config = replace(config, **_checked(_table(path, required=file is not None), str(path)))
        config = replace(config, per_file_ignores=_under(path.parent, config.per_file_ignores))
    variables = os.environ if environment is None else environment
    config = replace(config, **_from_environment(variables))
    return with_flags(flags, config)


def with_flags(flags: Mapping[str, Any], config: Config | None = None) -> Config:
    """Return a configuration, the default one if none is given, with what was typed.

    Raises:
        UsageError: a value is unknown.
    """
    given = {_dashed(name): value for name, value in flags.items() if value is not None}
    return replace(config or Config(), **_checked(given, "--"))


def _nearest_pyproject(start: Path) -> Path | None:
    start = start.resolve()
    candidates = (folder / "pyproject.toml" for folder in (start, *start.parents))
    return next((path for path in candidates if path.exists()), None)


def _table(path: Path, *, required: bool) -> Mapping[str, Any]:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib  # type: ignore[no-redef]

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are both
        raise UsageError(f"{path} is not valid TOML: {error}") from None
    tool = document.get("tool", {})
    if required and path.name != "pyproject.toml" and "tool" not in document:
        return document
    table = tool.get("traindoctor", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise UsageError(f"[tool.traindoctor] in {path} is not a table")
    return table


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in sorted(name for name in environment if name.startswith(_PREFIX)):
        key = _dashed(name[len(_PREFIX) :].lower())
        if key in _TABLES or key not in _READERS:
            known = [_PREFIX + k.replace("-", "_").upper() for k in _READERS if k not in _TABLES]
            raise UsageError(f"unknown environment variable {name}{nearest(name, known)}")
        text = environment[name]
        lists = key in ("select", "extend-select", "ignore", "report")
        values[key] = [part.strip() for part in text.split(",") if part.strip()] if lists else text
    return _checked(values, "the environment")


def _checked(table: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Turn a table's values into those of `Config`, by field name."""
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in _READERS:
            raise UsageError(f"unknown setting {key!r} in {source}{nearest(key, list(_READERS))}")
        try:
            values[key.replace("-", "_")] = _READERS[key](value)
        except ValueError as error:
            where = f"--{key}" if source == "--" else f"{key!r} in {source}"
            raise UsageError(f"{where} {error}") from None
    return values


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _words(value: object) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError(f"takes a list of words, not {value!r}")
    return tuple(part.strip() for item in items for part in item.split(",") if part.strip())


def _one_of(known: tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in known:
            hint = nearest(str(value), known)
            raise ValueError(f"is {value!r}, which it cannot be{hint}")
        return str(value)

    return read


def _path(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f"takes a file name, not {value!r}")
    return Path(value)


def _paths(value: object) -> tuple[Path, ...]:
    return tuple(_path(item) for item in (value if isinstance(value, list | tuple) else [value]))


def _seconds(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, int | float | str) else -1.0
    except ValueError:
        seconds = -1.0
    if isinstance(value, bool) or not 0 <= seconds < float("inf"):
        raise ValueError(f"takes a number of seconds, 0 for no limit, not {value!r}")
    return seconds


def _flag(value: object) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    found = value if isinstance(value, bool) else words.get(str(value).lower())
    if found is None:
        raise ValueError(f"takes true or false, not {value!r}")
    return found


def _probe_tables(value: object) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(table, dict) for table in value.values()):
        raise ValueError("holds one table for each probe: [tool.traindoctor.probes.<name>]")
    return value


def _ignores(value: object) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise ValueError('holds one list of rules for each pattern, as in "tests/**" = ["TD5"]')
    return {pattern: _words(words) for pattern, words in value.items()}


def _under(folder: Path, ignores: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return patterns of absolute paths; one without a slash means files of that name anywhere."""
    home = escape(folder.resolve().as_posix())
    return {
        f"{home}/{pattern}" if "/" in pattern else f"*/{pattern}": words
        for pattern, words in ignores.items()
    }


_TABLES = ("probes", "per-file-ignores")  # which no single variable can hold
_READERS: Mapping[str, Callable[[object], Any]] = {
    "select": _words,
    "extend-select": _words,
    "ignore": _words,
    "fail-on": _one_of(FAIL_ON),
    "format": _one_of(tuple(RENDERERS)),
    "output": _path,
    "report": _paths,
    "baseline": _path,
    "timeout": _seconds,
    "budget": _seconds,
    "restore": _flag,
    "probes": _probe_tables,
    "per-file-ignores": _ignores,
}
