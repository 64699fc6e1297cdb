"""New rows are out of scale if they are used, are not the mean, and are far from the old ones."""

from __future__ import annotations

from dataclasses import replace

from tests.probes.asking import asks

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import BackwardRow, CriterionRow, SourceRow, Trace, WeightRow
from traindoctor_probes.table_rows import examine

SOURCE = "table = self.embed.weight.data\ntable[:48] = old\ntable[48:].normal_()\n"
TABLE = WeightRow(
    name="embed.weight",
    module_class="Embedding",
    num_rows=64,
    num_columns=8,
    row_spread=0.1,
    rms=0.02,
    block_start=48,
    block_rms=1.0,
    num_block_rows_reached=3,
)
HEAD = replace(TABLE, name="head.weight", module_class="Linear")


def found(row: WeightRow, target: float = 63) -> list[Finding]:
    criterion = CriterionRow(function="cross_entropy", num_classes=64, target_maximum=target)
    ask = asks(
        Trace(criteria=(criterion,)),
        read_weights=Trace(weights=(row,)),
        watch_weights=Trace(weights=(row,), backwards=(BackwardRow(index=0, step=0, batch=0),)),
        read_source=Trace(source=(SourceRow(file="/user/model.py", text=SOURCE),)),
    )
    return list(examine(ask, NoOptions()))


def test_rows_fifty_times_longer_are_a_warning_at_the_line_that_fills_them() -> None:
    (finding,) = found(TABLE)
    assert (finding.code, finding.severity) == ("TD705", Severity.WARNING)
    assert "16 rows at the end of embed.weight are 50 times longer" in finding.title
    assert (finding.location.file, finding.location.line) == ("/user/model.py", 3)


def test_rows_of_a_tenth_of_the_size_are_a_choice() -> None:
    assert found(replace(TABLE, block_rms=0.002)) == []


def test_rows_at_the_mean_of_the_others_are_healthy() -> None:
    assert found(replace(TABLE, block_rms=0.0002, block_is_mean=True)) == []


def test_rows_that_no_sample_uses_are_padding() -> None:
    assert found(replace(TABLE, num_block_rows_reached=0), target=40) == []


def test_new_rows_of_a_head_are_judged_if_they_are_targets() -> None:
    assert len(found(HEAD)) == 1
    assert found(HEAD, target=40) == []
