"""Accumulated gradients are set beside the gradient of one batch's mean loss."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.probes.asking import asks
from tests.probes.running import USERS, line, run
from torch import nn
from torch.utils.data import Dataset

import traindoctor
from traindoctor.probing import Finding, Severity
from traindoctor.trace import BackwardRow, ClipRow, CriterionRow, SetupRow, StepRow, Trace
from traindoctor_probes.accumulation_scale import NoOptions, accumulated, examine, growth

MEAN = CriterionRow(function="cross_entropy", value=2.0)


def loop(num_batches: int = 4, optimizer: str = "SGD", **tables: Any) -> Trace:
    """Two steps of a loop that takes so many batches for each."""
    trace = run(
        backwards=tuple(
            BackwardRow(index=i, step=i // num_batches, batch=i, loss=2.0, place=line(18))
            for i in range(2 * num_batches)
        ),
        steps=tuple(StepRow(index=i, batch=num_batches * (i + 1) - 1) for i in range(2)),
        **tables,
    )
    return replace(trace, optimizers=(replace(USERS, class_name=optimizer),))


def again(step_norm: float, loss: float = 2.0, first_norm: float = 1.0, **row: Any) -> Trace:
    """Four copies of one batch: the gradient after the first, and at the step."""
    facts = {"first_norm": first_norm, "step_norm": step_norm, "loss": loss}
    passes = tuple(BackwardRow(index=i, step=0, batch=0, loss=loss) for i in range(4))
    return Trace(facts=facts, backwards=passes, criteria=(replace(MEAN, **row),) * 4)


def found(first: Trace, second: Trace) -> list[Finding]:
    return list(examine(asks(short_run=first, accumulated_gradient=second), NoOptions()))


def test_a_sum_is_an_error_at_the_backward_pass() -> None:
    (finding,) = found(loop(), again(4.0))
    assert (finding.code, finding.severity) == ("TD109", Severity.ERROR)
    assert finding.location.line == 18
    assert "4 times that of the mean loss" in finding.message


@pytest.mark.parametrize(
    ("kept", "severity"), [(None, Severity.INFO), (1.0, Severity.INFO), (0.3, Severity.ERROR)]
)
def test_adam_minds_it_only_under_clipping(kept: float | None, severity: Severity) -> None:
    clip = ClipRow(place=line(19), norms=(1 / (kept or 1),), limits=(1.0,))
    trace = loop(optimizer="AdamW", clips=() if kept is None else (clip,))
    (finding,) = found(trace, again(4.0))
    assert finding.severity == severity


@pytest.mark.parametrize(
    "second",
    [
        again(1.0, loss=0.5, first_norm=0.25),  # divided before backward
        again(1.0),  # divided before the step
        again(4.0, loss=0.001),  # divided by a count of tokens
        again(4.0, reduction="sum"),
        again(2.7),
    ],
)
def test_a_mean_and_what_is_divided_otherwise_are_healthy(second: Trace) -> None:
    assert found(loop(), second) == []


def test_two_losses_of_one_batch_are_no_accumulation() -> None:
    rows = tuple(BackwardRow(index=i, step=i // 2, batch=i // 2, loss=2.0) for i in range(8))
    steps = tuple(StepRow(index=i, batch=i) for i in range(4))
    assert accumulated(replace(loop(), backwards=rows, steps=steps)) == 0
    assert accumulated(loop(1)) == 0
    assert accumulated(loop(3)) == 3
    assert growth(replace(again(4.0), criteria=(MEAN,) * 8)) is None


def test_a_trainer_that_divides_is_healthy() -> None:
    declared = SetupRow(trainer_class="Trainer", accumulation_steps=4)
    trace = replace(loop(), setup=declared)
    assert found(trace, Trace(facts={"is_divided": True})) == []
    (finding,) = found(trace, Trace(facts={"is_divided": False}))
    assert "takes the loss for divided" in finding.message


class Rows(Dataset[Any]):
    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        torch.manual_seed(index)
        x = torch.randn(4)
        return {"x": x, "labels": (x.sum() > 0).long()}


class Net(nn.Module):
    """Takes any keyword, and divides by the number of labels, or does not."""

    def __init__(self, divides: bool) -> None:
        super().__init__()
        self.head, self.divides = nn.Linear(4, 2), divides

    def forward(self, x: Any, labels: Any = None, **kwargs: Any) -> Any:
        logits, count = self.head(x), kwargs.get("num_items_in_batch")
        if self.divides and count is not None:
            loss = F.cross_entropy(logits, labels, reduction="sum") / count
        else:
            loss = F.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


@pytest.mark.parametrize("divides", [True, False])
def test_a_trainer_is_asked_with_two_numbers_of_labels(divides: bool) -> None:
    transformers = pytest.importorskip("transformers")
    args = transformers.TrainingArguments(
        output_dir=tempfile.gettempdir(),
        gradient_accumulation_steps=4,
        per_device_train_batch_size=8,
        optim="sgd",
        learning_rate=0.1,
        max_grad_norm=0.0,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = transformers.Trainer(model=Net(divides), args=args, train_dataset=Rows())
    report = traindoctor.check(trainer, select=["TD109"])
    assert [finding.code for finding in report.findings] == [] if divides else ["TD109"]
