"""A `transformers.Trainer` becomes a setup that trains as the Trainer does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from traindoctor.errors import TargetError
from traindoctor.target.calling import call_by_name
from traindoctor.target.setup import TrainingSetup, as_setup


class Sentences(Dataset[dict[str, Any]]):
    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = torch.arange(index, index + 6) % 20
        return {"input_ids": ids, "labels": index % 2, "unused": 1}


def model() -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertForSequenceClassification(config).eval()


def trainer(tmp_path: Path, kind: type[Trainer] = Trainer, **more: Any) -> Trainer:
    arguments = {
        "output_dir": str(tmp_path / "out"),
        "per_device_train_batch_size": 4,
        "num_train_epochs": 3,
        "learning_rate": 1e-2,
        "gradient_accumulation_steps": 2,
        "max_grad_norm": 0.5,
        "report_to": [],
        "use_cpu": True,
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": 1,
    }
    own = {key: more.pop(key) for key in ("train_dataset", "optimizers") if key in more}
    args = TrainingArguments(**(arguments | more))
    return kind(model=model(), args=args, **({"train_dataset": Sentences()} | own))


class InOrder(Trainer):
    def _get_train_sampler(self, *args: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def losses_of(setup: TrainingSetup, batches: list[Any]) -> list[float]:
    """Train as the canonical loop does: accumulate, clip, step, schedule."""
    losses = []
    for number, batch in enumerate(batches, 1):
        loss = call_by_name(setup.train_step, {"model": setup.model, "batch": batch})
        (loss / setup.accumulation_steps).backward()
        losses.append(loss.item())
        if number % setup.accumulation_steps == 0:
            torch.nn.utils.clip_grad_norm_(setup.model.parameters(), setup.max_grad_norm)
            setup.optimizer.step()
            setup.scheduler.step()
            setup.optimizer.zero_grad()
    return losses


def test_its_parts_are_what_the_arguments_say(tmp_path: Path) -> None:
    setup = as_setup(trainer(tmp_path))
    assert (setup.kind, setup.only_loss) == ("Trainer", True)
    assert (setup.accumulation_steps, setup.max_grad_norm, setup.epochs) == (2, 0.5, 3)
    assert setup.model.training
    assert set(next(iter(setup.loader))) == {"input_ids", "labels"}
    decays = [group["weight_decay"] for group in setup.optimizer.param_groups]
    assert len(decays) == 2


def test_it_trains_to_the_same_weights_as_the_trainer_itself(tmp_path: Path) -> None:
    theirs, mine = (
        trainer(tmp_path, InOrder, gradient_accumulation_steps=1, warmup_steps=3) for _ in range(2)
    )
    theirs.train()
    setup = as_setup(mine)
    losses_of(setup, [batch for _ in range(3) for batch in setup.loader])
    for one, other in zip(mine.model.parameters(), theirs.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_trainer_is_left_without_optimizer_and_schedule(tmp_path: Path) -> None:
    subject = trainer(tmp_path)
    as_setup(subject)
    assert subject.optimizer is None
    assert subject.lr_scheduler is None
    subject.train()
    assert subject.state.global_step == 6


def test_an_optimizer_of_the_users_is_kept_and_not_written_to(tmp_path: Path) -> None:
    network = model()
    own = torch.optim.SGD(network.parameters(), lr=0.3)
    setup = as_setup(trainer(tmp_path, optimizers=(own, None), warmup_steps=5))
    assert setup.optimizer is own
    assert setup.scheduler is None
    assert own.param_groups[0]["lr"] == 0.3
    assert "initial_lr" not in own.param_groups[0]


def test_nothing_is_written_or_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subject = trainer(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    setup = as_setup(subject)
    losses_of(setup, list(setup.loader))
    assert sorted(tmp_path.rglob("*")) == before
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_a_loss_of_a_subclass_is_the_one_taken(tmp_path: Path) -> None:
    class Doubled(Trainer):
        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            return 2 * super().compute_loss(*args, **kwargs)

    plain, doubled = (as_setup(trainer(tmp_path, kind)) for kind in (Trainer, Doubled))
    batch = next(iter(plain.loader))
    one = call_by_name(plain.train_step, {"model": plain.model, "batch": dict(batch)})
    two = call_by_name(doubled.train_step, {"model": doubled.model, "batch": dict(batch)})
    torch.testing.assert_close(2 * one, two)


def test_label_smoothing_reaches_the_loss(tmp_path: Path) -> None:
    setup = as_setup(trainer(tmp_path, label_smoothing_factor=0.9))
    batch = next(iter(setup.loader))
    with torch.no_grad():
        loss = call_by_name(setup.train_step, {"model": setup.model, "batch": dict(batch)})
        assert float(loss) != pytest.approx(float(setup.model(**batch).loss))


def test_a_training_step_of_a_subclass_runs_whole(tmp_path: Path) -> None:
    class Stepping(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            return super().training_step(*args, **kwargs)

    setup = as_setup(trainer(tmp_path, Stepping))
    assert not setup.only_loss
    batch = next(iter(setup.loader))
    loss = call_by_name(setup.train_step, {"model": setup.model, "batch": batch})
    assert not loss.requires_grad
    assert any(p.grad is not None for p in setup.model.parameters())


def test_a_stream_of_unknown_length_has_no_schedule(tmp_path: Path) -> None:
    class Stream(torch.utils.data.IterableDataset[dict[str, Any]]):
        def __iter__(self) -> Any:
            return iter(Sentences()[index] for index in range(8))

    setup = as_setup(trainer(tmp_path, train_dataset=Stream(), max_steps=4))
    assert setup.scheduler is not None
    assert len(list(setup.loader)) == 2


def test_a_trainer_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no train_dataset"):
        as_setup(trainer(tmp_path, train_dataset=None))


def test_a_loader_that_raises_is_told_with_the_users_frames(tmp_path: Path) -> None:
    class Broken(Trainer):
        def get_train_dataloader(self) -> Any:
            raise FileNotFoundError("corpus.txt")

    with pytest.raises(TargetError, match=r"raised FileNotFoundError: corpus.txt") as caught:
        as_setup(trainer(tmp_path, Broken))
    assert "get_train_dataloader" in caught.value.details
