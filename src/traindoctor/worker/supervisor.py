"""Has a job done by workers: when one dies, the next goes on with what is left."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

from traindoctor.errors import TrainDoctorError
from traindoctor.probing.events import (
    Event,
    ExperimentEnded,
    ExperimentStarted,
    FindingMade,
    LoadFailed,
    ProbeEnded,
    ProbeStarted,
    RunEnded,
    TargetLoaded,
)
from traindoctor.probing.probe import Probe
from traindoctor.probing.runner import ended
from traindoctor.worker.job import Job
from traindoctor.worker.messages import Message, Ready
from traindoctor.worker.obituary import Obituary, obituary
from traindoctor.worker.process import COMMAND, WorkerProcess


class WorkerFailed(TrainDoctorError):
    """Traindoctor itself failed in the worker, before anything was examined."""


@dataclass(slots=True)
class _Course:
    """How far the job is, over all workers."""

    left: dict[str, Probe]  # probes that have not ended, by name
    was_loaded: bool = False  # by any worker
    is_loaded: bool = False  # by this one
    probe: str | None = None
    experiment: ExperimentStarted | None = None
    unavailable: dict[str, str] = field(default_factory=dict)

    def follow(self, event: Event) -> None:
        if isinstance(event, TargetLoaded):
            self.was_loaded = self.is_loaded = True
        elif isinstance(event, ProbeStarted):
            self.probe = event.name
        elif isinstance(event, ProbeEnded):
            self.probe = None
            del self.left[event.name]
        elif isinstance(event, ExperimentStarted):
            self.experiment = event
        elif isinstance(event, ExperimentEnded):
            self.experiment = None

    def expects(self, message: Message) -> bool:
        """Tell whether a worker has such a thing to say now; user code may speak in its name."""
        if isinstance(message, ProbeStarted | ProbeEnded):
            return message.name in self.left
        if isinstance(message, FindingMade):
            probe = self.left.get(message.probe)
            return probe is not None and message.finding.code in {r.code for r in probe.rules}
        return not (isinstance(message, RunEnded) and self.left)

    def start_over(self) -> None:
        """Forget what died with a worker."""
        self.is_loaded, self.probe, self.experiment = False, None, None


class Supervisor:
    """Runs a job and says what happens.

    Args:
        job: what to do; its probes are filled in.
        probes: what runs.
        timeout: seconds without a sign of life after which a worker counts as hung; 0: never.
        on_output: takes what user code prints, as it prints it.
        command: starts a worker; three descriptors are appended.
    """

    def __init__(
        self,
        job: Job,
        probes: Sequence[Probe],
        *,
        timeout: float = 0.0,
        on_output: Callable[[bytes], None] = lambda _: None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.job, self.probes = job, tuple(probes)
        self.timeout, self.on_output, self.command = timeout, on_output, command
        self.last_output = ""  # the last lines that a dead worker printed

    def events(self) -> Generator[Event, None, None]:
        """Yield events until every probe is accounted for; close it to end everything early.

        Raises:
            WorkerFailed: traindoctor itself failed before the target was loaded.
        """
        course = _Course({probe.name: probe for probe in self.probes})
        while course.left:
            course.start_over()
            failure = yield from self._one_worker(course)
            if failure is None:
                return
            if isinstance(failure, LoadFailed):
                yield from _give_up(failure, course)
            else:
                yield from self._bury(failure, course)
        yield RunEnded()

    def _one_worker(self, course: _Course) -> Generator[Event, None, Obituary | LoadFailed | None]:
        """Yield what a worker says; return what went wrong, or None."""
        job = replace(self.job, probes=tuple(course.left), unavailable=dict(course.unavailable))
        with WorkerProcess(
            job, timeout=self.timeout, on_output=self.on_output, command=self.command
        ) as worker:
            for message in worker.messages():
                if isinstance(message, LoadFailed):
                    return message
                if not course.expects(message):
                    worker.is_garbled, worker.has_ended = True, False
                    break
                is_news = not (isinstance(message, TargetLoaded) and course.was_loaded)
                if not isinstance(message, Ready | RunEnded):
                    course.follow(message)
                    if is_news:
                        yield message
            worker.end()
            if worker.has_ended:
                yield RunEnded()
                return None
            return obituary(worker)

    def _bury(self, death: Obituary, course: _Course) -> Iterator[Event]:
        """Say what died with a worker, so that the next one leaves it alone."""
        self.last_output = death.last_output
        if not course.is_loaded:
            if death.is_ours:
                raise WorkerFailed(f"the worker {death.sentence()}\n{death.last_output}")
            message = f"the target could not be loaded: {death.sentence()}"
            yield from _give_up(LoadFailed(message=message), course)
            return
        reason = death.sentence(course.experiment.name if course.experiment else "")
        if course.experiment is not None:
            course.unavailable[course.experiment.key] = reason
            yield ExperimentEnded(
                key=course.experiment.key,
                name=course.experiment.name,
                settings={},
                status="failed",
                seconds=0.0,
                steps=0,
                reason=death.sentence(),
            )
        name = course.probe or next(iter(course.left), None)
        if name is not None:  # else it died when all was said
            yield ended(course.left.pop(name), "errored", reason)


def _give_up(failure: LoadFailed, course: _Course) -> Iterator[Event]:
    """Say that nothing can be examined any more."""
    if not course.was_loaded:
        yield failure
    for name in tuple(course.left):
        yield ended(course.left.pop(name), "skipped", failure.message)
