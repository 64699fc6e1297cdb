"""What many processes leave behind and what it takes to merge that.

Traces of up to 1,024 ranks are written by the writer of real runs, with the tables and the log
that a rank has after 100,000 steps of a model of 100 tensors. In one run all ranks hold the same
bits; in the other each has its own, as if no gradient had ever been averaged, and was ended from
outside. Each number of ranks is merged and judged by a process of its own. Then: what one exchange
costs, and what a rank writes for others to be compared with, in bytes a step.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.sheet import Sheet, show

from traindoctor.instruments.call_log import SIZE, SLOTS, CallLog
from traindoctor.instruments.ranks import is_compared
from traindoctor.probing.registry import all_probes
from traindoctor.trace import CallRow, DigestRow, LoaderRow, PassRow, Place, RankRow, WrapperRow
from traindoctor.trace.storage import StoredTraces, TraceFile
from traindoctor.watching.archive import Archive
from traindoctor.watching.judge import Bench
from traindoctor.watching.meeting import calls_beside
from traindoctor.watching.record import RUN

NUMBERS = (4, 16, 64, 256, 1024)
STEPS, TENSORS, PASSES, BATCHES = 100_000, 100, 8, 16
NAMES = tuple(f"transformer.blocks.{i // 10}.layer.{i % 10}.weight" for i in range(TENSORS))
PLACE = Place("/user/train.py", 41, "main", "loss.backward()")
EQUAL, APART = "equal on all ranks", "apart on all ranks"


def write(path: Path, rank: int, world_size: int, kind: str) -> None:
    """Write what a rank leaves behind."""
    file, chance = TraceFile(path), random.Random(rank if kind == APART else 0)
    bits = lambda: tuple(chance.getrandbits(63) for _ in NAMES)  # noqa: E731  of one tensor each
    steps = [step for step in range(1, STEPS + 1) if is_compared(step)]
    file.put(
        RUN,
        "digests",
        [
            DigestRow(
                step=step,
                rank=rank,
                batch=step - 1,
                place=PLACE,
                parameters=NAMES,
                before=bits(),
                reduced=bits(),
                gradients=bits(),
                after=bits(),
                gradient_norm=1.0,
                learning_rates=(1e-3,),
            )
            for step in steps
        ],
    )
    wrapper = WrapperRow(place=PLACE, num_calls=STEPS)
    file.put(
        RUN,
        "ranks",
        [RankRow(rank=rank, local_rank=rank, world_size=world_size, wrappers=(wrapper,))],
    )
    file.put(RUN, "loaders", [LoaderRow(index=0, place=PLACE, num_samples=STEPS * 32)])
    digests = tuple(f"{rank:08x}{batch:08x}" for batch in range(BATCHES))
    one = PassRow(index=0, place=PLACE, num_batches=STEPS, num_trained=STEPS, digests=digests)
    file.put(RUN, "passes", [replace(one, number=number) for number in range(PASSES)])
    state = {"state": "returned", "status": 0} if kind == EQUAL else {"state": "running"}
    file.put_facts(RUN, {"num_steps": STEPS, "num_passes": STEPS, "num_batches": STEPS, **state})
    file.close()
    log, members = CallLog(calls_beside(path), rank), tuple(range(world_size))
    for turn in range(1, SLOTS + 1):
        call = CallRow(name="all_reduce", place=PLACE, queue="0", turn=turn, members=members)
        entered = log.enters(call)
        if turn < SLOTS or rank:
            log.leaves(entered, raised=False)


def merged(first: Path) -> None:
    """Merge and judge; print the processor seconds of both, the most MB held, and findings."""
    probes = tuple(p for p in all_probes() if any(r.code.startswith("TD9") for r in p.rules))
    rules = frozenset(rule.code for probe in probes for rule in probe.rules)
    archive = Archive(StoredTraces(first))
    start = time.process_time()
    ranks = archive.ranks
    seconds = time.process_time() - start
    assert ranks is not None
    events = Bench(probes=probes, rules=rules).judge(archive, "train.py")
    judged = time.process_time() - start - seconds
    found = ",".join(sorted({e.finding.code for e in events if hasattr(e, "finding")})) or "-"
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(seconds, judged, most, found)


def linked(folder: Path, traces: list[Path]) -> Path:
    """Put traces into a folder of their own, as those of one machine; return the first."""
    folder.mkdir()
    for rank, trace in enumerate(traces):
        target = folder / ("run" if rank == 0 else f"run.rank-{rank}")
        os.link(trace, target)
        os.link(calls_beside(trace), calls_beside(target))
    return folder / "run"


def sheet_of(kind: str, folder: Path) -> Sheet:
    """Write all ranks once, and measure the first so many of them."""
    sheet = Sheet(
        f"Merging ranks: {TENSORS} tensors, {STEPS:,} steps, bits {kind}",
        ("ranks", "files MB", "merge s", "judge s", "ms a rank", "process MB", "MB more", "found"),
    )
    traces = [folder / f"trace-{rank}" for rank in range(NUMBERS[-1])]
    for rank, trace in enumerate(traces):
        write(trace, rank, NUMBERS[-1], kind)
    base = 0.0
    for number in NUMBERS:
        first = linked(folder / f"of-{number}", traces[:number])
        size = sum(path.stat().st_size for path in first.parent.iterdir()) / 1e6
        command = [sys.executable, "-m", "benchmarks.ranks", "--merge", str(first)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        merge, judge, most = map(float, told[:3])
        base = base or most
        sheet.add(
            f"{number:,}",
            f"{size:.1f}",
            f"{merge:.2f}",
            f"{judge:.2f}",
            f"{1e3 * (merge + judge) / number:.1f}",
            f"{most:.0f}",
            f"{most - base:.0f}",
            told[3],
        )
    return sheet


def of_one_rank(folder: Path) -> str:
    """Say what an exchange costs, and what a rank writes."""
    log = CallLog(folder / "calls")
    row = CallRow(name="all_reduce", place=PLACE, queue="0", turn=1, members=tuple(range(1024)))
    number, start = 20_000, time.process_time()
    for _ in range(number):
        log.leaves(log.enters(row), raised=False)
    micro = 1e6 * (time.process_time() - start) / number
    write(folder / "one", 0, NUMBERS[-1], EQUAL)
    size = (folder / "one").stat().st_size
    num_compared = sum(map(is_compared, range(1, STEPS + 1)))
    return (
        f"An exchange in the log: {micro:.0f} µs; the log: {(SLOTS + 1) * SIZE:,} bytes, however "
        f"long the run; for the comparison: {size:,} bytes in {num_compared} of {STEPS:,} steps, "
        f"which is {size / STEPS:.2f} bytes a step; over the network: nothing."
    )


def sheets() -> Iterator[Sheet]:
    """Measure ranks that agree, and ranks that do not."""
    for kind in (EQUAL, APART):
        with tempfile.TemporaryDirectory() as folder:
            sheet = sheet_of(kind, Path(folder))
            sheet.notes.append(of_one_rank(Path(folder)))
        yield sheet


if __name__ == "__main__":
    merged(Path(sys.argv[2])) if sys.argv[1:2] == ["--merge"] else list(show(sheets()))
