"""One small net under the many ways in which people run a training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from tests.zoo.plain.stable import VOCAB, batches, blobs, curve, stable, text
from tests.zoo.specimen import Target
from torch import Tensor, nn
from torch.utils.data import DataLoader

EPOCHS = 4


def net(num_in: int = 8, num_out: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Linear(num_in, 32), nn.ReLU(), nn.Linear(32, num_out))


def accumulation_and_clipping() -> Target:
    model = net()
    return {
        "model": model,
        "loader": batches(*blobs()),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=3e-3),
        "loss_fn": nn.CrossEntropyLoss(),
        "accumulation_steps": 4,
        "max_grad_norm": 1.0,
    }


def momentum_and_one_cycle() -> Target:
    model = net()
    loader = batches(*blobs())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, epochs=EPOCHS, steps_per_epoch=len(loader)
    )
    return {
        "model": model,
        "loader": loader,
        "optimizer": optimizer,
        "scheduler": scheduler,
        "loss_fn": nn.CrossEntropyLoss(),
        "epochs": EPOCHS,
    }


def warm_up() -> Target:
    """The rate rises linearly over the first ten steps, then stays."""
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(1.0, (n + 1) / 10))
    return {
        "model": model,
        "loader": batches(*blobs()),
        "optimizer": optimizer,
        "scheduler": scheduler,
        "loss_fn": nn.CrossEntropyLoss(),
    }


def plain_sgd() -> Target:
    model = net()
    return {
        "model": model,
        "loader": batches(*blobs()),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "loss_fn": F.cross_entropy,
    }


def parameter_groups() -> Target:
    """No weight decay on biases, and a smaller rate for the first layer."""
    model = net()
    groups = [
        {"params": [model[0].weight], "lr": 1e-3},
        {"params": [model[2].weight]},
        {"params": [model[0].bias, model[2].bias], "weight_decay": 0.0},
    ]
    return {
        "model": model,
        "loader": batches(*blobs()),
        "optimizer": torch.optim.AdamW(groups, lr=3e-3, weight_decay=0.1),
        "loss_fn": nn.CrossEntropyLoss(),
        "validation_loader": batches(*blobs(num_samples=64)),
    }


def model_and_loader_alone() -> Target:
    """Nothing but the two that are required; the loss comes out of forward."""

    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.net(features)
            return {"loss": F.cross_entropy(logits, labels), "logits": logits}

    rows = [{"features": x, "labels": y} for x, y in zip(*blobs(), strict=True)]
    return {"model": WithLoss(), "loader": DataLoader(rows, batch_size=16, shuffle=True)}


def lbfgs() -> Target:
    """Several forward and backward passes in one step, through a closure."""
    model = net(4, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=5)

    def train_step(
        model: nn.Module, batch: tuple[Tensor, Tensor], optimizer: torch.optim.LBFGS
    ) -> Any:
        inputs, targets = batch

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.mse_loss(model(inputs), targets)
            loss.backward()
            return loss

        return optimizer.step(closure)

    return {
        "model": model,
        "loader": batches(*curve(), size=24),
        "optimizer": optimizer,
        "train_step": train_step,
    }


def own_step() -> Target:
    """A step that does everything itself, with clipping and a schedule."""
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=200)

    def train_step(
        model: nn.Module,
        batch: tuple[Tensor, Tensor],
        optimizer: torch.optim.Optimizer,
        scheduler: torch.optim.lr_scheduler.LRScheduler,
    ) -> Tensor:
        inputs, targets = batch
        loss = F.cross_entropy(model(inputs), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        return loss

    return {
        "model": model,
        "loader": batches(*blobs()),
        "optimizer": optimizer,
        "scheduler": scheduler,
        "train_step": train_step,
    }


def only_the_loss() -> Target:
    """A step that returns the loss and leaves the rest to the loop."""
    model = net()

    def train_step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        inputs, targets = batch
        return F.cross_entropy(model(inputs), targets)

    return {
        "model": model,
        "loader": batches(*blobs()),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=3e-3),
        "train_step": train_step,
    }


def accumulating_loop() -> Target:
    """A loop of one's own that steps at every fourth batch and at the end of the epoch."""
    model = net()

    def train_loop(
        model: nn.Module,
        loader: Iterable[tuple[Tensor, Tensor]],
        optimizer: torch.optim.Optimizer,
        epochs: int,
    ) -> None:
        every = 4
        model.train()
        for _ in range(epochs):
            pending = 0
            for inputs, targets in loader:
                loss = F.cross_entropy(model(inputs), targets)
                (loss / every).backward()
                pending += 1
                if pending == every:
                    optimizer.step()
                    optimizer.zero_grad()
                    pending = 0
            if pending:
                optimizer.step()
                optimizer.zero_grad()

    return {
        "model": model,
        "loader": batches(*blobs()),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=3e-3),
        "train_loop": train_loop,
        "epochs": EPOCHS,
    }


def trainer() -> Any:
    """A `transformers.Trainer` as its documentation shows it, on packed text."""
    import tempfile

    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

    config = GPT2Config(vocab_size=VOCAB, n_positions=32, n_embd=32, n_layer=2, n_head=4)
    config.bos_token_id = config.eos_token_id = 0
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(prefix="zoo-"),
        per_device_train_batch_size=8,
        learning_rate=1e-3,
        num_train_epochs=EPOCHS,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    rows = [{"input_ids": words, "labels": words} for words in text()]
    return Trainer(model=GPT2LMHeadModel(config), args=arguments, train_dataset=rows)


SPECIMENS = stable(
    "recipe",
    accumulation_and_clipping,
    momentum_and_one_cycle,
    warm_up,
    plain_sgd,
    parameter_groups,
    model_and_loader_alone,
    lbfgs,
    own_step,
    only_the_loss,
    accumulating_loop,
    trainer,
    quick=(
        accumulation_and_clipping,
        model_and_loader_alone,
        lbfgs,
        accumulating_loop,
        trainer,
    ),
)
