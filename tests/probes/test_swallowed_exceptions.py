"""A handler is reported for the batches it lost, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks

from traindoctor.probing import Confidence, Finding, NoOptions, Severity
from traindoctor.trace import (
    BackwardRow,
    BatchRow,
    HandledRow,
    Place,
    SetupRow,
    SourceRow,
    StepRow,
    Trace,
)
from traindoctor_probes.swallowed_exceptions import examine

HANDLER = Place("/user/train.py", 21, "train", "except Exception:")
CAUGHT = HandledRow(
    handler=HANDLER,
    raised=Place("/user/train.py", 12, "train", "loss = model(batch)"),
    type_name="TypeError",
    message="unexpected keyword",
    count=6,
    batches=tuple(range(6)),
    traceback="TypeError: unexpected keyword",
)


def run(*handled: HandledRow, backwards: Any = (), steps: Any = None, batches: int = 6) -> Trace:
    return Trace(
        setup=SetupRow(has_train_loop=True, trains_by_hand=True),
        batches=tuple(BatchRow(index=index, size=4) for index in range(batches)),
        backwards=tuple(BackwardRow(index=i, step=i, batch=b) for i, b in enumerate(backwards)),
        steps=tuple(
            StepRow(index=i, batch=b) for i, b in enumerate(backwards if steps is None else steps)
        ),
        handled=handled,
    )


def found(trace: Trace, handler: str = "continue") -> list[Finding]:
    text = "\n" * 18 + f"try:\n    pass\nexcept Exception:\n    {handler}\n"
    read = Trace(source=(SourceRow(file="/user/train.py", text=text),))
    return list(examine(asks(short_run=trace, read_source=read), NoOptions()))


def test_every_batch_lost_is_critical_at_the_handler_with_the_raising_line_and_its_words() -> None:
    (finding,) = found(run(CAUGHT))
    assert (finding.code, finding.severity) == ("TD801", Severity.CRITICAL)
    assert (finding.location.file, finding.location.line) == ("/user/train.py", 21)
    assert [place.line for place in finding.also_at] == [12]
    assert "6 of 6" in finding.title
    assert finding.quote == CAUGHT.traceback
    assert {item.label: item.value for item in finding.evidence}["batches lost"] == 6


def test_fewer_than_one_batch_in_twenty_is_an_error() -> None:
    row = replace(CAUGHT, count=1, batches=(3,))
    (finding,) = found(run(row, backwards=[n for n in range(40) if n != 3], batches=40))
    assert finding.severity is Severity.ERROR


def test_a_handler_that_loses_no_batch_is_silent() -> None:
    retried = replace(CAUGHT, type_name="OutOfMemoryError", count=2, batches=(1, 4))
    lookup = replace(CAUGHT, type_name="KeyError", count=60)
    before_the_loop = replace(CAUGHT, type_name="ImportError", count=1, batches=(-1,))
    assert found(run(retried, lookup, before_the_loop, backwards=range(6))) == []


def test_batches_that_fail_between_backward_and_step_are_lost_too() -> None:
    row = replace(CAUGHT, batches=(2, 3), after_backward=(2, 3))
    (finding,) = found(run(row, backwards=range(6), steps=(0, 1, 4, 5)))
    assert "never stepped on" in finding.message
    assert "2 of 6" in finding.title


def test_an_exception_after_the_step_loses_nothing() -> None:
    assert found(run(replace(CAUGHT, after_backward=()), backwards=range(6))) == []


def test_an_exception_between_backward_and_step_of_an_accumulation_is_not_judged() -> None:
    trace = run(replace(CAUGHT, after_backward=(0,)), backwards=range(6), steps=(3,))
    setup = replace(trace.setup, accumulation_steps=4)
    assert found(replace(trace, setup=setup)) == []


def skipped(
    raising: str,
    type_name: str,
    handler: str,
    *,
    users: bool = False,
    named: str = "",
    is_read: bool = True,
) -> Finding:
    """Return the finding on one batch of six that a line in the step raised on."""
    clause = f"except {named or type_name}:"
    text = "\n" * 11 + f"{raising}\n" + "\n" * 6 + f"try:\n    pass\n{clause}\n    {handler}\n"
    row = replace(
        CAUGHT,
        handler=replace(HANDLER, text=clause),
        raised=replace(CAUGHT.raised, text=raising),
        type_name=type_name,
        is_users_type=users,
        count=1,
        batches=(2,),
    )
    read = Trace(source=(SourceRow(file="/user/train.py", text=text),) if is_read else ())
    trace = run(row, backwards=(0, 1, 3, 4, 5))
    (finding,) = examine(asks(short_run=trace, read_source=read), NoOptions())
    return finding


@pytest.mark.parametrize(
    "raising", ["raise BadSample(index)", "if size.any(): raise BadSample(index)"]
)
def test_a_skip_by_an_exception_of_the_users_own_is_information(raising: str) -> None:
    finding = skipped(raising, "BadSample", "continue", users=True)
    assert finding.severity is Severity.INFO
    assert finding.title == "1 of 6 batches are skipped on purpose: BadSample is caught"


@pytest.mark.parametrize(
    ("raising", "severity"),
    [
        ("raise errors.BadSample(", Severity.INFO),
        ("if size.any(): raise BadSample(index)", Severity.INFO),
        ("loss = model(batch)", Severity.CRITICAL),
    ],
)
@pytest.mark.parametrize("users", [True, False])
def test_while_a_run_goes_on_the_lines_alone_tell(
    raising: str, severity: Severity, users: bool
) -> None:
    finding = skipped(raising, "BadSample", "continue", users=users, is_read=False)
    assert finding.severity is severity


def test_an_exception_of_the_users_own_from_a_line_that_raises_nothing_is_a_fault() -> None:
    finding = skipped("loss = model(batch)", "BadSample", "continue", users=True)
    assert finding.severity is Severity.CRITICAL


NOT_FINITE = 'raise FloatingPointError("loss is not finite")'


@pytest.mark.parametrize(
    "handler", ["num_skipped += 1", "print(index)", "log.warning('skipped')", "raise"]
)
def test_a_skip_that_is_raised_caught_by_name_and_told_is_information(handler: str) -> None:
    assert skipped(NOT_FINITE, "FloatingPointError", handler).severity is Severity.INFO


@pytest.mark.parametrize(
    ("raising", "handler", "named"),
    [
        (NOT_FINITE, "continue", ""),  # nobody is told
        (NOT_FINITE, "num_skipped += 1", "ArithmeticError"),  # more is caught than is raised
        (NOT_FINITE, "num_skipped += 1", "(FloatingPointError, TypeError)"),
        ('raise ValueError("no number")', "num_skipped += 1", ""),  # making it raised another
        ("loss = loss / 0", "num_skipped += 1", ""),  # nobody raised it on purpose
        ('if batch["x"]: raise KeyError', "num_skipped += 1", ""),  # the condition raised
    ],
)
def test_a_skip_that_is_silent_broad_or_unforeseen_is_a_fault(
    raising: str, handler: str, named: str
) -> None:
    finding = skipped(raising, "FloatingPointError", handler, named=named)
    assert finding.severity is Severity.CRITICAL
    assert finding.title == "1 of 6 batches fail in silence: FloatingPointError is caught"


def test_a_batch_lost_to_memory_is_a_warning_that_may_be_the_doctors_own_doing() -> None:
    row = replace(CAUGHT, type_name="OutOfMemoryError", count=1, batches=(2,))
    (finding,) = found(run(row, backwards=(0, 1, 3, 4, 5)))
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.LIKELY)


def test_one_handler_with_several_kinds_is_one_finding_led_by_the_most_frequent() -> None:
    rare = replace(CAUGHT, type_name="ValueError", count=1, batches=(5,))
    (finding,) = found(run(rare, replace(CAUGHT, count=5, batches=(0, 1, 2, 3, 4))))
    assert finding.subject == "TypeError"
    assert "6 batches of 6" in finding.message


def test_two_handlers_are_two_findings() -> None:
    other = replace(CAUGHT, handler=replace(HANDLER, line=31))
    assert [finding.location.line for finding in found(run(CAUGHT, other))] == [21, 31]


MISPLACED = replace(
    CAUGHT,
    type_name="AttributeError",
    count=2,
    batches=(-1,),
    phase="setup",
    sought="w1",
    sought_on="Adapter",
    found_on="expert (SwiGLU)",
)


def test_an_idle_handler_that_hides_a_misplaced_attribute_is_an_error() -> None:
    (finding,) = found(run(MISPLACED, backwards=range(6)))
    assert (finding.severity, finding.location.line) == (Severity.ERROR, 21)
    assert "Adapter has no `w1`, but expert (SwiGLU) inside it does" in finding.message
    assert finding.explains == ()


def test_a_handler_that_takes_the_attribute_elsewhere_or_tells_is_silent() -> None:
    for handler in ("w1 = adapter.expert.w1", "return None", "print('no w1')"):
        assert found(run(MISPLACED, backwards=range(6)), handler) == []


def test_an_attribute_that_nobody_has_is_silent() -> None:
    assert found(run(replace(MISPLACED, found_on=""), backwards=range(6))) == []


def test_the_remedies_are_made_of_the_users_own_handler() -> None:
    first, second = found(run(CAUGHT))[0].remedies
    assert first.before.startswith("except Exception:")
    assert first.after == "except Exception:\n    raise"
    assert second.after.splitlines()[0] == "except Exception as e:"
    assert second.after.endswith("continue")
