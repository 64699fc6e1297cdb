"""Backward passes that no step follows, at all or mostly."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.probes.asking import asks
from tests.probes.running import line, run, source

from traindoctor.errors import CannotJudge
from traindoctor.probing import NoOptions, Severity
from traindoctor.trace import BatchRow, OptimizerRow, ParameterRow, Place, PulseRow, Trace
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


def watched(**facts: object) -> Trace:
    """Return a watched run whose first backward passes no step follows."""
    return run(steps=(), setup={"kind": "script"}, facts={"moved": (), **facts})


def test_passes_that_come_before_the_first_step_of_a_watched_run_are_no_fault() -> None:
    with pytest.raises(CannotJudge, match="before the first step"):
        findings(watched(ended=True, num_steps=150, num_epochs=6))
    assert findings(watched(ended=True, num_steps=0, num_epochs=1)) == [("TD403", 18)]


def test_of_a_step_outside_the_loop_over_many_batches_the_lost_ones_are_told() -> None:
    text = (
        "for epoch in range(3):\n    for batch in loader:\n"
        + "        pass\n" * 15
        + "        loss.backward()\n"
    )
    late = watched(ended=True, num_steps=3, discarded_backwards=(0, 1, 2, 3, 4))
    assert findings(late, text + "    optimizer.step()\n") == [("TD404", 19)]
    for elsewhere in (
        "for batch in loader:\n    optimizer.step()\n",
        "    for batch in loader:\n        optimizer.step()\n",  # first the scores, then training
    ):
        with pytest.raises(CannotJudge, match="before the first step"):
            findings(late, text + elsewhere)
    waiting = replace(late, facts=late.facts | {"discarded_backwards": ()})
    assert findings(waiting, text + "    optimizer.step()\n") == []  # all of an epoch for one step


def test_a_step_that_a_library_takes_is_a_step() -> None:
    assert findings(run(step={"place": Place()})) == []


def test_a_run_without_its_end_is_told_of_once_its_optimizer_let_the_data_pass() -> None:
    passed = watched(num_steps=0, num_epochs=2)
    assert findings(passed) == [("TD403", 18)]
    for early in (
        watched(num_steps=0, num_epochs=1),
        replace(passed, optimizers=()),  # it may be built yet
        replace(passed, facts={"num_epochs": 2}),  # whether anything moves is not known yet
    ):
        with pytest.raises(CannotJudge, match="may come yet"):
            findings(early)


def lost_elsewhere(*indices: int, at: int) -> Trace:
    """Return a run that steps after every other pass; those that are lost stand at a line."""
    rows = tuple(
        replace(row, step=row.index // 2, place=line(at) if row.index in indices else row.place)
        for row in run().backwards
    )
    trace = run(num_steps=3, backwards=rows, facts={"discarded_backwards": indices})
    steps = tuple(replace(row, batch=2 * row.index + 1) for row in trace.steps)
    return replace(trace, steps=steps)


def test_passes_of_a_line_that_no_step_uses_serve_something_else() -> None:
    assert findings(lost_elsewhere(0, 2, 4, at=9)) == []
    assert findings(lost_elsewhere(0, 2, 4, at=18), GUARDED) == [("TD404", 19)]


def test_where_no_step_uses_any_pass_all_are_lost() -> None:
    trace = run(num_steps=1, facts={"discarded_backwards": (0, 1, 2, 3, 4, 5)})
    assert findings(trace, GUARDED) == [("TD404", 19)]


def test_a_pass_that_still_waits_when_the_first_steps_are_over_was_not_used() -> None:
    trace = lost_elsewhere(0, 2, 4, at=9)
    waiting = replace(trace.backwards[4], index=6, step=3, batch=6)
    assert findings(replace(trace, backwards=(*trace.backwards, waiting))) == []


def test_gradients_thrown_away_by_the_next_batch_are_reported_at_the_guard() -> None:
    trace = run(
        num_steps=1, step={"place": run().steps[0].place}, facts={"discarded_backwards": (1, 2, 3)}
    )
    given = asks(short_run=trace, read_source=Trace(source=source(GUARDED)))
    (finding,) = examine(given, NoOptions())
    assert (finding.code, finding.severity, finding.location.line) == ("TD404", Severity.ERROR, 19)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (GUARDED.replace("loss.backward", "(loss / 4).backward"), 21),
        (GUARDED.replace("    pass\n    loss.", "    loss /= 4\n    loss."), 21),
        (GUARDED.replace("    pass\n    loss.", "    loss = loss / 4\n    loss."), 21),
        (GUARDED.replace("    pass\n    loss.", "    loss += 4\n    loss."), 19),
        (GUARDED, 19),  # nothing says that batches were to be added up
    ],
)
def test_gradients_that_were_to_be_added_up_are_reported_where_they_are_cleared(
    text: str, line: int
) -> None:
    trace = run(num_steps=1, facts={"discarded_backwards": (1, 2, 3)})
    assert findings(trace, text + "    optimizer.zero_grad()\n") == [("TD404", line)]


def test_gradients_that_wait_are_accumulation() -> None:
    assert findings(run(num_steps=2, facts={"discarded_backwards": ()})) == []


def test_a_window_that_the_end_of_an_epoch_cuts_short_is_left_alone() -> None:
    epochs = tuple(BatchRow(index=index, epoch=index // 2) for index in range(6))
    trace = run(num_steps=1, batches=epochs, facts={"discarded_backwards": (1, 3)})
    assert findings(trace) == []


def scaled(*num_not_finite: int) -> Trace:
    """Return a run with a scaler in which only the first batch led to a step."""
    rows = tuple(
        replace(row, num_not_finite=number)
        for row, number in zip(run().backwards, num_not_finite, strict=True)
    )
    return run(
        num_steps=1,
        backwards=rows,
        setup={"has_scaler": True},
        facts={"discarded_backwards": (1, 2, 3, 4)},
    )


def test_steps_that_a_scaler_skips_over_gradients_that_are_not_finite_are_left_alone() -> None:
    assert findings(scaled(0, 4, 4, 4, 4, 0)) == []


def test_steps_skipped_over_finite_gradients_are_not_the_scalers_doing() -> None:
    assert findings(scaled(0, 0, 0, 0, 0, 0), GUARDED) == [("TD404", 19)]


def test_a_window_that_one_bad_gradient_spoiled_is_the_scalers_to_skip() -> None:
    trace = scaled(0, 0, 0, 0, 4, 0)
    waiting = tuple(replace(r, num_present_before=4 * (r.index > 1)) for r in trace.backwards)
    assert findings(replace(trace, backwards=waiting)) == []


def test_a_run_in_which_the_scaler_skips_every_step_cannot_be_judged() -> None:
    trace = replace(scaled(4, 4, 4, 4, 4, 4), steps=())
    with pytest.raises(CannotJudge, match="scaler skips"):
        findings(trace)


def test_gradients_that_were_cleared_do_not_wait_for_a_step_to_come() -> None:
    trace = run(steps=(), facts={"discarded_backwards": (0, 1, 2)})
    assert findings(trace, GUARDED) == [("TD403", 20)]


def test_the_line_that_decides_a_guard_is_named() -> None:
    text = HEAD.replace("    pass\n    loss", "    ok = finite and index > 8\n    loss")
    trace = run(num_steps=1, facts={"discarded_backwards": (1, 2, 3)})
    source_rows = source(text + "    if ok:\n        optimizer.step()\n")
    (finding,) = examine(asks(short_run=trace, read_source=Trace(source=source_rows)), NoOptions())
    assert [place.line for place in finding.also_at] == [17, 20]
    assert finding.remedies[0].after == "ok = finite"


def halves(*stepped: int) -> Trace:
    """Return a watched run with two optimizers, of which these were stepped."""
    known = run()
    return replace(
        known,
        setup=replace(known.setup, kind="script"),
        optimizers=tuple(
            OptimizerRow(index=i, class_name="Adam", num_held=1, place=Place("/x.py", 3 + i))
            for i in (0, 1)
        ),
        parameters=tuple(
            ParameterRow(name=f"part{index}.weight", group=(index, 0), num_optimizers=1)
            for index in (0, 1)
        ),
        pulses=tuple(PulseRow(optimizer=index, first_step=0, last_step=39) for index in stepped),
        facts=known.facts | {"ended": True, "moved": tuple(f"part{i}.weight" for i in stepped)},
    )


def test_of_two_optimizers_the_one_that_stays_idle_is_named_where_it_is_built() -> None:
    assert findings(halves(1)) == [("TD403", 3)]


def test_two_optimizers_that_take_turns_are_healthy_and_so_is_a_run_that_goes_on() -> None:
    going_on = halves(1)
    assert findings(halves(0, 1)) == []
    assert findings(replace(going_on, facts={})) == []
