"""Reports on what a trace holds, of a run that is over or was cut off."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from traindoctor.cli.delivery import Delivery
from traindoctor.cli.examination import SETTINGS, say
from traindoctor.cli.flags import Flags
from traindoctor.cli.known import known_to
from traindoctor.cli.plan import checked_options, silent_codes
from traindoctor.config import Config, load_config
from traindoctor.errors import TargetError, UsageError
from traindoctor.probing.events import Event
from traindoctor.probing.registry import all_probes, all_rules, broken_providers
from traindoctor.report.assemble import Occasion, assemble
from traindoctor.report.outcome import USAGE, exit_code
from traindoctor.report.record import Report
from traindoctor.selection import select_rules
from traindoctor.trace.storage import StoredTraces
from traindoctor.watching.archive import Archive
from traindoctor.watching.joined import judged_together
from traindoctor.watching.judge import Bench
from traindoctor.watching.meeting import lost_among
from traindoctor.watching.record import RUN
from traindoctor.watching.shelf import latest
from traindoctor.worker.blackbox import signal_name


def report_on(flags: Flags, paths: Sequence[Path]) -> int:
    """Judge a trace, or those of runs that went on from each other, and deliver the report.

    Returns the exit code.

    Raises:
        TargetError: there is no such trace.
        UsageError: the traces are not of one script's runs.
    """
    found = paths[-1] if paths else latest()
    if found is None:
        raise TargetError("no run has left a trace behind; name one")
    _check_runs(paths)
    config = configured(flags)
    delivery = Delivery(config, verbosity(flags))
    delivery.check()
    known = known_to(config)
    facts = StoredTraces(found).facts(RUN)
    judged = reported(
        found,
        bench_of(config),
        str(facts.get("reference", found)),
        str(facts.get("verify", "")),
        shlex.join(["traindoctor", *sys.argv[1:]]),
        float((facts.get("overhead") or {}).get("run_seconds", 0.0)),
        None,
        paths[:-1],
    )
    report = known(judged)
    if not delivery.deliver(report):
        return USAGE
    return 0 if flags.exit_zero else exit_code(report, config.fail_on)


def reported(
    path: Path,
    bench: Bench,
    reference: str,
    verify: str,
    command: str,
    seconds: float,
    status: int | None,
    before: Sequence[Path] = (),
) -> Report:
    """Return the report on what a trace holds; `status` is how the script ended, if known.

    `before` are the traces of the runs that this one went on from, in their order.
    """
    events: list[Event] = []
    required: frozenset[str] = frozenset()
    try:
        archive = Archive(StoredTraces(path))
    except TargetError as error:  # it ended before anything was written, or nothing could be
        say(f"nothing is known of the run: {error}")
        archive = None
    if archive is not None:
        archive.lend_source()
        earlier = [Archive(StoredTraces(one)) for one in before]
        events = judged_together(bench, [*earlier, archive], reference)
        required = bench.required(archive)
        for trouble in archive.run.facts.get("troubles", ()):
            say(f"an instrument failed and was left out: {trouble}")
    report = assemble(
        events,
        Occasion(
            reference=reference,
            command=command,
            verify=verify,
            duration_seconds=seconds,
            required=required,
        ),
    )
    seen = _seen(archive, status)
    report = replace(report, measurements=report.measurements | {"seen": seen})
    is_cut_short = seen["raised"] or seen["lost"]  # who knows what would have come of it
    if is_cut_short and report.verdict == "healthy":
        return replace(report, verdict="inconclusive")
    return report


def _check_runs(paths: Sequence[Path]) -> None:
    """Refuse to join what does not belong together."""
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("a trace is named twice; name each run once, in their order")
    scripts = [str(StoredTraces(path).facts(RUN).get("reference", "")) for path in paths]
    for path, script in zip(paths, scripts, strict=True):
        if script != scripts[0]:
            raise UsageError(
                f"{paths[0]} is of {scripts[0]} and {path} of {script}; only runs of one script "
                "are joined"
            )


def _seen(archive: Archive | None, status: int | None) -> dict[str, Any]:
    """Return what there was to see, for a run in which that was little."""
    run = archive.run if archive is not None else None
    facts = run.facts if run is not None else {}
    ranks = archive.ranks.ranks if archive is not None and archive.ranks is not None else ()
    ended = "" if status is None or status >= 0 else f"killed by {signal_name(-status)}"
    return {
        "torch": bool(facts.get("environment")),
        "batches": facts.get("num_batches", 0),
        "forwards": facts.get("num_forwards", 0),
        "backwards": facts.get("num_passes", 0),
        "steps": facts.get("num_steps", 0),
        "status": facts.get("status", 0),
        "ended": ended or str(facts.get("state", "")),
        "raised": run.exceptions[-1].told if run is not None and run.exceptions else "",
        "lost": lost_among(ranks),
    }


def bench_of(config: Config) -> Bench:
    """Return who judges, as the settings have it."""
    for provider, reason in broken_providers():
        say(f"the probes of {provider!r} are left out: {reason}")
    probes, rules = all_probes(), all_rules()
    codes = select_rules(
        rules, select=config.select, extend_select=config.extend_select, ignore=config.ignore
    )
    chosen = tuple(p for p in probes if any(rule.code in codes for rule in p.rules))
    return Bench(
        probes=chosen,
        rules=codes,
        options=checked_options(config.probes, probes),
        silent=silent_codes(config, rules),
    )


def configured(flags: Flags) -> Config:
    """Return the settings: of the command line, else of the project."""
    given = {name: getattr(flags, name) for name in SETTINGS}
    return load_config(given, file=flags.config)


def verbosity(flags: Flags) -> int:
    """Return how much is to be said; 0 is the usual."""
    return int(flags.verbose) - int(flags.quiet)
