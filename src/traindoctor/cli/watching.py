"""One watched run from flags to exit code: start, look on, judge, deliver."""

from __future__ import annotations

import os
import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path

from traindoctor.cli.delivery import Delivery
from traindoctor.cli.examination import INTERRUPTED, say, shown
from traindoctor.cli.flags import Flags
from traindoctor.cli.known import known_to
from traindoctor.cli.processes import check_number, engine, termination_noted
from traindoctor.cli.recorded import bench_of, configured, reported, verbosity
from traindoctor.errors import TargetError, UsageError, nearest
from traindoctor.probing.finding import Finding
from traindoctor.report.outcome import FOUND, NOT_OBSERVED, USAGE, exit_code
from traindoctor.report.record import Report
from traindoctor.target.processes import this_rank
from traindoctor.trace.storage import StoredTraces
from traindoctor.watching.archive import Archive
from traindoctor.watching.child import Child, die_of
from traindoctor.watching.lookout import Lookout
from traindoctor.watching.meeting import (
    first_failure,
    note_end,
    remove_trace,
    remove_traces,
    trace_of,
    wait_for_others,
)
from traindoctor.watching.orders import Orders
from traindoctor.watching.shelf import new_trace
from traindoctor.watching.starting_point import starting_point
from traindoctor.watching.vigil import Vigil


class Watching:
    """What `traindoctor watch` does.

    Args:
        flags: the shared flags.
        script: a path, or a module's name.
        arguments: the script's own.
        is_module: the script is a module.
        budget: share of the run's time for watching.
        trace: where what is recorded is kept; None: nowhere, if all goes well.
        stop_on: end the run at the first finding of this severity.
        factory: where the beginning of a factory for `check` is written.
        nproc: as how many processes the script runs; None: as it is started.

    Raises:
        UsageError: the command line asks for what there is not.
    """

    def __init__(
        self,
        flags: Flags,
        script: str,
        arguments: tuple[str, ...],
        is_module: bool,
        *,
        budget: float,
        trace: Path | None,
        stop_on: str | None,
        factory: Path | None = None,
        nproc: int | None = None,
    ) -> None:
        _check_script(script, is_module)
        check_number(nproc)
        if stop_on not in (None, "critical"):
            raise UsageError(f"--stop-on takes critical, not {stop_on!r}")
        self.flags, self.config = flags, configured(flags)
        self.stops, self.is_kept = stop_on is not None, trace is not None
        self.factory, self.nproc, self.rank = factory, nproc, this_rank()
        if factory is not None and factory.exists():
            raise UsageError(f"there is a file {factory} already; name another for the factory")
        self.delivery = Delivery(self.config, verbosity(flags), sys.stderr)
        self.bench = bench_of(self.config)
        self.known = known_to(self.config)
        self.reference = script
        words = [*(["-m"] if is_module else []), script, *arguments]
        number = nproc if self.rank is None else self.rank.local_world_size
        watch = "traindoctor watch" + (f" --nproc {number}" if number else "")
        self.verify = f"{watch} --select CODE {shlex.join(words)}"
        self.delivery.check()
        self.trace = (trace or new_trace(script, self.rank)).absolute()
        self.own_trace = trace_of(self.trace, self.rank)
        if trace is None:
            remove_trace(self.own_trace)  # of an earlier run that had the same name
        if self.own_trace.exists():
            raise UsageError(f"there is a file {trace} already; name another for the trace")
        self.orders = Orders(
            script=script,
            arguments=arguments,
            is_module=is_module,
            trace=str(self.trace),
            budget=budget,
            watcher=0 if nproc else os.getpid(),
            verify=self.verify,
        )

    def run(self) -> int:
        """Run the script to its end, deliver the report, return the exit code."""
        start = time.monotonic()
        child = Child(self.orders, engine(self.nproc) if self.nproc else ())
        if self.rank is not None and self.rank.local_rank:
            return self._recorded(child)

        def announce(finding: Finding) -> None:
            with suppress(OSError):  # nobody reads it any more
                if not self.flags.quiet:
                    _announce(finding)
            if self.stops:
                child.stop()

        vigil = Vigil(self.trace, self.bench, self.reference, announce)
        lookout = Lookout(self.trace, _say_at_once)

        def look() -> None:
            vigil.look()
            if not (self.flags.quiet or child.was_asked):
                lookout.look()

        status = child.wait(look)
        trouble = vigil.trouble or lookout.trouble
        if trouble:
            say(f"the run was not looked at to its end: {trouble}")
        with termination_noted() as asked:
            if self.rank is not None:
                note_end(self.trace, status)
                wait_for_others(self.trace, self.rank, lambda: bool(status or asked))
            elif self.nproc:
                status = first_failure(self.trace) or status
            try:
                code = self._delivered(start, status)
            except KeyboardInterrupt:
                say(f"interrupted; `traindoctor report {self.trace}` tells what was seen")
                code = INTERRUPTED
        return FOUND if child.was_stopped else self._code(code, status)

    def _recorded(self, child: Child) -> int:
        """Let the script end: the first process of this machine reports on it."""
        status = child.wait(lambda: None)
        note_end(self.own_trace, status)
        return self._code(0, status)

    def _delivered(self, start: float, status: int) -> int:
        """Deliver the report, and return the exit code of a script that ended well."""
        report = self.known(self._report(time.monotonic() - start, status))
        is_delivered = self.delivery.deliver(report)
        if self.factory is not None:
            self._begin_factory(self.factory)
        if not self.is_kept:
            remove_traces(self.trace)
        if not is_delivered:
            return USAGE
        if self.flags.exit_zero:
            return 0
        code = exit_code(report, self.config.fail_on)
        return code or (0 if _was_training(report) else NOT_OBSERVED)

    def _report(self, seconds: float, status: int) -> Report:
        command = shlex.join(["traindoctor", *sys.argv[1:]])
        return reported(
            self.trace, self.bench, self.reference, self.verify, command, seconds, status
        )

    def _begin_factory(self, path: Path) -> None:
        try:
            archive = Archive(StoredTraces(self.trace))
            text = starting_point(archive.opening, archive.first_step, str(path))
            path.write_text(text, encoding="utf-8")
        except (TargetError, OSError) as error:
            say(f"cannot write {path}: {error}")
            return
        say(f"{path} is the beginning of a factory; `traindoctor check {path}:setup` examines it")

    def _code(self, code: int, status: int) -> int:
        """Return the script's own exit status if it failed, else the given code."""
        if status < 0:
            die_of(-status)
            return 128 - status
        return status or code


def _was_training(report: Report) -> bool:
    """Tell whether steps were seen, or weights that are moved by hand."""
    seen = report.measurements.get("seen", {})
    return bool(seen.get("steps") or (seen.get("backwards") and report.verdict == "healthy"))


def _announce(finding: Finding) -> None:
    """Say what a look at the run has shown, on a line of our own."""
    place = str(finding.location)
    where = f" at {place}" if place else ""
    text = f"{finding.severity.value.upper()} {finding.code} {finding.name}{where}"
    _say_at_once(f"{text}: {finding.title}")


def _say_at_once(text: str) -> None:
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""  # a progress bar draws itself again
    print(f"{clear}traindoctor: {shown(text)}", file=sys.stderr, flush=True)


def _check_script(script: str, is_module: bool) -> None:
    path = Path(script)
    if is_module or path.is_file():
        return
    if path.is_dir():
        raise UsageError(f"{script} is a folder; name the script in it")
    folder = path.parent
    there = [str(folder / p.name) for p in folder.glob("*.py")] if folder.is_dir() else []
    raise UsageError(f"there is no script {script}{nearest(script, there)}")
