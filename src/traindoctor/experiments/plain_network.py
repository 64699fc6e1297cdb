"""A small network of the doctor's own on the user's batch: can its labels be learned at all?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.batches import batch_size, leaves, split
from traindoctor.trace import LossRow, Trace

if TYPE_CHECKING:
    import torch

WIDTH, RATE = 64, 1e-2
MOST_FEATURES = 1 << 14  # of a sample; more are thinned out evenly
MOST_VALUES = 1 << 17  # that an integer input may have
CODE = 8  # numbers that stand for one integer
LEARNED_SHARE = 0.1  # of the first loss
ENOUGH_SHARE = 0.01  # of it, at which the training ends


@dataclass(frozen=True)
class PlainNetwork(Experiment):
    """Two layers on the batch's inputs, made of none of the user's code.

    Integers among the inputs are given random codes, other inputs are standardised. Labels that
    are one integer a sample are classes; floating-point ones are numbers to be hit.

    Attributes:
        permuted: give each sample another one's label.
        steps: the most steps.
        max_seconds: the time it may take.
    """

    permuted: bool = False
    steps: int = 300
    max_seconds: float = 3.0

    name: ClassVar[str] = "plain-network"
    cost: ClassVar[int] = 5

    def run(self, lab: Lab) -> Trace:
        """Return the losses; `facts["plain"]` has start, end, steps and whether it learned.

        Raises:
            ExperimentFailed: there is no batch of samples with inputs and labels.
        """
        import torch

        fetched = lab.batches(1)
        if not fetched:
            raise ExperimentFailed("the loader gave no batch")
        inputs, labels = _parts(fetched[0].batch)
        if self.permuted:
            labels = labels[torch.randperm(len(labels))]
        is_class = not labels.is_floating_point()
        outputs = int(labels.max()) + 1 if is_class else labels.shape[1]
        network = torch.nn.Sequential(
            torch.nn.Linear(inputs.shape[1], WIDTH),
            torch.nn.ReLU(),
            torch.nn.Linear(WIDTH, outputs),
        )
        loss_of = torch.nn.functional.cross_entropy if is_class else torch.nn.functional.mse_loss
        optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
        recorder, end = Recorder(clock=lab.clock), lab.clock() + self.max_seconds
        for step in range(self.steps):
            optimizer.zero_grad()
            loss = loss_of(network(inputs), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            value = float(loss.detach())
            recorder.losses.append(LossRow(step=step, batch=0, value=value, source="plain network"))
            if value <= ENOUGH_SHARE * recorder.losses[0].value or lab.clock() > end:
                break
        start, last = recorder.losses[0].value, recorder.losses[-1].value
        recorder.facts["plain"] = {
            "start": start,
            "end": last,
            "steps": len(recorder.losses),
            "width": WIDTH,
            "learned": last <= LEARNED_SHARE * start,
        }
        return recorder.trace()


def _parts(batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs (samples, features) and labels, (samples,) of classes or (samples, numbers)."""
    import torch

    size = batch_size(batch)
    given, targets = split(batch)
    found = [t.detach().cpu() for _, t in leaves(targets) if t.ndim and len(t) == size]
    if size is None or len(found) != 1:
        raise ExperimentFailed("the batch has no one label a sample")
    labels = found[0]
    if labels.is_floating_point():
        labels = _standardised(labels.reshape(size, -1))
    elif labels.ndim > 1 or labels.is_complex() or int(labels.min()) < 0:
        raise ExperimentFailed("its labels are neither classes nor numbers")
    else:
        labels = labels.long()
    features = [_features(t.detach().cpu()) for _, t in leaves(given) if t.ndim and len(t) == size]
    if not features:
        raise ExperimentFailed("the batch has no inputs")
    return torch.cat(features, 1), labels


def _features(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    rows = tensor.reshape(len(tensor), -1)
    rows = rows[:, :: max(1, rows.shape[1] // MOST_FEATURES)]
    if rows.is_floating_point():
        return _standardised(rows)
    codes = torch.randn(MOST_VALUES, CODE)
    return codes[rows.long() % MOST_VALUES].reshape(len(rows), -1)


def _standardised(rows: torch.Tensor) -> torch.Tensor:
    rows = rows.float().nan_to_num()
    return (rows - rows.mean(0)) / rows.std(0, correction=0).clamp(min=1e-6)
