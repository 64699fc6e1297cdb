"""Reports are heard wherever they are made, and stand beside the losses they speak of."""

from __future__ import annotations

import io
import logging
import warnings
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from traindoctor.instruments.dynamics import dynamics_seen
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.said import losses_said, may_be_trained

LOSSES = (4.0, 2.0, 1.0, 0.5, 3.0, 0.25)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch 3: train loss 0.4213", [("train loss", 0.4213, 5e-5)]),
        ("[1,  2000] loss: 2.184", [("loss", 2.184, 5e-4)]),
        ("Epoch 1/10 | Train Loss: 1.5e-03 | Val Loss: 0.7", [("train loss", 0.0015, 5e-5)]),
        ("{'loss': 0.25, 'epoch': 1}", [("loss", 0.25, 0.005)]),
        ("loss=nan", [("loss", float("nan"), 0.0)]),
        ("loss -0.5", [("loss", -0.5, 0.05)]),
        ("validation loss 0.3, best loss 0.2", []),
        ("CTC loss 0.3 | kl_loss: 2.5", [("ctc loss", 0.3, 0.05), ("kl_loss", 2.5, 0.05)]),
        ("the loss of batch 3 is large", []),
        ("loss 12%", []),
        ("lossless 0.5", []),
    ],
)
def test_a_text_says_what_it_says(text: str, said: list[tuple[str, float, float]]) -> None:
    found = losses_said(text)
    assert [name for name, _, _ in found] == [name for name, _, _ in said]
    for (_, value, step), (_, expected, half) in zip(found, said, strict=True):
        assert value == pytest.approx(expected, nan_ok=True)
        assert step == pytest.approx(half)


def test_a_name_may_be_that_of_what_is_trained_on() -> None:
    trained_on = ("loss", "train_loss", "Loss/train", "avg loss", "bpr loss", "loss_d")
    assert all(map(may_be_trained, trained_on))
    assert not any(map(may_be_trained, ("val_loss", "eval loss", "min_loss", "accuracy")))


def trained(report: Any) -> Any:
    """Differentiate six losses over batches of two samples in two epochs, with reports between."""
    recorder = Recorder()
    weight = torch.ones((), requires_grad=True)
    loader = DataLoader(TensorDataset(torch.tensor(LOSSES)), batch_size=2)
    with dynamics_seen(recorder):
        for values in (LOSSES[:3], LOSSES[3:]):
            for index, _ in enumerate(loader):
                loss = weight * values[index]
                loss.backward()  # type: ignore[no-untyped-call]
                report(index, loss.item(), fmean(values[: index + 1]))
    return recorder


def test_a_report_has_the_losses_since_the_last_one_and_since_the_epoch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def report(index: int, _loss: float, mean: float) -> None:
        if index:
            print(f"step {index}: loss {mean:.4f}")

    rows = trained(report).reports
    assert capsys.readouterr().out.splitlines()[0] == "step 1: loss 3.0000"
    assert [row.value for row in rows] == [3.0, 2.3333, 1.75, 1.25]
    assert [row.since_epoch.mean for row in rows] == pytest.approx([3.0, 7 / 3, 1.75, 1.25])
    assert [row.since_report.num_losses for row in rows] == [2, 1, 2, 1]
    assert [row.since_report.last for row in rows] == [2.0, 1.0, 3.0, 0.25]
    assert [row.since_report.weighted for row in rows] == [12.0, 2.0, 7.0, 0.5]
    assert {row.num_dataset for row in rows} == {6}
    assert {row.since_epoch.num_samples for row in rows} == {4, 6}
    assert rows[0].place.text.startswith("print(")


def test_loggers_and_progress_bars_are_heard(caplog: pytest.LogCaptureFixture) -> None:
    from tqdm import tqdm

    logger = logging.getLogger("a.program")
    bar = tqdm(total=6, disable=False, file=io.StringIO())

    def report(index: int, loss: float, mean: float) -> None:
        logger.warning("loss %.2f", loss)
        bar.set_postfix(loss=mean, accuracy=0.5)
        bar.set_description(f"loss {loss:.1f}")

    rows = trained(report).reports
    bar.close()
    assert [record.getMessage() for record in caplog.records][:1] == ["loss 4.00"]
    channels = {row.channel for row in rows}
    assert channels == {"logging", "tqdm"}
    assert [row.value for row in rows if row.channel == "logging"] == list(LOSSES)
    assert sum(row.channel == "tqdm" for row in rows) == 12


def test_a_writer_of_scalars_is_heard_once_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    class SummaryWriter:
        def add_scalar(self, tag: str, scalar_value: Any, global_step: int = 0) -> str:
            return tag

    module = ModuleType("tensorboardX.writer")
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX.writer", module)
    original = SummaryWriter.add_scalar
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    writer = SummaryWriter()

    def report(index: int, loss: float, _mean: float) -> None:
        assert writer.add_scalar("loss/train", torch.tensor(loss), index) == "loss/train"
        writer.add_scalar("learning_rate", scalar_value=0.1)

    rows = trained(report).reports
    assert [(row.name, row.value) for row in rows] == [("loss/train", loss) for loss in LOSSES]
    assert SummaryWriter.add_scalar is original


def test_a_line_that_names_no_loss_costs_nothing_and_says_nothing() -> None:
    def report(index: int, loss: float, _mean: float) -> None:
        print("step", index, loss)
        print({"loss": loss})
        print("accuracy 0.5")

    assert trained(report).reports == []


def test_a_trainer_reports_a_number_where_the_loss_was_nan(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Linear(2, 1)
            self.calls = 0

        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            self.calls += 1
            loss = (self.weight(x)[:, 0] - labels).square().mean()
            return {"loss": loss * float("nan") if self.calls > 4 else loss}

    data = [{"x": torch.randn(2), "labels": torch.zeros(())} for _ in range(32)]
    arguments = transformers.TrainingArguments(
        str(tmp_path),
        per_device_train_batch_size=4,
        num_train_epochs=1,
        logging_steps=4,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    recorder = Recorder()
    with dynamics_seen(recorder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.Trainer(Model(), arguments, train_dataset=data).train()
    told = [row for row in recorder.reports if row.channel == "Trainer.log"]
    first, second = (row for row in told if row.name == "loss")
    assert first.value == pytest.approx(first.since_report.mean, abs=first.resolution + 1e-3)
    assert (first.since_report.num_nan, second.since_report.num_nan) == (0, 4)
    assert second.value == second.value
