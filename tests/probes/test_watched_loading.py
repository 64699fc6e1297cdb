"""The data probes find in a run that is watched as it goes what they find in a setup."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.probes.asking import asks
from torch import nn
from torch.utils.data import DataLoader

from traindoctor.instruments.backward import backwards_seen
from traindoctor.instruments.loaders import loaders_seen
from traindoctor.instruments.recorder import Recorder
from traindoctor.probing import Severity
from traindoctor.probing.registry import all_probes
from traindoctor.trace import PulseRow, Trace

FAULTS = Path(__file__).parents[2] / "fixtures" / "faults"
PROBES = [
    probe
    for probe in all_probes()
    if {rule.code for rule in probe.rules} & {"TD503", "TD504", "TD508", "TD509", "TD510", "TD512"}
]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    number = torch.get_num_threads()
    yield
    torch.set_num_threads(number)


def load(name: str, twin: str) -> Any:
    file = FAULTS / name / f"{twin}.py"
    spec = importlib.util.spec_from_file_location(f"watched_{twin}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_its_loop(module: Any) -> None:
    parts = module.setup()
    names = [n for n in ("model", "loader", "optimizer", "epochs") if n in parts]
    parts["epochs"] = 2
    module.train(*(parts[name] for name in names))


def by_its_loss(module: Any) -> None:
    parts = module.setup()
    for batch in itertools.islice(parts["loader"], 8):
        outputs = parts["model"](batch["input_ids"], batch["attention_mask"])
        module.loss_fn(outputs, batch).backward()


def on_fewer_samples(module: Any) -> None:
    model = nn.Linear(12, 4)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    module.train(model, DataLoader(module.Readings(640), 16), optimizer, 1)


@pytest.mark.parametrize(
    ("name", "code", "train"),
    [
        ("same-batch-again", "TD503", by_its_loop),
        ("not-shuffled", "TD504", by_its_loop),
        ("worker-randomness-repeats", "TD508", by_its_loop),
        ("duplicated-by-workers", "TD509", by_its_loop),
        ("waiting-for-data", "TD510", on_fewer_samples),
        ("mostly-padding", "TD512", by_its_loss),
    ],
)
def test_a_sick_program_is_told_from_its_twin_while_it_runs(
    name: str, code: str, train: Callable[[Any], None]
) -> None:
    for twin, codes in (("sick", [code]), ("healthy", [])):
        module, recorder = load(name, twin), Recorder()
        with backwards_seen(recorder, ()), loaders_seen(recorder) as seen:
            train(module)
        assert seen.error is None
        others = {"TD510"} - {code}  # which a busy machine can make true
        assert found(recorder.trace(pulses=(PulseRow(),)), others) == codes, twin


def found(trace: Trace, others: set[str]) -> list[str]:
    """Return what the probes say of a run that answers every question by its own tables."""
    ask = asks(short_run=trace, watch_loader=trace)
    return [
        finding.code
        for probe in PROBES
        for finding in probe.examine(ask, probe.options())
        if finding.severity is not Severity.INFO and finding.code not in others
    ]
