"""A Lightning module with its data becomes a setup that trains as Lightning does."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from traindoctor.errors import TargetError
from traindoctor.target.calling import call_by_name
from traindoctor.target.setup import TrainingSetup, as_setup
from traindoctor.target.snapshot import preserved

pytest.importorskip("lightning")
PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def loader() -> DataLoader[Any]:
    torch.manual_seed(1)
    x = torch.randn(16, 3)
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), 4)


def make(package: str = PACKAGES[0], returns: Any = None, **methods: Any) -> Any:
    """Return an instance of a fresh LightningModule class with these methods."""
    base = importlib.import_module(package).LightningModule

    def init(self: Any) -> None:
        base.__init__(self)
        torch.manual_seed(0)
        self.net = nn.Linear(3, 1)

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        loss = nn.functional.mse_loss(self.net(x), y)
        self.log("loss", loss, prog_bar=True)
        self.log_dict({"twice": 2 * loss})
        return loss

    def configure_optimizers(self: Any) -> Any:
        return (returns or sgd)(self)

    members = {
        "__init__": init,
        "training_step": training_step,
        "configure_optimizers": configure_optimizers,
    }
    return type("Module", (base,), members | methods)()


def sgd(module: Any, lr: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), lr=lr)


def step(setup: TrainingSetup, batch: Any, number: int = 0) -> Any:
    available = {"model": setup.model, "batch": batch, "step": number}
    return call_by_name(setup.train_step, available)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_module_and_a_loader_train_to_lightnings_own_weights(package: str, tmp_path: Any) -> None:
    theirs, mine = make(package), make(package)
    trainer = importlib.import_module(package).Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(theirs, loader())
    setup = as_setup((mine, loader()))
    for number, batch in enumerate(setup.loader):
        step(setup, batch, number).backward()
        setup.optimizer.step()
        setup.optimizer.zero_grad()
    assert (setup.kind, setup.only_loss) == ("Lightning", True)
    assert torch.equal(mine.net.weight, theirs.net.weight)


def test_the_module_is_left_without_a_trainer() -> None:
    module = make()
    before = set(vars(module))
    setup = as_setup((module, loader()))
    step(setup, next(iter(setup.loader)))
    assert module._trainer is None
    assert set(vars(module)) == before


def test_logging_warns_of_nothing_and_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        setup = as_setup((make(), loader()))
        step(setup, next(iter(setup.loader)))
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def scheduler(optimizer: torch.optim.Optimizer) -> Any:
    return torch.optim.lr_scheduler.StepLR(optimizer, 1)


def with_schedule(module: Any, **config: Any) -> Any:
    optimizer = sgd(module)
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": scheduler(optimizer), **config},
    }


def two_lists(module: Any) -> Any:
    optimizer = sgd(module)
    return [optimizer], [{"scheduler": scheduler(optimizer), "interval": "step"}]


@pytest.mark.parametrize(
    ("returns", "num_optimizers", "has_scheduler"),
    [
        (sgd, 1, False),
        (lambda module: [sgd(module)], 1, False),
        (lambda module: {"optimizer": sgd(module)}, 1, False),
        (two_lists, 1, True),
        (lambda module: with_schedule(module, interval="step"), 1, True),
        (lambda module: with_schedule(module, interval="epoch"), 1, False),
        (with_schedule, 1, False),
        (lambda module: with_schedule(module, interval="step", frequency=5), 1, False),
    ],
)
def test_every_form_of_configure_optimizers_is_understood(
    returns: Any, num_optimizers: int, has_scheduler: bool
) -> None:
    setup = as_setup((make(returns=returns), loader()))
    assert len(setup.optimizers) == num_optimizers
    assert (setup.scheduler is not None) is has_scheduler


@pytest.mark.filterwarnings("ignore:.*configure_optimizers. returned .None.")
def test_no_optimizer_is_no_optimizer() -> None:
    module = make(configure_optimizers=lambda self: None)
    assert as_setup((module, loader())).optimizers == ()


def test_a_schedule_may_ask_how_long_the_training_is() -> None:
    seen = []

    def configure(module: Any) -> Any:
        seen.append((module.trainer.estimated_stepping_batches, module.trainer.max_epochs))
        return sgd(module)

    as_setup({"model": make(returns=configure), "loader": loader(), "epochs": 3})
    assert seen == [(12, 3)]


def test_parts_given_by_name_win() -> None:
    module = make()
    own = sgd(module, lr=0.7)
    parts = {"model": module, "loader": loader(), "optimizer": own, "max_grad_norm": 1.0}
    setup = as_setup(parts)
    assert setup.optimizer is own
    assert setup.max_grad_norm == 1.0


def datamodule(**methods: Any) -> Any:
    base = importlib.import_module("lightning.pytorch").LightningDataModule

    def setup(self: Any, stage: str) -> None:
        self.stage = stage

    members = {"setup": setup, "train_dataloader": lambda self: loader()}
    return type("Data", (base,), members | methods)()


def test_a_data_module_is_set_up_and_asked_for_its_loader() -> None:
    data = datamodule()
    setup = as_setup((make(), data))
    assert data.stage == "fit"
    assert len(list(setup.loader)) == 4


def test_a_module_with_its_own_loader_needs_nothing_else() -> None:
    setup = as_setup(make(train_dataloader=lambda self: loader()))
    assert len(list(setup.loader)) == 4


def test_hooks_that_prepare_the_module_and_its_batches_run() -> None:
    def set_up(self: Any, stage: str) -> None:
        self.extra = nn.Linear(1, 1)

    def start(self: Any) -> None:
        self.seen: list[int] = []

    def training_step(self: Any, batch: Any) -> Any:
        self.seen.append(1)
        return {"loss": self.extra(self.net(batch[0])).mean()}

    def transferred(self: Any, batch: Any, dataloader_idx: int) -> Any:
        return [batch[0] * 0, batch[1]]

    module = make(
        setup=set_up,
        on_train_epoch_start=start,
        training_step=training_step,
        on_after_batch_transfer=transferred,
    )
    setup = as_setup((module, loader()))
    loss = step(setup, next(iter(setup.loader)))
    assert len(setup.optimizer.param_groups[0]["params"]) == 4
    assert loss.item() == pytest.approx(module.extra(module.net.bias).item())


def test_the_data_modules_transfer_hook_comes_before_the_modules() -> None:
    data = datamodule(on_after_batch_transfer=lambda self, batch, index: "from the data")
    module = make(training_step=lambda self, batch, batch_idx, dataloader_idx: batch)
    setup = as_setup((module, data))
    assert step(setup, [torch.zeros(1)]) == "from the data"


def test_a_step_returning_none_has_no_loss() -> None:
    setup = as_setup((make(training_step=lambda self, batch: None), loader()))
    assert step(setup, [torch.zeros(1)]) is None


def manual(self: Any, batch: Any, batch_idx: int) -> None:
    first, second = self.optimizers()
    for optimizer in (first, second):
        self.toggle_optimizer(optimizer)
        loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
        self.log("loss", loss)
        optimizer.zero_grad()
        self.manual_backward(loss)
        self.clip_gradients(optimizer, gradient_clip_val=0.5, gradient_clip_algorithm="norm")
        optimizer.step()
        self.untoggle_optimizer(optimizer)


def test_a_manual_module_steps_by_itself_and_can_be_given_back() -> None:
    def pair(module: Any) -> Any:
        return [
            torch.optim.SGD([module.net.weight], lr=0.1, momentum=0.9),
            torch.optim.Adam([module.net.bias], lr=0.1),
        ]

    module = make(
        returns=pair, training_step=manual, automatic_optimization=property(lambda s: False)
    )
    setup = as_setup((module, loader()))
    assert not setup.only_loss
    assert len(setup.optimizers) == 2
    before = module.net.weight.clone(), module.net.bias.clone()
    with preserved(setup):
        step(setup, next(iter(setup.loader)))
        assert not torch.equal(module.net.weight, before[0])
        assert not torch.equal(module.net.bias, before[1])
        assert setup.optimizers[1].state
    assert torch.equal(module.net.weight, before[0])
    assert torch.equal(module.net.bias, before[1])
    assert not setup.optimizers[1].state


def test_a_module_that_uses_its_logger_and_its_schedules_runs() -> None:
    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        self.logger.experiment.add_scalar("x", 1)
        self.lr_schedulers()
        return self.net(batch[0]).mean() + self.current_epoch + self.global_step

    setup = as_setup((make(training_step=training_step), loader()))
    assert step(setup, next(iter(setup.loader))).requires_grad


def test_a_module_without_data_is_refused() -> None:
    with pytest.raises(TargetError, match="came without its data"):
        as_setup(make())


def test_several_loaders_are_refused() -> None:
    data = datamodule(train_dataloader=lambda self: {"a": loader(), "b": loader()})
    with pytest.raises(TargetError, match="2 train loaders in a dict"):
        as_setup((make(), data))


def test_a_raising_hook_is_told_with_the_users_frames() -> None:
    def fails(self: Any) -> Any:
        raise RuntimeError("no such optimizer")

    with pytest.raises(TargetError, match="raised RuntimeError: no such optimizer") as caught:
        as_setup((make(configure_optimizers=fails), loader()))
    assert "in fails" in caught.value.details


def test_neither_library_is_imported_for_a_plain_target() -> None:
    code = (
        "import sys, torch; from traindoctor.target.setup import as_setup; "
        "as_setup((torch.nn.Linear(1, 1), [1])); "
        "assert not {'lightning', 'pytorch_lightning', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
