"""Somebody else's probe may do anything: it is named, and the others go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from tests.hostile.commands import valid
from tests.hostile.world.things import ERRORS, OwnBase, Touchy

from traindoctor.cli.reading import read
from traindoctor.codec import dumps
from traindoctor.experiments import Experiment, Lab, ReadSource
from traindoctor.probing import Evidence, Probe, Rule, Severity
from traindoctor.probing.events import Event, ProbeEnded
from traindoctor.probing.registry import all_probes
from traindoctor.probing.runner import run_probes
from traindoctor.report.assemble import Occasion, assemble
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import Trace

RULE = Rule(
    code="TD799", name="foreign", severity=Severity.ERROR, title="{x}", what="", why="",
    known_limits="",
)  # fmt: skip


@dataclass(frozen=True)
class Foreign(Experiment):
    """An experiment that comes with a probe."""

    settings: Any = None
    name: ClassVar[str] = "foreign"
    cost: ClassVar[int] = 1

    def run(self, lab: Lab) -> Trace:
        return Trace()

    def measurements(self, trace: Trace) -> dict[str, Any]:
        return {"tensor": torch.ones(1), "touchy": Touchy()}


def raising(error: str) -> Callable[..., Any]:
    def act(*_: Any) -> Any:
        raise ERRORS[error]()

    return act


def asking(ask: Any, _: Any) -> Any:
    ask(Foreign())
    ask(None)
    yield


EXAMINES: dict[str, Callable[..., Any]] = {
    **{f"raises {name}": raising(name) for name in ERRORS},
    "None": lambda ask, options: None,
    "a number": lambda ask, options: 3,
    "words": lambda ask, options: iter(["finding"]),
    "touchy": lambda ask, options: iter([Touchy()]),
    "a tensor as evidence": lambda ask, options: iter(
        [RULE.finding("", evidence=[Evidence("x", torch.ones(1))], x=1)]  # type: ignore[arg-type]
    ),
    "touchy words": lambda ask, options: iter([RULE.finding(Touchy(), x=1)]),  # type: ignore[arg-type]
    "another experiment": asking,
}
PLANS: dict[str, Callable[..., Any]] = {
    **{f"plan raises {name}": raising(name) for name in ("value", "unspeakable", "exit")},
    "plan None": lambda options: None,
    "plan of nonsense": lambda options: (None, 3, Touchy()),
    "plan that cannot be hashed": lambda options: (Foreign([]),),
}


def a_probe(**more: Any) -> Probe:
    facts = {"examine": raising("value"), "experiments": lambda options: (ReadSource(),)}
    return Probe(name="foreign", doc="", rules=(RULE,), **{**facts, **more})


def examined(probe: Probe) -> dict[str, ProbeEnded]:
    """Run it before one of ours; return how both ended, by name."""
    own = next(item for item in all_probes() if item.name == "optimizer-membership")
    model = torch.nn.Linear(2, 2)
    loader = [(torch.randn(4, 2), torch.randn(4, 2))] * 3
    setup = TrainingSetup(model=model, loader=loader, loss_fn=torch.nn.MSELoss())
    events: list[Event] = []
    codes = frozenset({"TD799", *(rule.code for rule in own.rules)})
    run_probes((probe, own), Lab(setup), rules=codes, emit=events.append)
    occasion = Occasion(
        reference="t", command="traindoctor check t", verify="", duration_seconds=0.0,
        required=frozenset(),
    )  # fmt: skip
    valid(dumps(assemble(events, occasion)))
    return {event.name: event for event in events if isinstance(event, ProbeEnded)}


@pytest.mark.parametrize("name", [*EXAMINES, *PLANS])
def test_a_foreign_probe_is_named_and_ours_goes_on(name: str) -> None:
    changes = {"examine": EXAMINES[name]} if name in EXAMINES else {"experiments": PLANS[name]}
    ended = examined(a_probe(**changes))
    assert (ended["foreign"].status, bool(ended["foreign"].reason)) == ("errored", True)
    assert ended["optimizer-membership"].status in ("passed", "failed")


def test_an_interruption_is_for_all_of_us() -> None:
    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        examined(a_probe(examine=interrupt))


def test_what_no_exception_is_ends_the_worker_that_it_is_in() -> None:
    def leave(*_: Any) -> Any:
        raise OwnBase

    with pytest.raises(OwnBase):
        examined(a_probe(examine=leave))


@pytest.mark.parametrize("name", ["raises value", "raises exit", "None", "touchy"])
def test_a_foreign_lint_is_named_and_ours_goes_on(name: str, tmp_path: Any) -> None:
    file = tmp_path / "train.py"
    file.write_text("loss = 1\n")
    foreign = a_probe(lint=lambda row: EXAMINES[name](row, None))
    own = next(probe for probe in all_probes() if probe.lint)
    events = list(read([file], [foreign, own], frozenset({"TD799"}), {}))
    ended = {event.name: event.status for event in events if isinstance(event, ProbeEnded)}
    assert ended == {"foreign": "errored", own.name: "passed"}
