"""Runs that go on from a checkpoint without their optimizer's state."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.running import line, run, source

from traindoctor.probing import Confidence, Finding, NoOptions
from traindoctor.trace import CheckpointRow, SchedulerRow, Trace
from traindoctor_probes.optimizer_state import examine

READ, GIVEN = line(40, "checkpoint = torch.load(path)"), line(41, "model.load_state_dict(...)")
ADAM = ("exp_avg", "exp_avg_sq", "step")
RESUMES = "checkpoint = torch.load(path)\nfor epoch in range(checkpoint['epoch'], 9):\n    pass\n"
STARTS = (
    "checkpoint = torch.load(path)\nfirst = checkpoint['epoch'] + 1\n"
    "for epoch in range(first, 9):\n    pass\n"
)
PRINTS = "checkpoint = torch.load(path)\nprint(f\"epoch {checkpoint['epoch']}\")\n"
SAVES = RESUMES + "torch.save({'optimizer': optimizer.state_dict()}, path)\n"
RESTORES = SAVES + "if args.full:\n    optimizer.load_state_dict(checkpoint['optimizer'])\n"


def findings(text: str = RESUMES, tables: Any = None, **facts: Any) -> list[Finding]:
    given: dict[str, Any] = {
        "place": READ,
        "keys": ("model", "optimizer", "epoch"),
        "num_states": 4,
        "num_held": 4,
        "state_names": ADAM,
        "module_class": "Net",
        "module_place": GIVEN,
        "optimizer": 0,
        "optimizer_class": "AdamW",
        "num_kept": 4,
        "kept_names": ADAM,
        "num_shared": 4,
        "num_parameters": 4,
        "num_trained": 4,
    }
    trace = run(checkpoints=(CheckpointRow(**given | facts),), **(tables or {}))
    return list(examine(asks(short_run=trace, read_source=Trace(source=source(text))), NoOptions()))


def test_weights_without_the_state_are_reported_where_the_weights_are_loaded() -> None:
    (finding,) = findings()
    assert (finding.code, finding.severity, finding.location.line) == ("TD417", "error", 41)
    assert finding.confidence is Confidence.LIKELY
    assert 'begins at the checkpoint\'s "epoch"' in finding.message


@pytest.mark.parametrize("text", [STARTS, SAVES])
def test_however_the_loop_takes_its_beginning_from_the_file(text: str) -> None:
    assert len(findings(text)) == 1


def test_a_schedule_that_goes_on_tells_a_resumed_run_too() -> None:
    row = SchedulerRow(index=0, optimizer=0, position=36, num_steps=6)
    assert len(findings("", {"schedulers": (row,)})) == 1


def test_a_state_for_an_optimizer_that_never_steps_is_lost() -> None:
    (finding,) = findings("", num_received=1, num_wasted=1)
    assert "never steps" in finding.message


@pytest.mark.parametrize(
    ("why", "facts"),
    [
        ("restored before the first step", {"num_restored": 4}),
        ("the optimizer keeps no state", {"num_kept": 0, "kept_names": ()}),
        ("another kind of optimizer", {"kept_names": ("momentum_buffer",)}),
        ("another number of parameters", {"num_trained": 6}),
        ("what it trains is another module", {"num_shared": 1}),
        ("no optimizer trains it", {"optimizer": None}),
        ("another model's optimizer got its own", {"num_received": 1}),
    ],
)
def test_what_could_not_or_need_not_be_restored_is_silent(why: str, facts: dict[str, Any]) -> None:
    assert findings(**facts) == [], why


def test_fine_tuning_begins_with_the_weights_alone() -> None:
    assert findings("model.load_state_dict(torch.load(path)['model'])\n") == []
    assert findings(PRINTS) == []


def test_a_line_that_restores_and_was_not_reached_was_left_out_by_somebody() -> None:
    assert findings(RESTORES) == []


def test_the_run_before_tells_a_resumed_run_and_how_it_ended() -> None:
    earlier = {"num_steps": 480, "loss": 0.25, "schedulers": ()}
    (finding,) = findings("", {"facts": {"earlier": earlier}})
    assert "goes on after 480 steps" in finding.message
    assert {e.label: e.value for e in finding.evidence}["steps of the run before"] == 480
    assert not findings("", {"facts": {"earlier": earlier}}, num_restored=4)
