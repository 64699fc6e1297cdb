"""What is left at the end of an epoch, where gradients are accumulated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.probes.running import line, run, source

from traindoctor.experiments import ShortRun
from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import BackwardRow, BatchRow, HandlingRow, StepRow, Trace
from traindoctor_probes.accumulation_windows import examine

STEP = line(3, "optimizer.step()")
PLAIN = "for index, batch in enumerate(loader):\n    if (index + 1) % 4 == 0:\n        step()\n"
LAST = PLAIN.replace("== 0", "== 0 or index + 1 == len(loader)")


def epochs(length: int, steps: Sequence[int], whole: int = 15, **facts: Any) -> Trace:
    """Return two epochs of so many batches, with a step after those of these numbers."""
    return run(
        batches=tuple(BatchRow(index=i, epoch=i // length) for i in range(2 * length)),
        backwards=tuple(BackwardRow(index=i, step=0, batch=i) for i in range(2 * length)),
        steps=tuple(StepRow(index=n, batch=batch, place=STEP) for n, batch in enumerate(steps)),
        setup={"num_batches": whole},
        **facts,
    )


def findings(first: Trace, longer: Trace | None = None, text: str = PLAIN) -> list[Finding]:
    def ask(experiment: Any) -> Trace:
        if experiment == ShortRun():
            return first
        if isinstance(experiment, ShortRun):
            assert longer is not None
            assert experiment.num_batches == len(longer.batches) // 2
            return longer
        return Trace(source=source(text))

    return list(examine(ask, NoOptions()))


def test_what_an_epoch_leaves_goes_into_the_next_ones_first_step() -> None:
    longer = epochs(11, [3, 7, 14, 18])
    (finding,) = findings(epochs(6, [3, 9]), longer)
    assert (finding.code, finding.severity, finding.location.line) == ("TD416", "warning", 3)
    assert "go into the next epoch's first step" in finding.title
    assert "on 7 batches instead of 4" in finding.message


def test_what_was_cleared_in_between_is_thrown_away() -> None:
    longer = epochs(11, [3, 7, 14, 18], facts={"discarded_backwards": (8, 9, 10)})
    (finding,) = findings(epochs(6, [3, 9]), longer)
    assert "are thrown away" in finding.title
    assert "20.0% of each epoch" in finding.message


def test_a_step_at_the_last_batch_leaves_nothing() -> None:
    assert findings(epochs(6, [3, 5, 9, 11]), epochs(11, [3, 7, 10, 14, 18, 21])) == []


def test_a_count_that_runs_on_through_the_epochs_loses_nothing() -> None:
    assert findings(epochs(6, [3, 7, 11]), epochs(11, [3, 7, 11, 15, 19])) == []


def test_a_whole_number_of_windows_leaves_nothing_although_the_cut_epoch_does() -> None:
    assert findings(epochs(6, [3, 9], whole=16)) == []


def test_a_case_for_the_last_batch_may_know_another_length_than_the_cut_epochs() -> None:
    assert findings(epochs(6, [3, 9]), epochs(11, [3, 7, 14, 18]), LAST) == []


def test_one_batch_in_many_is_nothing() -> None:
    assert findings(epochs(6, [3, 9], whole=401), epochs(9, [3, 7, 12, 16], whole=401)) == []


def test_a_step_each_batch_has_no_windows() -> None:
    assert findings(epochs(6, range(12))) == []


def test_of_a_watched_run_the_sizes_of_the_windows_tell() -> None:
    row = HandlingRow(optimizer=0, num_steps=90, windows=((4, 87), (7, 3)), place=STEP)
    (finding,) = findings(run(handling=(row,), setup={"kind": "script", "has_train_loop": False}))
    assert "and 3 on 7" in finding.message


def test_windows_of_many_sizes_or_of_closures_are_no_accumulation() -> None:
    setup = {"kind": "script", "has_train_loop": False}
    several = HandlingRow(optimizer=0, windows=((4, 87), (6, 3), (7, 3)))
    closures = HandlingRow(optimizer=0, windows=((4, 87), (7, 3)), num_closures=90)
    short = HandlingRow(optimizer=0, windows=((4, 87), (3, 3)))
    assert findings(run(handling=(several, closures, short), setup=setup)) == []
