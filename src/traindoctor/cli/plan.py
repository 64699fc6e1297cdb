"""What a command line asks of the worker: which probes, which rules, which settings."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, get_type_hints

from traindoctor.cli.flags import Flags
from traindoctor.codec import decode
from traindoctor.config import Config
from traindoctor.errors import RAISED_BY_USERS, UsageError, nearest
from traindoctor.probing.probe import Probe
from traindoctor.probing.rule import Rule
from traindoctor.selection import select_rules
from traindoctor.worker.job import Job

if TYPE_CHECKING:
    from traindoctor.experiments import Experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class Focus:
    """The one experiment, or the family of rules, that a command is about.

    Attributes:
        experiment: its name.
        settings: what to change about it.
        is_sole: leave out probes that ask for any other experiment which trains.
        rules: take the probes of the codes that begin so, whatever they ask for.
        options: settings of probes, by their names.
        words: the command's own options as typed, for the command line that proves a fix.
    """

    experiment: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_sole: bool = False
    rules: str = ""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    words: tuple[str, ...] = ()

    def covers(self, probe: Probe, asked: Sequence[Experiment]) -> bool:
        """Tell whether a probe that asks for these experiments belongs to the command."""
        if self.rules:
            return any(rule.code.startswith(self.rules) for rule in probe.rules)
        names = {item.name for item in asked if item.cost}
        return names == {self.experiment} if self.is_sole else self.experiment in names


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The job, its probes, and those that must pass for the verdict "healthy"."""

    job: Job
    probes: tuple[Probe, ...]
    required: frozenset[str]
    reference: str
    verify: str


def plan(
    command: str,
    flags: Flags,
    config: Config,
    probes: Sequence[Probe],
    rules: Mapping[str, Rule],
    focus: Focus | None = None,
) -> Plan:
    """Return what is to be done.

    Args:
        command: check or one of its kin.
        flags: what was typed.
        config: flags, environment and file together.
        probes: every probe there is.
        rules: every rule there is, by code.
        focus: narrows it to one experiment.

    Raises:
        UsageError: the command line or the configuration asks for what there is not.
    """
    _check_target(command, flags)
    options = checked_options(config.probes, probes)
    for name, settings in focus.options.items() if focus else ():
        options[name] = options.get(name, {}) | dict(settings)
    codes = select_rules(
        rules, select=config.select, extend_select=config.extend_select, ignore=config.ignore
    )
    chosen = tuple(
        probe
        for probe in probes
        if any(rule.code in codes for rule in probe.rules)
        and (focus is None or focus.covers(probe, _asked(probe, options)))
    )
    if not chosen:
        raise UsageError(f"`traindoctor {command}` examines none of the selected rules")
    return Plan(
        job=Job(
            reference=flags.target,
            arguments=_arguments(flags.arg or []),
            model=flags.model,
            data=flags.data,
            probes=tuple(probe.name for probe in chosen),
            rules=tuple(sorted(codes)),
            options=options,
            experiment_settings={focus.experiment: dict(focus.settings)}
            if focus and focus.experiment
            else {},
            restore=config.restore,
            silent=silent_codes(config, rules),
            budget=config.budget,
        ),
        probes=chosen,
        required=frozenset(probe.name for probe in probes if probe.core),
        reference=flags.target or f"{flags.model} + {flags.data}",
        verify=_again(command, flags, focus.words if focus else ()),
    )


def silent_codes(config: Config, rules: Mapping[str, Rule]) -> dict[str, tuple[str, ...]]:
    """Return the codes of `per-file-ignores`, by patterns of absolute paths."""
    return {
        pattern: tuple(sorted(select_rules(rules, select=words)))
        for pattern, words in config.per_file_ignores.items()
    }


def _check_target(command: str, flags: Flags) -> None:
    named = bool(flags.model), bool(flags.data)
    if flags.target is None and not any(named):
        raise UsageError(f"name a target, as in `traindoctor {command} train.py:setup`")
    if flags.target is not None and any(named):
        raise UsageError("name a target, or --model and --data, not both")
    if any(named) and not all(named):
        raise UsageError("--model and --data go together, each naming a factory")


def _asked(probe: Probe, options: Mapping[str, Mapping[str, Any]]) -> tuple[Experiment, ...]:
    try:
        return probe.planned(options.get(probe.name, {}))
    except RAISED_BY_USERS:  # which the run will tell
        return ()


def _arguments(pairs: Sequence[str]) -> dict[str, str]:
    arguments = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"--arg takes KEY=VALUE, not {pair!r}")
        arguments[key] = value
    return arguments


def _again(command: str, flags: Flags, own: Sequence[str]) -> str:
    """Return the command line without what only shapes its output."""
    words = ["traindoctor", command, *([flags.target] if flags.target else [])]
    for name, value in (("--model", flags.model), ("--data", flags.data)):
        words += [name, value] if value else []
    for pair in flags.arg or []:
        words += ["--arg", pair]
    return shlex.join([*words, *own]) + " --select CODE"


def checked_options(
    tables: Mapping[str, Mapping[str, Any]], probes: Sequence[Probe]
) -> dict[str, dict[str, Any]]:
    """Return the settings of probes, each of the type that its probe declares."""
    known = {probe.name: probe for probe in probes}
    checked: dict[str, dict[str, Any]] = {}
    for name, table in tables.items():
        if name not in known:
            raise UsageError(f"there is no probe {name!r}{nearest(name, list(known))}")
        example = known[name].options()
        hints = get_type_hints(type(example))
        settings = {item.name: item for item in fields(example)}
        for written, value in table.items():
            key = written.replace("-", "_")
            if key not in settings:
                hint = nearest(key, list(settings))
                raise UsageError(f"the probe {name} has no setting {key!r}{hint}")
            checked.setdefault(name, {})[key] = _option(name, settings[key], hints[key], value)
    return checked


def _option(probe: str, item: Field[Any], kind: Any, value: Any) -> Any:
    try:
        return decode(kind, value)
    except ValueError as error:
        default = "" if item.default is MISSING else f" (default: {item.default!r})"
        raise UsageError(f"the probe {probe}'s setting {item.name}: {error}{default}") from None
