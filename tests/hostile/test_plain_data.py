"""What our own process reads is data that anybody may have written: pipes and traces."""

from __future__ import annotations

import json
import pickle
import random
import sqlite3
import sys
from pathlib import Path

import pytest
from tests.hostile.commands import valid

from traindoctor.cli.recorded import reported
from traindoctor.codec import dumps
from traindoctor.errors import TargetError
from traindoctor.probing.events import ProbeEnded, RunEnded
from traindoctor.probing.registry import all_probes, all_rules
from traindoctor.trace import BatchRow, LossRow, Place, SetupRow, StepRow
from traindoctor.trace.storage import StoredTraces, TraceFile
from traindoctor.watching.judge import Bench
from traindoctor.worker.job import Job
from traindoctor.worker.supervisor import Supervisor, WorkerFailed

MODEL = {"reference": "t", "model_class": "M", "num_parameters": 1, "num_trainable": 1}
LOADED = ["TargetLoaded", MODEL]
NAME = all_probes()[0].name
ENDED = {"name": NAME, "status": "passed", "seconds": 0.0, "rules": []}
FINDING = {
    "code": "TD999", "name": "x", "severity": "error", "confidence": "certain",
    "title": "t", "message": "m",
}  # fmt: skip


class Bomb:
    def __reduce__(self):
        return (open, ("/tmp/hostile-bomb", "w"))


def line(*message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


WRITTEN = {
    "nothing": b"",
    "half a line": b'["ProbeEnded", {',
    "a pickle": pickle.dumps(Bomb()) + b"\n",
    "bytes": bytes(range(256)) * 9 + b"\n",
    "no list": b"3\n",
    "an unknown kind": line("Bomb", {}),
    "a field too many": line("RunEnded", {"x": 1}),
    "deep": b"[" * 200_000 + b"\n",
    "a long number": b"[1" + b"0" * 10_000 + b"]\n",
    "another's probe": line("ProbeEnded", ENDED | {"name": "nobody"}),
    "a status that is none": line("ProbeEnded", ENDED | {"status": "\x1b[31m"}),
    "another's rule": line("FindingMade", {"probe": NAME, "finding": FINDING}),
    "the end too early": line("RunEnded", {}),
    "no newline": b"x" * 40_000_000,
    "the same probe twice": line("ProbeEnded", ENDED) * 2,
}
CHILD = """
import os, sys
said, outbox = memoryview(open(sys.argv[1], "rb").read()), int(sys.argv[2])
sys.stdin.read()
while said:
    said = said[os.write(outbox, said):]
"""


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("is_loaded", [False, True])
def test_a_worker_that_writes_rubbish_is_named_and_nothing_is_executed(
    name: str, is_loaded: bool, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    said.write_bytes((line(*LOADED) if is_loaded else b"") + WRITTEN[name])
    probe = all_probes()[0]
    supervisor = Supervisor(
        Job(reference="t", probes=(probe.name,)),
        (probe,),
        command=(sys.executable, "-c", CHILD, str(said)),
    )
    events = list(supervisor.events())
    (ended,) = [event for event in events if isinstance(event, ProbeEnded)]
    assert isinstance(events[-1], RunEnded)
    assert ended.status in ("errored", "skipped", "passed")
    assert (ended.status == "passed") == (name == "the same probe twice")
    assert not Path("/tmp/hostile-bomb").exists()


def test_our_own_failure_is_still_told_from_rubbish(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "traindoctor.worker", "3")
    supervisor = Supervisor(Job(reference="t"), all_probes()[:1], command=command)
    try:
        events = list(supervisor.events())
    except WorkerFailed:
        return
    assert isinstance(events[-1], RunEnded)


BENCH = Bench(probes=all_probes(), rules=frozenset(all_rules()))
PLACE = Place("/nowhere/train.py", 3, "main", "loss.backward()")


def recorded(path: Path) -> Path:
    """Write a trace as a short run leaves it."""
    file = TraceFile(path)
    rows = range(12)
    file.put("long-run", "losses", [LossRow(step=i, batch=i, value=1.0, place=PLACE) for i in rows])
    file.put("long-run", "steps", [StepRow(index=i, batch=i, optimizer=0) for i in rows])
    file.put("long-run", "batches", [BatchRow(index=i, epoch=0, size=4) for i in rows])
    file.put("long-run", "setup", [SetupRow(model_class="Net", has_optimizer=True)])
    facts = {"num_steps": 12, "num_passes": 12, "num_forwards": 12, "state": "returned"}
    file.put_facts("long-run", facts | {"environment": {"torch": "2"}, "overhead": {}})
    file.close()
    return path


def told(path: Path) -> bool:
    """Tell of a trace by a valid report; False where it is one clear sentence."""
    try:
        StoredTraces(path).facts("long-run")
        report = reported(path, BENCH, "train.py", "traindoctor", "traindoctor report", 1.0, None)
    except TargetError as error:
        is_sentence = "\n" not in str(error)
        return not is_sentence and pytest.fail(str(error))
    valid(dumps(report))
    return True


def test_a_trace_as_it_is_can_be_told(tmp_path: Path) -> None:
    assert told(recorded(tmp_path / "run.trace"))


@pytest.mark.parametrize("number", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_a_trace_with_wrong_bytes_is_told_or_is_a_sentence(number: int, tmp_path: Path) -> None:
    good = recorded(tmp_path / "run.trace").read_bytes()
    chance = random.Random(number)
    for index in range(number):
        octets = bytearray(good)
        for _ in range(chance.choice((1, 20, 400))):
            octets[chance.randrange(100 if index % 4 else 0, len(octets))] = chance.randrange(256)
        path = tmp_path / f"{index}.trace"
        path.write_bytes(octets[: chance.randrange(len(octets))] if index % 5 == 0 else octets)
        assert told(path) in (True, False)


ODD = ("x", None, -1, 2**62, 1.5, b"\xff\x00", "[" * 5000, "\x1b[31m", '{"a": [null]}', "NaN")


@pytest.mark.parametrize("number", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_a_trace_with_wrong_values_is_told_or_is_a_sentence(number: int, tmp_path: Path) -> None:
    chance = random.Random(number)
    good = recorded(tmp_path / "run.trace").read_bytes()
    for index in range(number):
        path = tmp_path / f"{index}.trace"
        path.write_bytes(good)
        with sqlite3.connect(path) as connection:
            table = chance.choice(("losses", "steps", "batches", "setup"))
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")][1:]
            column = chance.choice(columns)
            connection.execute(f'UPDATE {table} SET "{column}" = ?', (chance.choice(ODD),))
        connection.close()
        assert told(path) in (True, False)
