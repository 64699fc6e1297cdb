"""What trainers do with gradients and rates is what the probes call healthy."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.instruments.loops import batches, loss_of, network, trace_of
from tests.probes.asking import asks
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from traindoctor.instruments.recorder import Recorder
from traindoctor.trace import SetupRow, Trace

PROBES = (
    "accumulation_windows",
    "clipping_place",
    "clipping_strength",
    "gradient_scaler",
    "learning_rate_schedule",
    "optimizer_state",
    "step_order",
)
SCHEDULES = ("linear", "cosine", "constant_with_warmup", "cosine_with_restarts", "inverse_sqrt")


def codes(loop: Any, **facts: Any) -> list[str]:
    """Return what is found in a script that does this and comes to its end."""
    trace = trace_of(loop)
    setup = SetupRow(kind="script", trains_by_hand=True)
    judged = dataclasses.replace(trace, setup=setup, facts={"ended": True} | facts)
    given = asks(short_run=judged, read_source=Trace())
    probes = [import_module(f"traindoctor_probes.{name}").probe for name in PROBES]
    return [finding.code for p in probes for finding in p.examine(given, p.options())]


class Sequences(Dataset[dict[str, torch.Tensor]]):
    """Eleven batches of four, of which four windows of three leave some over."""

    def __len__(self) -> int:
        return 44

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        ids = torch.arange(index, index + 12) % 64
        return {"input_ids": ids, "labels": ids}


def llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 32}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=64, **sizes, **heads))


def training(folder: Path, resume: bool = False, **settings: Any) -> Any:
    """Return a script around `transformers.Trainer`."""
    from transformers import Trainer, TrainingArguments

    given = {"num_train_epochs": 2, "learning_rate": 1e-3, "save_strategy": "no"} | settings
    args = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        max_grad_norm=1.0,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **given,
    )
    trainer = Trainer(model=llama(), args=args, train_dataset=Sequences())
    return lambda _: trainer.train(resume_from_checkpoint=resume)


@pytest.mark.parametrize("accumulation", [1, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("warm_up", [pytest.param(0, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize(
    "schedule",
    [pytest.param(name, marks=[pytest.mark.slow] * (name != "cosine")) for name in SCHEDULES],
)
def test_a_trainer_is_healthy_with_any_schedule(
    schedule: str, warm_up: int, accumulation: int, tmp_path: Path
) -> None:
    run = training(
        tmp_path,
        lr_scheduler_type=schedule,
        warmup_steps=warm_up,
        gradient_accumulation_steps=accumulation,
    )
    assert codes(run, num_epochs=2) == []


def test_a_trainer_that_resumes_has_its_optimizers_state(tmp_path: Path) -> None:
    training(tmp_path, num_train_epochs=1, save_strategy="epoch")(None)
    assert codes(training(tmp_path, resume=True), num_epochs=1) == []


@pytest.mark.parametrize("accumulation", [1, 4])
def test_accelerate_is_healthy(accumulation: int) -> None:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    def loop(recorder: Recorder) -> None:
        accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulation)
        model = network()
        optimizer = torch.optim.AdamW(model.parameters())
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=22)
        model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
        for _ in batches(recorder, 22):
            with accelerator.accumulate(model):
                accelerator.backward(loss_of(model))
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    assert codes(loop, num_epochs=2) == []


@pytest.mark.parametrize(("interval", "expected"), [("step", []), ("epoch", ["TD407"])])
def test_lightning_is_healthy_if_it_is_told_what_the_schedule_counts(
    interval: str, expected: list[str]
) -> None:
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(self.parameters())
            total = int(self.trainer.estimated_stepping_batches)
            scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=total)
            return [optimizer], [{"scheduler": scheduler, "interval": interval}]

    def loop(_: Recorder) -> None:
        data = TensorDataset(torch.randn(120, 4), torch.randint(3, (120,)))
        lightning.Trainer(
            max_epochs=5,
            accelerator="cpu",
            accumulate_grad_batches=2,
            gradient_clip_val=1.0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(Module(), DataLoader(data, batch_size=8))

    assert codes(loop) == expected
