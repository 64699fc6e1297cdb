"""A trainer with the callback trains to the bit as without, and is judged like a watched script."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from traindoctor.report.record import Report


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.layer(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def data() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(256, 4, generator=generator)
    return [{"x": row, "labels": int(row.sum() > 0)} for row in x]


def taps() -> tuple[Any, ...]:
    hooks = sys.modules["torch.optim.optimizer"]._global_optimizer_pre_hooks
    return nn.Module.__call__, torch.autograd.backward, torch.compile, tuple(hooks)


def trained(folder: Path, rate: float, callbacks: list[Any]) -> tuple[torch.Tensor, int]:
    """Train with `transformers.Trainer`; return the weights and the number of steps."""
    from transformers import Trainer, TrainingArguments

    torch.manual_seed(0)
    model = Net()
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=8,
        max_steps=40,
        learning_rate=rate,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=data(), callbacks=callbacks)
    trainer.train()
    return model.layer.weight.detach().clone(), trainer.state.global_step


def codes(report: Report | None) -> list[str]:
    assert report is not None
    return [finding.code for finding in report.findings if finding.severity != "info"]


def test_a_healthy_trainer_is_called_healthy_and_trains_the_same(tmp_path):
    from traindoctor.integrations.transformers import TrainDoctorCallback

    callback, before = TrainDoctorCallback(), taps()

    watched, _ = trained(tmp_path, 1e-2, [callback])
    alone, _ = trained(tmp_path, 1e-2, [])

    assert torch.equal(watched, alone)
    assert taps() == before
    assert (codes(callback.report), callback.report.verdict) == ([], "healthy")


def test_what_is_critical_is_logged_and_may_end_the_run(tmp_path, caplog):
    from traindoctor.integrations.transformers import TrainDoctorCallback

    callback = TrainDoctorCallback(select=["TD405"], stop_on_critical=True)

    with caplog.at_level(logging.INFO, logger="traindoctor"):
        trained(tmp_path, 0.0, [callback])

    assert codes(callback.report) == ["TD405"]
    assert "Training is blocked" in caplog.text


def lit(folder: Path, rate: float, callbacks: list[Any], fails: bool = False) -> torch.Tensor:
    """Train with Lightning; return the weights."""
    import lightning.pytorch as lightning

    class Lit(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            if fails and index == 5:
                raise ValueError("a bad batch")
            return self.net(**batch)["loss"]

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=rate)

    torch.manual_seed(0)
    model = Lit()
    loader = torch.utils.data.DataLoader(data(), batch_size=8, shuffle=True)
    trainer = lightning.Trainer(
        max_steps=40,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=callbacks,
    )
    trainer.fit(model, loader)
    return model.net.layer.weight.detach().clone()


def test_a_healthy_lightning_run_is_called_healthy_and_trains_the_same(tmp_path):
    from traindoctor.integrations.lightning import TrainDoctorCallback

    callback, before = TrainDoctorCallback(), taps()

    watched, alone = lit(tmp_path, 1e-2, [callback]), lit(tmp_path, 1e-2, [])

    assert torch.equal(watched, alone)
    assert taps() == before
    assert codes(callback.report) == []


def test_a_sick_lightning_run_is_named(tmp_path):
    from traindoctor.integrations.lightning import TrainDoctorCallback

    callback = TrainDoctorCallback()

    lit(tmp_path, 0.0, [callback])

    assert codes(callback.report)[0] in ("TD405", "TD406")


def test_a_run_that_raises_is_reported_and_untapped(tmp_path):
    from traindoctor.integrations.lightning import TrainDoctorCallback

    callback, before = TrainDoctorCallback(), taps()

    with pytest.raises(ValueError, match="a bad batch"):
        lit(tmp_path, 1e-2, [callback], fails=True)

    assert taps() == before
    assert callback.report is not None
    assert callback.report.measurements["seen"]["steps"] == 5


def test_a_callback_in_one_process_of_several_reports_on_its_own(monkeypatch):
    from traindoctor.integrations.watcher import Watcher

    numbers = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    for name, value in (numbers | {"TORCHELASTIC_RUN_ID": "run"}).items():
        monkeypatch.setenv(name, value)
    model = torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watcher = Watcher(select=["TD4"])

    watcher.begin(model, [optimizer])
    for _ in range(4):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).pow(2).mean().backward()
        optimizer.step()
        watcher.step()
    report = watcher.end()

    assert report is not None
    assert report.measurements["seen"]["steps"] == 4


def test_a_watcher_that_ends_after_a_bad_loss_hears_no_operations_any_more():
    from torch.overrides import _get_current_function_mode_stack

    from traindoctor.integrations.watcher import Watcher

    model = nn.Linear(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    watcher = Watcher(select=["TD102"])
    watcher.begin(model, [optimizer])
    for step in range(14):
        x, wanted = torch.randn(16, 8), torch.rand(16, 4) - (0.5 if step == 12 else 0.0)
        logs = nn.functional.log_softmax(model(x), 1)
        nn.functional.kl_div(logs, wanted, reduction="batchmean").backward()
        if step < 12:
            optimizer.step()
            optimizer.zero_grad()
    watcher.end()
    assert _get_current_function_mode_stack() == []
