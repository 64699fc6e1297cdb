"""Backward passes that no step follows, at all or mostly."""

from __future__ import annotations

import pytest
from tests.probes.asking import asks
from tests.probes.running import run, source

from traindoctor.errors import CannotJudge
from traindoctor.probing import NoOptions, Severity
from traindoctor.trace import BatchRow, Trace
from traindoctor_probes.optimizer_steps import examine

HEAD = "def train_loop(model, loader, optimizer):\n" + "    pass\n" * 16 + "    loss.backward()\n"
GUARDED = HEAD + "    if index % 4 == 0:\n        optimizer.step()\n"


def findings(trace: Trace, text: str = HEAD) -> list[tuple[str, int | None]]:
    given = asks(short_run=trace, read_source=Trace(source=source(text)))
    return [(item.code, item.location.line) for item in examine(given, NoOptions())]


def test_a_loop_without_a_step_is_critical_at_its_backward_pass() -> None:
    assert findings(run(steps=())) == [("TD403", 18)]


def test_a_step_that_is_written_and_never_reached_is_pointed_at() -> None:
    text = HEAD + "    if loss < 0:\n        optimizer.step()\n"
    assert findings(run(steps=()), text) == [("TD403", 20)]


def test_a_schedulers_step_is_no_step() -> None:
    assert findings(run(steps=()), HEAD + "    scheduler.step()\n") == [("TD403", 18)]


def test_a_step_that_counts_batches_may_still_come() -> None:
    with pytest.raises(CannotJudge, match="accumulation"):
        findings(run(steps=()), GUARDED)


def test_a_train_step_without_the_optimizer_leaves_the_step_to_its_caller() -> None:
    text = HEAD.replace(", optimizer", "")
    with pytest.raises(CannotJudge, match="not handed over"):
        findings(run(steps=(), setup={"has_train_loop": False}), text)


def test_weights_that_the_loop_moves_by_hand_are_trained() -> None:
    assert findings(run(steps=(), facts={"moved": ("weight",)})) == []


def test_gradients_thrown_away_by_the_next_batch_are_reported_at_the_guard() -> None:
    trace = run(
        num_steps=1, step={"place": run().steps[0].place}, facts={"discarded_backwards": (1, 2, 3)}
    )
    given = asks(short_run=trace, read_source=Trace(source=source(GUARDED)))
    (finding,) = examine(given, NoOptions())
    assert (finding.code, finding.severity, finding.location.line) == ("TD404", Severity.ERROR, 19)


def test_gradients_that_wait_are_accumulation() -> None:
    assert findings(run(num_steps=2, facts={"discarded_backwards": ()})) == []


def test_a_window_that_the_end_of_an_epoch_cuts_short_is_left_alone() -> None:
    epochs = tuple(BatchRow(index=index, epoch=index // 2) for index in range(6))
    trace = run(num_steps=1, batches=epochs, facts={"discarded_backwards": (1, 3)})
    assert findings(trace) == []


def test_a_scalers_skipped_steps_are_left_alone() -> None:
    trace = run(num_steps=1, setup={"has_scaler": True}, facts={"discarded_backwards": (1, 2, 3)})
    assert findings(trace) == []
