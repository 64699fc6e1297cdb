"""A missing loss is told with what to compute instead; a loop's own loss is left to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import FACTORY, LINE, SETUP, asks, batch, leaf, raised, stopped

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import BackwardRow, HandledRow, Place, SetupRow, SourceRow, Trace
from traindoctor_probes.loss_presence import examine

BATCH = batch(leaf("x", 4, 3), leaf("labels", 4, dtype="int64"))
NONE = raised("NoLoss", "the model's output is a tuple of 2; none of it is a loss", place=Place())


OTHERS = {
    "forward_keys": Trace(facts={"outputs": "Output with waveform"}),
    "read_source": Trace(
        source=(
            SourceRow(
                file=LINE.file or "",
                text="\n" * 13 + "out = model(\n    ids=batch.ids,\n    labels=batch.mels,\n)\n",
            ),
        )
    ),
}


def found(row: Any, setup: SetupRow = SETUP) -> list[Finding]:
    return list(examine(asks(stopped(row, BATCH, setup=setup), **OTHERS), NoOptions()))


def test_outputs_without_a_loss_are_described() -> None:
    (finding,) = found(NONE)
    assert (finding.code, finding.location.line) == ("TD011", FACTORY.line)
    assert "a tuple of 2" in finding.message


@pytest.mark.parametrize(
    ("model", "advice"),
    [("VitsModel", "mel spectrogram"), ("UMT5EncoderModel", "task head"), ("BertModel", "no task")],
)
def test_known_families_get_their_own_advice(model: str, advice: str) -> None:
    (finding,) = found(NONE, replace(SETUP, model_class=model))
    recommended = [remedy for remedy in finding.remedies if remedy.recommended]
    assert len(recommended) == 1
    assert advice in recommended[0].title


def test_refused_labels_are_told_at_the_line_that_refuses() -> None:
    row = raised(
        "NotImplementedError", "Training is not supported", module_keywords=("x", "labels")
    )
    (finding,) = found(row)
    assert (finding.code, finding.location.line) == ("TD011", LINE.line)
    assert "as soon as it is given. Without labels it returns Output with waveform" in (
        finding.message
    )


def test_the_loss_to_compute_is_made_of_the_users_own_call() -> None:
    row = raised(
        "NotImplementedError", "No.", module_class="VitsModel", module_keywords=("ids", "labels")
    )
    (finding,) = found(row, replace(SETUP, has_train_loop=True))
    (remedy,) = finding.remedies
    assert remedy.before.startswith("out = model(\n    ids=batch.ids,")
    assert remedy.after.splitlines()[:3] == ["out = model(", "    ids=batch.ids,", ")"]
    assert "log_mel(out.waveform)" in remedy.after


CAUGHT = HandledRow(
    handler=Place("/user/train.py", 30, "train", "except Exception:"),
    raised=LINE,
    type_name="NotImplementedError",
    message="Not supported.",
    count=6,
    batches=tuple(range(6)),
    module_keywords=("x", "labels"),
    module_class="Net",
)


def caught(*rows: HandledRow) -> list[Finding]:
    setup = replace(SETUP, has_train_loop=True)
    run = Trace(setup=setup, handled=rows, batches=(BATCH,))
    return list(examine(asks(Trace(setup=setup), short_run=run, **OTHERS), NoOptions()))


def test_a_refusal_that_a_handler_hides_is_told_beside_the_handler() -> None:
    (finding,) = caught(CAUGHT)
    assert (finding.code, finding.location.line) == ("TD011", LINE.line)
    assert finding.explains == ()  # the handler accounts for all that follows


def test_a_loop_that_computes_its_own_loss_where_labels_are_refused_is_healthy() -> None:
    setup = replace(SETUP, has_train_loop=True)
    trained = tuple(BackwardRow(index=i, step=i, batch=i) for i in range(6))
    run = Trace(setup=setup, handled=(CAUGHT,), batches=(BATCH,), backwards=trained)
    ask = asks(Trace(setup=setup), short_run=run, **OTHERS)
    assert list(examine(ask, NoOptions())) == []


def test_other_exceptions_that_a_handler_hides_are_left_to_it() -> None:
    assert caught(replace(CAUGHT, type_name="ValueError")) == []
    assert caught(replace(CAUGHT, module_keywords=("x",))) == []


def test_targets_that_nobody_compares_are_a_missing_loss() -> None:
    message = "Net.forward() got an unexpected keyword argument 'labels'"
    row = raised("TypeError", message, module_keywords=("x", "labels"))
    assert [f.code for f in found(row)] == ["TD011"]
    assert found(row, replace(SETUP, has_loss_fn=True)) == []


@pytest.mark.parametrize("own", ["has_train_step", "has_train_loop"])
def test_a_loop_computes_its_own_loss_unless_the_forward_refuses_labels(own: str) -> None:
    setup = replace(SETUP, **{own: True})
    assert found(NONE, setup) == []
    row = raised("NotImplementedError", "Training is not supported", module_keywords=("labels",))
    assert [f.code for f in found(row, setup)] == ["TD011"]


def test_an_operation_that_does_not_exist_for_a_dtype_is_no_refusal() -> None:
    row = raised("NotImplementedError", "\"mse_cpu\" not implemented for 'Long'")
    assert found(row) == []
