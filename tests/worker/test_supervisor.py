from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from traindoctor.probing.events import (
    ExperimentEnded,
    LoadFailed,
    ProbeEnded,
    RunEnded,
    TargetLoaded,
)
from traindoctor.probing.probe import Probe
from traindoctor.worker.job import Job
from traindoctor.worker.supervisor import Supervisor, WorkerFailed

ACTOR = Path(__file__).with_name("actor.py")
TOKEN = f"actor_of={os.getpid()}"  # tells our actors from those of tests beside us
COMMAND = (sys.executable, "-X", TOKEN, str(ACTOR))
SICK_LINES = {
    line.rpartition("sick line: ")[2]: number
    for number, line in enumerate(ACTOR.read_text().splitlines(), start=1)
    if "the sick line: " in line and line.startswith("    ")
}


def supervise(*probes: str, target: str = "fine", timeout: float = 0.0, **more):
    """Play scenes; return the supervisor and its events."""
    supervisor = Supervisor(
        Job(reference=target, probes=probes),
        [
            Probe(name=name, doc="", rules=(), examine=None, experiments=None)  # type: ignore[arg-type]  # never called here
            for name in probes
        ],
        timeout=timeout,
        command=COMMAND,
        **more,
    )
    return supervisor, list(supervisor.events())


def ended(events):
    return {event.name: event for event in events if isinstance(event, ProbeEnded)}


DEATHS = {
    "segfault": "killed by signal 11 (SIGSEGV)",
    "leave": "called os._exit(3)",
    "shoot": "sent itself signal 9 (SIGKILL)",
    "quit_politely": "raised SystemExit(0)",
    "exhaust": "raised MemoryError",
}
HANGS = {"loop": 1.0, "stall": 1.0, "hang_in_c": 1.0}


@pytest.mark.parametrize("scene", [*DEATHS, *HANGS])
def test_a_death_names_its_cause_its_line_and_its_experiment_and_the_others_run(scene):
    _, events = supervise("before", scene, "after", timeout=HANGS.get(scene, 0.0))

    probes = ended(events)
    cause = DEATHS.get(scene, "gave no sign of life for 1 s")
    where = f"{ACTOR}:{SICK_LINES[scene]} in {scene}"
    assert probes[scene].status == "errored"
    assert probes[scene].reason == f"{cause} at {where}, while `run` ran"
    assert probes["before"].status == "passed"
    assert probes["after"].status == "skipped"  # it asks for the experiment that killed
    assert cause in probes["after"].reason
    assert [event.status for event in events if isinstance(event, ExperimentEnded)] == ["failed"]
    assert [type(event) for event in events].count(TargetLoaded) == 1
    assert isinstance(events[-1], RunEnded)


def test_a_death_outside_any_experiment_blocks_none():
    _, events = supervise("bare-leave", "segfault")

    probes = ended(events)
    assert "while" not in probes["bare-leave"].reason
    assert "SIGSEGV" in probes["segfault"].reason


@pytest.mark.parametrize("scene", ["segfault", "leave", "shoot", "quit_politely", "loop"])
def test_a_target_that_dies_while_it_loads_is_named_with_its_line(scene):
    _, events = supervise("one", "two", target=scene, timeout=HANGS.get(scene, 0.0))

    failure = next(event for event in events if isinstance(event, LoadFailed))
    assert f"{ACTOR}:{SICK_LINES[scene]} in {scene}" in failure.message
    assert {probe.status for probe in ended(events).values()} == {"skipped"}
    assert set(ended(events)) == {"one", "two"}


def test_a_target_that_cannot_be_loaded_skips_every_probe_with_that_reason():
    _, events = supervise("one", "two", target="missing")

    assert [type(event) for event in events] == [LoadFailed, ProbeEnded, ProbeEnded, RunEnded]
    assert {event.reason for event in events[1:3]} == {"there is no such file"}


def test_slow_work_that_gets_on_is_not_taken_for_a_hang():
    _, events = supervise("crawl", timeout=1.0)

    assert ended(events)["crawl"].status == "passed"


def test_output_is_drained_kept_apart_from_messages_and_handed_on():
    printed = bytearray()

    _, events = supervise("flood", "after", on_output=printed.extend)

    assert {probe.status for probe in ended(events).values()} == {"passed"}
    assert printed.count(b"rubbish") == 40_000
    assert bytes(range(256)) in printed


def test_a_question_on_stdin_finds_nobody_there():
    printed = bytearray()

    _, events = supervise("question", on_output=printed.extend)

    assert ended(events)["question"].status == "passed"
    assert b"nobody answered" in printed


def test_the_last_lines_printed_before_a_death_are_kept():
    supervisor, _ = supervise("flood", "bare-leave")

    assert len(supervisor.last_output.splitlines()) <= 8
    assert len(supervisor.last_output) < 300_000


def test_our_own_failure_while_loading_is_no_fault_of_the_target():
    with pytest.raises(WorkerFailed, match="RuntimeError\\(ours\\)"):
        supervise("one", target="bug")


def test_children_of_a_dead_worker_are_gone():
    supervise("spawn_child")

    assert are_gone()


def test_a_thread_that_outlives_the_run_does_not_hold_it_up(monkeypatch):
    monkeypatch.setattr("traindoctor.worker.process.GRACE_SECONDS", 0.3)
    start = time.monotonic()
    _, events = supervise("linger")

    assert ended(events)["linger"].status == "passed"
    assert time.monotonic() - start < 30  # the thread sleeps for 60 s


def test_closing_the_events_ends_the_worker():
    supervisor = Supervisor(
        Job(probes=("loop",)),
        [Probe(name="loop", doc="", rules=(), examine=None, experiments=None)],  # type: ignore[arg-type]  # never called here
        command=COMMAND,
    )
    events = supervisor.events()
    next(events)
    assert running()

    events.close()

    assert are_gone()


def running() -> list[str]:
    """Return the command lines of this test process's actors and their children."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode()  # empty for a zombie
        except OSError:  # it ended meanwhile
            continue
        if TOKEN in command:
            found.append(command)
    return found


def are_gone() -> bool:
    """Tell whether no actor is left, giving the killed a moment to die."""
    deadline = time.monotonic() + 10
    while running() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running()
