"""Each batch has the number under which it is used, however far ahead it was fetched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from traindoctor.instruments.backward import backwards_seen
from traindoctor.instruments.loaders import Loaders, loaders_seen
from traindoctor.instruments.recorder import Recorder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(number)


class Numbers(Dataset[Any]):
    """Sample `i` holds the number i."""

    def __init__(self, number: int = 24) -> None:
        self.number = number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> Any:
        return {"x": torch.full((3,), float(index)), "labels": torch.tensor(index % 2)}


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return (Numbers()[index] for index in range(24))


class Net(nn.Module):
    """Notes the least number of each batch it is trained on, and the batch's number."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.layer, self.recorder = nn.Linear(3, 2), [recorder]
        self.seen: list[tuple[int, int]] = []

    def forward(self, x: Any, labels: Any) -> Any:
        if torch.is_grad_enabled():
            self.seen.append((int(x.min()), self.recorder[0].batch))
        return {"loss": nn.functional.cross_entropy(self.layer(x / 24), labels)}


def watched(train: Any) -> tuple[Recorder, Loaders, Net]:
    recorder = Recorder()
    net = Net(recorder)
    with backwards_seen(recorder, ()), loaders_seen(recorder) as seen:
        train(net)
    assert seen.error is None
    return recorder, seen, net


def is_numbered(recorder: Recorder, net: Net) -> bool:
    """Tell whether each batch was in use under the number that its row has."""
    least = {row.index: row.leaves[0].minimum for row in recorder.batches}
    assert [row.batch for row in recorder.backwards] == [number for _, number in net.seen]
    return all(least[number] == value for value, number in net.seen)


def plain(net: Net) -> None:
    train, valid = DataLoader(Numbers(), 4), DataLoader(Numbers(8), 4)
    for _ in range(2):
        for batch in train:
            net(**batch)["loss"].backward()
        for batch in valid:
            with torch.no_grad():
                net(**batch)


def evaluating_within(net: Net) -> None:
    train, valid = DataLoader(Numbers(), 4), DataLoader(Numbers(8), 4)
    for number, batch in enumerate(train):
        if number % 2 == 0:
            for other in valid:
                with torch.no_grad():
                    net(**other)
        net(**batch)["loss"].backward()


def evaluating_first(net: Net) -> None:
    for batch in DataLoader(Numbers(8), 4):
        with torch.no_grad():
            net(**batch)
    for batch in DataLoader(Numbers(), 4):
        net(**batch)["loss"].backward()


def with_accelerate(net: Net) -> None:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model, train, valid = accelerator.prepare(
        net, DataLoader(Numbers(), 4), DataLoader(Numbers(8), 4)
    )
    for _ in range(2):
        for batch in train:
            accelerator.backward(model(**batch)["loss"])
        for batch in valid:
            with torch.no_grad():
                model(**batch)


def in_a_thread(net: Net) -> None:
    queue: Queue[Any] = Queue(2)

    def fetch() -> None:
        for batch in DataLoader(Numbers(), 4):
            queue.put(batch)
        queue.put(None)

    thread = threading.Thread(target=fetch)
    thread.start()
    while (batch := queue.get()) is not None:
        net(**batch)["loss"].backward()
    thread.join()


@pytest.mark.parametrize(
    "train", [plain, evaluating_within, evaluating_first, with_accelerate, in_a_thread]
)
def test_the_number_is_that_of_the_batch_in_use(train: Any) -> None:
    recorder, _, net = watched(train)
    assert is_numbered(recorder, net)


@pytest.mark.parametrize("train", [plain, evaluating_within, evaluating_first, with_accelerate])
def test_a_pass_without_any_backward_evaluates(train: Any) -> None:
    recorder, _, net = watched(train)
    trained = [row for row in recorder.passes if not row.is_evaluation]
    assert all(row.num_trained == row.num_batches == 6 for row in trained)
    assert len(trained) == len(net.seen) / 6 < len(recorder.passes)
    assert len(recorder.batches) == len(net.seen)
    assert sum(row.num_fetched for row in recorder.loaders) == len(net.seen)


@pytest.mark.parametrize("data", [Numbers(), Stream()])
def test_lightning_fetches_ahead_where_it_does_not_know_the_end(data: Any) -> None:
    import lightning as L

    def train(net: Net) -> None:
        class Module(L.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.net = net

            def training_step(self, batch: Any, _: int) -> Any:
                return self.net(**batch)["loss"]

            def validation_step(self, batch: Any, _: int) -> None:
                self.net(**batch)

            def configure_optimizers(self) -> Any:
                return torch.optim.SGD(self.parameters(), 0.1)

        quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
        trainer = L.Trainer(max_epochs=2, accelerator="cpu", **dict.fromkeys(quiet, False))
        trainer.fit(Module(), DataLoader(data, 4), DataLoader(Numbers(8), 4))

    recorder, _, net = watched(train)
    assert is_numbered(recorder, net)
    assert sum(not row.is_evaluation for row in recorder.passes) == 2
    assert not any(row.is_by_user for row in recorder.passes)


@pytest.mark.parametrize("accumulation", [1, 4])
def test_a_trainer_fetches_what_it_accumulates_at_once(accumulation: int, tmp_path: Any) -> None:
    from transformers import Trainer, TrainingArguments

    def train(net: Net) -> None:
        settings = TrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=4,
            gradient_accumulation_steps=accumulation,
            num_train_epochs=2,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            eval_strategy="epoch",
            remove_unused_columns=False,
        )
        Trainer(net, settings, train_dataset=Numbers(), eval_dataset=Numbers(8)).train()

    recorder, _, net = watched(train)
    assert is_numbered(recorder, net)
    assert len(recorder.batches) == 12
