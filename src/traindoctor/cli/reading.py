"""Reads source files with the probes that can tell something from source alone."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from traindoctor.cli.delivery import Delivery
from traindoctor.cli.examination import SETTINGS
from traindoctor.cli.flags import Flags
from traindoctor.cli.known import known_to
from traindoctor.cli.plan import silent_codes
from traindoctor.config import Config, load_config
from traindoctor.errors import RAISED_BY_USERS, UsageError, told
from traindoctor.probing.events import Event, FindingMade, Status, TargetLoaded
from traindoctor.probing.probe import Probe
from traindoctor.probing.registry import all_probes, all_rules
from traindoctor.probing.runner import ended, plain
from traindoctor.probing.suppression import Silent, complain, suppressed
from traindoctor.report.assemble import Occasion, assemble
from traindoctor.report.outcome import OK, USAGE, exit_code
from traindoctor.selection import select_rules
from traindoctor.trace import SourceRow

PASSED_OVER = {"node_modules", "build", "dist", "site-packages", "venv", "__pycache__"}


def lint_paths(flags: Flags, paths: Sequence[Path]) -> int:
    """Read files, deliver the report, return the exit code.

    Raises:
        UsageError: a path or a rule does not exist.
    """
    start = time.monotonic()
    given = {name: getattr(flags, name) for name in SETTINGS}
    config = load_config(given, file=flags.config, defaults=Config(fail_on="warning"))
    delivery = Delivery(config, int(flags.verbose) - int(flags.quiet))
    delivery.check()
    known, rules = known_to(config), all_rules()
    codes = select_rules(
        rules, select=config.select, extend_select=config.extend_select, ignore=config.ignore
    )
    probes = [p for p in all_probes() if p.lint and any(rule.code in codes for rule in p.rules)]
    files = list(dict.fromkeys(source_files(paths)))
    reference = shlex.join(map(str, paths))
    events: list[Event] = [
        TargetLoaded(
            kind="source",
            reference=reference,
            model_class="",
            num_parameters=0,
            num_trainable=0,
            data={"files": len(files)},
        )
    ]
    events += read(files, probes, codes, silent_codes(config, rules))
    report = known(
        assemble(
            events,
            Occasion(
                reference=reference,
                command=shlex.join(["traindoctor", *sys.argv[1:]]),
                verify=f"traindoctor lint {reference} --select CODE",
                duration_seconds=time.monotonic() - start,
                required=frozenset(),
            ),
        )
    )
    if not delivery.deliver(report):
        return USAGE
    return OK if flags.exit_zero else exit_code(report, config.fail_on)


def source_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the Python files that paths name, those of folders in order.

    Raises:
        UsageError: there is no such path.
    """
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no file or folder {path}")
        if path.is_file():
            yield path.absolute()
            continue
        for folder, folders, names in os.walk(path.absolute()):
            folders[:] = sorted(f for f in folders if f[0] != "." and f not in PASSED_OVER)
            yield from (Path(folder, name) for name in sorted(names) if name.endswith(".py"))


def read(
    files: Iterable[Path], probes: Sequence[Probe], codes: frozenset[str], silent: Silent
) -> Iterator[Event]:
    """Yield what the probes find in files, and that they have ended."""
    spent: dict[str, float] = dict.fromkeys((probe.name for probe in probes), 0.0)
    failed: set[str] = set()
    broken: dict[str, str] = {}
    for file in files:  # a file is parsed once, for all probes
        row = SourceRow(file=str(file), text=file.read_text(encoding="utf-8", errors="replace"))
        for probe in probes:
            start = time.monotonic()
            try:
                found = list(map(plain, probe.lint(row))) if probe.lint else []
            except RAISED_BY_USERS as error:  # a probe is foreign code: the others go on
                found, broken[probe.name] = [], told(error)
            spent[probe.name] += time.monotonic() - start
            for finding in found:
                if finding.code in codes:
                    silenced = suppressed(finding, silent)
                    failed |= set() if silenced else {probe.name}
                    yield silenced or FindingMade(probe=probe.name, finding=complain(finding))
    for probe in probes:
        status: Status = "failed" if probe.name in failed else "passed"
        if probe.name in broken:
            status = "errored"
        yield ended(probe, status, broken.get(probe.name, ""), spent[probe.name])
