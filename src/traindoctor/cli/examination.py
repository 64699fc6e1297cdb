"""One examination from flags to exit code: plan, supervise, assemble, deliver."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType

from traindoctor.cli.delivery import Delivery
from traindoctor.cli.flags import Flags
from traindoctor.cli.known import known_to
from traindoctor.cli.plan import Focus, Plan, plan
from traindoctor.cli.progress import progress
from traindoctor.config import load_config
from traindoctor.probing.events import Event, LoadFailed, ProbeEnded
from traindoctor.probing.registry import all_probes, all_rules, broken_providers
from traindoctor.probing.runner import ended
from traindoctor.report.assemble import Occasion, assemble
from traindoctor.report.home import working_directory
from traindoctor.report.outcome import OK, USAGE, exit_code
from traindoctor.report.renderers.page import harmless
from traindoctor.worker.supervisor import Supervisor

# The flags that the environment and pyproject.toml can set as well.
SETTINGS = (
    "select",
    "extend_select",
    "ignore",
    "fail_on",
    "format",
    "output",
    "report",
    "baseline",
    "timeout",
    "budget",
    "restore",
)
INTERRUPTED = 128 + signal.SIGINT


class Examination:
    """What one command line does.

    Args:
        command: check or one of its kin.
        flags: the shared flags.
        focus: what the command is about, if that is not everything.
    """

    def __init__(self, command: str, flags: Flags, focus: Focus | None) -> None:
        given = {name: getattr(flags, name) for name in SETTINGS}
        self.flags = flags
        self.config = load_config(given, file=flags.config)
        self.delivery = Delivery(self.config, int(flags.verbose) - int(flags.quiet))
        self.known = known_to(self.config)
        for provider, reason in broken_providers():
            say(f"the probes of {provider!r} are left out: {reason}")
        self.plan = plan(command, flags, self.config, all_probes(), all_rules(), focus)

    def run(self) -> int:
        """Examine, deliver the report, return the exit code."""
        self.delivery.check()
        start = time.monotonic()
        supervisor = Supervisor(
            self.plan.job,
            self.plan.probes,
            timeout=self.config.timeout,
            on_output=_pass_on if self.flags.verbose else lambda _: None,
        )
        events, was_interrupted = self._listen(supervisor)
        report = assemble(
            events,
            Occasion(
                reference=self.plan.reference,
                command=shlex.join(["traindoctor", *sys.argv[1:]]),
                verify=self.plan.verify,
                duration_seconds=time.monotonic() - start,
                required=self.plan.required,
            ),
        )
        report = self.known(report)
        self._tell_failure(events, supervisor.last_output)
        has_failed = any(isinstance(event, LoadFailed) for event in events)
        is_delivered = self.delivery.deliver(report, is_told=has_failed)
        if was_interrupted:
            return INTERRUPTED
        if has_failed or not is_delivered:
            return USAGE
        return OK if self.flags.exit_zero else exit_code(report, self.config.fail_on)

    def _listen(self, supervisor: Supervisor) -> tuple[list[Event], bool]:
        """Collect what happens; what was found before an interruption is kept."""
        events: list[Event] = []
        is_shown = not (self.flags.verbose or self.flags.quiet)
        try:
            with (
                _ended_by_signals(),
                closing(supervisor.events()) as stream,
                progress(is_shown) as show,
            ):
                for event in stream:
                    show(event)
                    events.append(event)
        except KeyboardInterrupt:
            return [*events, *_given_up(self.plan, events)], True
        return events, False

    def _tell_failure(self, events: list[Event], last_output: str) -> None:
        for event in events:
            if isinstance(event, LoadFailed):
                say(shown(event.message))
                if event.details:
                    print(shown(event.details), file=sys.stderr)
        if last_output and not (self.flags.verbose or self.flags.quiet):
            print("  before it died it printed:", file=sys.stderr)
            for line in shown(last_output).splitlines():
                print(f"  | {line}", file=sys.stderr)


def _given_up(todo: Plan, events: list[Event]) -> Iterator[ProbeEnded]:
    known = {event.name for event in events if isinstance(event, ProbeEnded)}
    for probe in todo.probes:
        if probe.name not in known:
            yield ended(probe, "skipped", "interrupted")


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack, so that no worker is left behind."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), leave) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def shown(text: str) -> str:
    """Return text with paths relative to the working directory, fit for a terminal."""
    return harmless(text.replace(str(working_directory()) + os.sep, ""))


def say(message: str) -> None:
    """Write a line of our own to stderr, fit for a terminal whatever it quotes."""
    print(f"traindoctor: {harmless(message)}", file=sys.stderr)


def _pass_on(printed: bytes) -> None:
    sys.stderr.buffer.write(printed)
    sys.stderr.buffer.flush()
