"""Trainable weights that nn.Module does not know of."""

from __future__ import annotations

from typing import Any

from tests.probes.asking import asks
from tests.probes.running import line

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import LossRow, ModuleRow, Trace
from traindoctor_probes.registration import examine

LIST = line(7, "self.layers = [nn.Linear(4, 4) for _ in range(2)]")


def findings(*, used: bool = True, num_held: int = 0, **facts: Any) -> list[Finding]:
    attributes = {"num_items": 2, "container": "list", "num_tensors": 4, "num_held": num_held}
    given = {"path": "", "class_name": "Linear", "place": LIST, "num_trainable": 40} | facts
    row = ModuleRow(is_registered=False, holder="layers", attributes=attributes, **given)
    among = (("", "layers"),) if used else ()
    step = Trace(
        losses=(LossRow(step=0, batch=0, value=1.0),), facts={"unregistered_in_graph": among}
    )
    return list(examine(asks(step, read_source=Trace(modules=(row,))), NoOptions()))


def test_a_plain_list_is_an_error_at_its_line_with_the_line_as_it_should_be() -> None:
    (finding,) = findings()
    assert (finding.code, finding.severity, finding.location.line) == ("TD709", Severity.ERROR, 7)
    after = "self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])"
    assert finding.remedies[0].after == after


def test_a_list_that_grows_is_shown_no_rewritten_line() -> None:
    (finding,) = findings(place=line(7, "self.layers = build("))
    assert "nn.ModuleList" in finding.remedies[0].after
    assert finding.remedies[0].before != "self.layers = build("


def test_what_the_loss_does_not_descend_from_is_left_alone() -> None:
    assert findings(used=False) == []


def test_a_frozen_teacher_that_is_hidden_on_purpose_is_left_alone() -> None:
    assert findings(num_trainable=0) == []


def test_what_an_optimizer_was_given_by_hand_is_information() -> None:
    (finding,) = findings(num_held=4)
    assert finding.severity is Severity.INFO


def test_a_line_that_hides_weights_in_several_modules_is_one_fault() -> None:
    rows = tuple(
        ModuleRow(
            path=f"blocks.{number}",
            class_name="Linear",
            place=LIST,
            num_trainable=40,
            is_registered=False,
            holder="layers",
            attributes={"num_items": 2, "container": "list", "num_tensors": 4, "num_held": 0},
        )
        for number in range(3)
    )
    step = Trace(
        losses=(LossRow(step=0, batch=0, value=1.0),),
        facts={"unregistered_in_graph": tuple((row.path, row.holder) for row in rows)},
    )
    (finding,) = examine(asks(step, read_source=Trace(modules=rows)), NoOptions())
    assert finding.title.startswith("120 weights in blocks.*.layers (3)")
    assert [row.value for row in finding.evidence] == [120, 0, 0]
