"""A frozen module's graph is waste where nothing trainable stands behind its output."""

from __future__ import annotations

from dataclasses import replace

from tests.probes.asking import LINE, asks

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import FrozenRow, ModuleRow, SourceRow, Trace
from traindoctor_probes.frozen_graphs import candidates, examine

ENCODER = ModuleRow(
    path="audio.encoder",
    num_parameters=1000,
    num_calls=6,
    output_requires_grad=True,
    call_place=LINE,
)
MODULES = (
    ModuleRow(path="", num_parameters=1500, num_trainable=500, output_requires_grad=True),
    ModuleRow(path="audio", num_parameters=1200),
    ENCODER,
    replace(ENCODER, path="audio.encoder.layer"),
)
WASTE = FrozenRow(
    module="audio.encoder",
    learns=False,
    num_bytes=6_000_000,
    step_bytes=8_000_000,
    seconds_with_graph=0.008,
    seconds_without=0.004,
)


def found(row: FrozenRow, text: str = "") -> list[Finding]:
    source = (SourceRow(file="/user/model.py", text=text),)
    ask = asks(
        short_run=Trace(modules=MODULES),
        read_source=Trace(source=source),
        frozen_graphs=Trace(frozen=(row,)),
    )
    return list(examine(ask, NoOptions()))


def test_a_graph_for_nobody_is_a_warning_at_the_call_and_names_the_whole_frozen_part() -> None:
    (finding,) = found(WASTE)
    assert (finding.code, finding.severity) == ("TD304", Severity.WARNING)
    assert finding.title == "audio is frozen, and 75% of a step's memory for backward is its graph"
    assert "8 ms with backward instead of 4 ms" in finding.message
    assert finding.location.line == LINE.line


def test_a_busy_machine_saves_no_negative_time() -> None:
    (finding,) = found(replace(WASTE, seconds_with_graph=0.003))
    assert finding.remedies[0].pros == "One line; saves 6 MB and 0 ms of each step."


def test_a_frozen_module_behind_a_trainable_one_needs_its_graph() -> None:
    assert found(replace(WASTE, learns=True)) == []


def test_a_small_graph_is_not_worth_a_word() -> None:
    assert found(replace(WASTE, num_bytes=600_000)) == []


def test_gradients_of_inputs_that_the_code_reads_have_their_use() -> None:
    assert found(WASTE, "perturbed = images + eps * images.grad.sign()") == []
    assert found(WASTE, "(slope,) = torch.autograd.grad(u.sum(), x)") == []
    assert len(found(WASTE, "norm = sum(p.grad.norm() for p in parameters)")) == 1


def test_only_the_outermost_frozen_module_that_was_called_with_gradients_is_weighed() -> None:
    assert [row.path for row in candidates(MODULES)] == ["audio.encoder"]
    quiet = replace(ENCODER, num_calls_without_grad=6)
    assert candidates((quiet,)) == []
