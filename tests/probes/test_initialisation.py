"""Equal rows are a fault where a few steps show the harm: no gradient, no parting, or NaN."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.probes.asking import asks

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import (
    BackwardRow,
    CriterionRow,
    GradientRow,
    LossRow,
    ParameterRow,
    Place,
    SourceRow,
    Trace,
    WeightRow,
)
from traindoctor_probes.initialisation import examine

SOURCE = "nn.init.zeros_(self.norm.bias)\nnn.init.zeros_(self.fc1.weight)\n"
ZERO = WeightRow(name="fc1.weight", module_class="Linear", num_rows=8, num_columns=4, value=0.0)
PARTED = replace(ZERO, row_spread=0.02, moved=0.01, num_passes=6, num_rows_reached=8)
TABLE = WeightRow(
    name="embed.weight",
    module_class="Embedding",
    num_rows=64,
    num_columns=8,
    row_spread=0.1,
    rms=0.02,
    block_start=48,
    block_value=0.0,
)


def found(
    before: WeightRow,
    after: WeightRow,
    first: float = 1.4,
    drawn: float = 1.4,
    revived: float = 0.1,
    place: Place = Place("/user/model.py", 1),
) -> Any:
    backward = (BackwardRow(index=0, step=0, batch=0),)
    ask = asks(
        Trace(criteria=(CriterionRow(function="cross_entropy", num_classes=64),)),
        read_weights=Trace(weights=(before,)),
        watch_weights=Trace(weights=(after,), backwards=backward),
        short_run=Trace(losses=(LossRow(step=0, batch=0, value=first),)),
        loss_with_noise=Trace(
            losses=(LossRow(step=0, batch=0, value=drawn),),
            gradients=(GradientRow(step=0, parameter="fc1.weight", rms=revived),),
        ),
        read_source=Trace(
            source=(SourceRow(file="/user/model.py", text=SOURCE),),
            parameters=(ParameterRow(name="fc1.weight", place=place),),
        ),
    )
    findings: list[Finding] = list(examine(ask, NoOptions()))
    return findings


def test_zeros_that_no_gradient_reaches_are_an_error_at_the_line_that_writes_them() -> None:
    (finding,) = found(ZERO, replace(ZERO, num_passes=6))
    assert (finding.code, finding.severity) == ("TD704", Severity.ERROR)
    assert "no gradient reaches them" in finding.title
    assert (finding.location.file, finding.location.line) == ("/user/model.py", 2)


def test_rows_that_gradients_move_alike_stay_equal() -> None:
    (finding,) = found(ZERO, replace(PARTED, row_spread=1e-9))
    assert "they stay equal" in finding.title


def test_zeros_that_stay_out_of_reach_with_noise_on_them_are_another_faults_doing() -> None:
    assert found(ZERO, replace(ZERO, num_passes=6), revived=0.0) == []


def test_tokens_of_a_library_may_start_alike_and_stay_so() -> None:
    assert found(ZERO, replace(PARTED, row_spread=1e-9), place=Place()) == []


def test_a_zero_layer_whose_rows_part_is_meant() -> None:
    assert found(ZERO, PARTED) == []


def test_a_zero_layer_that_this_loss_never_uses_is_not_judged() -> None:
    assert found(ZERO, ZERO) == []


def test_new_rows_of_zeros_are_at_fault_if_the_loss_is_nan_because_of_them() -> None:
    used = replace(TABLE, num_passes=1, num_block_rows_reached=5)
    (finding,) = found(TABLE, used, first=float("nan"))
    assert "the first loss is NaN" in finding.title
    assert "rows 48 to 63 start at 0" in finding.message
    assert {"TD1", "TD705"} <= set(finding.explains)


def test_a_loss_that_stays_nan_with_random_rows_has_another_cause() -> None:
    used = replace(TABLE, num_passes=1, num_block_rows_reached=5)
    assert found(TABLE, used, first=float("nan"), drawn=float("nan")) == []


def watched(*rows: WeightRow, source: str = SOURCE) -> list[Finding]:
    """Return what is found where no noise can be put on the weights: in a watched run."""
    ask = asks(
        read_weights=Trace(weights=rows),
        watch_weights=Trace(
            weights=tuple(replace(row, num_passes=6) for row in rows),
            backwards=(BackwardRow(index=0, step=0, batch=0),),
        ),
        short_run=Trace(losses=(LossRow(step=0, batch=0, value=1.4),)),
        read_source=Trace(source=(SourceRow(file="/user/model.py", text=source),)),
    )
    return list(examine(ask, NoOptions()))


def test_of_a_watched_run_two_zero_matrices_are_needed_to_be_each_others_cause() -> None:
    (finding,) = watched(ZERO, replace(ZERO, name="fc2.weight"))
    assert "no gradient reaches them" in finding.title
    assert watched(ZERO) == []


def test_the_line_that_fills_two_of_one_module_is_named_before_one_that_may_be_meant() -> None:
    source = """\
nn.init.zeros_(self.gate.weight)
for p in self.ff.parameters():
    nn.init.zeros_(p)
"""
    names = [f"blocks.{n}.{part}.weight" for n in (0, 1) for part in ("gate", "ff.0", "ff.2")]
    (finding,) = watched(*(replace(ZERO, name=name) for name in names), source=source)
    assert finding.location.line == 3


def test_matrices_of_another_constant_may_have_lost_their_gradient_elsewhere() -> None:
    ones = replace(ZERO, value=1.0)
    assert watched(ones, replace(ones, name="fc2.weight")) == []
