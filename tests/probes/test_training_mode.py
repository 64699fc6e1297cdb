"""Steps in eval mode: the whole model by mistake, parts of it by decision."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.running import module, run, source

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import ModuleRow, Trace
from traindoctor_probes.training_mode import examine

TEXT = (
    "def validate(model):\n    model.eval()\n"
    "def train_loop(model, loader):\n    model.train()\n" + "    pass\n" * 14
)


def net(*modes: bool, **facts: Any) -> ModuleRow:
    given = {"class_name": "Net", "num_trainable": 40, "num_parameters": 40, "modes": modes}
    return module("", **{**given, **facts})


def dropout(*modes: bool, rate: float = 0.1) -> ModuleRow:
    return module("dropout", class_name="Dropout", attributes={"p": rate}, modes=modes)


def findings(*modules: ModuleRow, text: str = TEXT, **setup: Any) -> list[Finding]:
    trace = run(modules=modules, setup=setup)
    given = asks(short_run=trace, read_source=Trace(source=source(text)))
    return list(examine(given, NoOptions()))


def test_a_validation_that_leaves_eval_mode_behind_is_an_error_at_its_line() -> None:
    (finding,) = findings(net(True, True, False, False), dropout(True, True, False, False))
    assert (finding.code, finding.severity, finding.location.line) == ("TD701", Severity.ERROR, 2)
    assert "2 of 4 backward passes" in finding.title


def test_an_eval_before_the_backward_pass_wins_over_others() -> None:
    text = TEXT + "    model.eval()\n"
    (finding,) = findings(
        net(False), dropout(False), text=text.replace("model.train()", "model.train(False)")
    )
    assert finding.location.line == 4


@pytest.mark.parametrize("part", [dropout(False, rate=0.0), module("body", modes=(False,))])
def test_without_anything_that_depends_on_the_mode_it_is_information(part: ModuleRow) -> None:
    (finding,) = findings(net(False), part)
    assert finding.severity is Severity.INFO


def test_a_class_that_reads_its_mode_depends_on_it() -> None:
    reads = TEXT + (
        "class Net(nn.Module):\n    def forward(self, x):\n"
        "        return F.dropout(x, 0.5, training=self.training)\n"
    )
    (finding,) = findings(net(True, True, False, is_users=True), text=reads)
    assert finding.severity is Severity.ERROR


def test_an_eval_behind_the_backward_pass_in_its_loop_wins_over_one_outside() -> None:
    text = "for step in range(9):\n" + "    pass\n" * 20 + "    model.eval()\nmodel.eval()\n"
    (finding,) = findings(net(True, False), dropout(True, False), text=text)
    assert finding.location.line == 22


def test_an_eval_in_a_function_that_the_loop_calls_first_wins_over_others() -> None:
    text = (
        "def attacked(model):\n    model.eval()\n"
        "def test(model):\n    model.eval()\n"
        "for step in range(9):\n    attacked(model)\n" + "    pass\n" * 20 + "test(model)\n"
    )
    (finding,) = findings(net(False), dropout(False), text=text)
    assert finding.location.line == 2


def test_a_caller_of_train_step_may_set_the_mode() -> None:
    (finding,) = findings(net(False), dropout(False), has_train_loop=False, is_training=False)
    assert finding.severity is Severity.INFO


@pytest.mark.parametrize(
    "modules",
    [
        (net(True, True), dropout(True, True)),
        (net(False, True, True), dropout(False, True, True)),
        (net(False, True, False), dropout(False, True, False)),  # critic and generator in turn
        (net(False, num_trainable=0), dropout(False)),  # frozen
        (net(), dropout()),  # validation only: no backward pass came of it
    ],
)
def test_modes_that_are_right_are_left_alone(modules: tuple[ModuleRow, ...]) -> None:
    assert findings(*modules) == []


def test_batch_norm_kept_in_eval_mode_on_purpose_is_information() -> None:
    norm = module(
        "norm", class_name="BatchNorm2d", modes=(False, False), num_parameters=8, num_trainable=8
    )
    (finding,) = findings(net(True, True), norm)
    assert finding.severity is Severity.INFO


def test_the_doctors_own_loop_is_not_judged() -> None:
    assert findings(net(False), dropout(False), trains_by_hand=False) == []
