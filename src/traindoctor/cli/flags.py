"""The flags that `check` and its kin share, declared once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Optional, get_type_hints

import typer

_WHAT, _RULES, _OUTPUT = "Target", "Rules", "Output"


def _option(*names: str, **more: Any) -> Any:
    return typer.Option(*names, show_default=False, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What was typed; None means not."""

    target: Annotated[
        Optional[str],  # noqa: UP045  typer reads these at run time, on 3.10 too
        typer.Argument(metavar="TARGET", help="path/to/file.py:factory or package.module:factory"),
    ] = None
    arg: Annotated[
        Optional[list[str]],  # noqa: UP045
        _option("--arg", metavar="KEY=VALUE", help="An argument of the factory; repeatable."),
    ] = None
    model: Annotated[
        Optional[str],  # noqa: UP045
        _option("--model", metavar="REF", help="A factory of the model, with --data."),
    ] = None
    data: Annotated[
        Optional[str],  # noqa: UP045
        _option("--data", metavar="REF", help="A factory of the loader, with --model."),
    ] = None
    select: Annotated[
        Optional[list[str]],  # noqa: UP045
        _option("--select", metavar="RULES", help="Only these: codes, prefixes, names or ALL."),
    ] = None
    extend_select: Annotated[
        Optional[list[str]],  # noqa: UP045
        _option("--extend-select", metavar="RULES", help="These as well."),
    ] = None
    ignore: Annotated[
        Optional[list[str]],  # noqa: UP045
        _option("--ignore", metavar="RULES", help="Not these."),
    ] = None
    fail_on: Annotated[
        Optional[str],  # noqa: UP045
        _option("--fail-on", metavar="SEVERITY", help="Exit 1 from here up [default: error]."),
    ] = None
    exit_zero: Annotated[bool, _option("--exit-zero", help="Exit 0 whatever is found.")] = False
    format: Annotated[
        Optional[str],  # noqa: UP045
        _option("--format", metavar="FORMAT", help="Of the report, such as json [default: text]."),
    ] = None
    output: Annotated[
        Optional[Path],  # noqa: UP045
        _option("--output", "-o", metavar="FILE", help="Write there instead of to stdout."),
    ] = None
    report: Annotated[
        Optional[list[Path]],  # noqa: UP045
        _option("--report", metavar="FILE", help="Write a copy, by its ending; repeatable."),
    ] = None
    baseline: Annotated[
        Optional[Path],  # noqa: UP045
        _option("--baseline", metavar="REPORT", help="Only what this JSON report has not."),
    ] = None
    timeout: Annotated[
        Optional[float],  # noqa: UP045
        _option("--timeout", metavar="SECONDS", help="Without a sign of life [default: 300]."),
    ] = None
    budget: Annotated[
        Optional[float],  # noqa: UP045
        _option("--budget", metavar="SECONDS", help="For follow-up experiments [default: 60]."),
    ] = None
    restore: Annotated[
        Optional[bool],  # noqa: UP045
        _option("--restore/--no-restore", help="Keep a copy of what training changes."),
    ] = None
    config: Annotated[
        Optional[Path],  # noqa: UP045
        _option("--config", metavar="FILE", help="Instead of the nearest pyproject.toml."),
    ] = None
    verbose: Annotated[bool, _option("-v", "--verbose", help="All evidence, all output.")] = False
    quiet: Annotated[bool, _option("-q", "--quiet", help="The verdict alone.")] = False


def with_flags(command: Callable[..., None], without: Sequence[str] = ()) -> Callable[..., None]:
    """Give a command the shared flags; it takes them as one `Flags`, its own as they are.

    Args:
        command: takes a `Flags`, then keyword-only parameters of its own.
        without: flags that mean nothing to it.
    """
    shared = [parameter for parameter in _shared() if parameter.name not in without]
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]

    @functools.wraps(command)
    def flat(**values: Any) -> None:
        flags = Flags(**{parameter.name: values.pop(parameter.name) for parameter in shared})
        command(flags, **values)

    target = [p for p in shared if p.name == "target"]
    parameters = [*target, *own, *(p for p in shared if p.name != "target")]
    flat.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {}  # the signature has them all
    return flat


@functools.cache
def _shared() -> tuple[inspect.Parameter, ...]:
    """Return the flags as parameters: read once, for `--help` is to come at once."""
    hints = get_type_hints(Flags, include_extras=True)
    return tuple(
        inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=item.default,
            annotation=hints[item.name],
        )
        for item in fields(Flags)
    )
