"""What a state dict lacks."""

from __future__ import annotations

from typing import Any

import torch
from tests.probes.asking import asks
from tests.probes.running import line
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from traindoctor.experiments import Lab, ReloadState
from traindoctor.probing import Confidence, Finding, NoOptions, Severity
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import Trace, UnsavedRow
from traindoctor_probes.saved_state import examine


def findings(**facts: Any) -> list[Finding]:
    row = UnsavedRow(**{"name": "mean", "place": line(8), "change": 0.3} | facts)
    return list(examine(asks(reload_state=Trace(unsaved=(row,))), NoOptions()))


def test_a_tensor_that_training_changes_is_an_error_where_it_is_assigned() -> None:
    (finding,) = findings()
    assert (finding.code, finding.severity, finding.location.line) == ("TD708", Severity.ERROR, 8)


def test_a_number_is_a_warning_and_what_is_drawn_is_likely() -> None:
    (finding,) = findings(kind="number")
    assert finding.severity is Severity.WARNING
    (finding,) = findings(kind="drawn")
    assert finding.confidence is Confidence.LIKELY


class Kept(nn.Module):
    """A layer that keeps something beside its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layer(x)
        return found


class Centered(Kept):
    """Subtracts a running mean that is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.zeros(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.mean = 0.5 * self.mean + 0.5 * x.mean(0)
        return super().forward(x - self.mean)


class Buffered(Kept):
    """The same, with a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.mean = 0.5 * self.mean + 0.5 * x.mean(0)
        return super().forward(x - self.mean)


class Annealed(Kept):
    """Sharpens its output as it is called in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.sharpness *= 1.5
        return super().forward(x).mul(self.sharpness)


class Projected(Kept):
    """Goes through a matrix that the constructor draws."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = torch.randn(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x @ self.matrix)


class Remembering(Kept):
    """Keeps its last output for a plot."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = torch.zeros(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = super().forward(x).detach()
        return super().forward(x)


def unsaved(model: nn.Module) -> list[tuple[str, str]]:
    """Return what the state dict of a model lacks, by name and kind."""
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(1 + torch.randn(40, 4), torch.zeros(40)), batch_size=8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    setup = TrainingSetup(
        model=model, loader=loader, optimizer=optimizer, loss_fn=lambda out, _: out.square().mean()
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows = Lab(setup).perform(ReloadState()).unsaved
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    return [(row.name, row.kind) for row in rows]


def test_a_running_mean_is_missed_unless_it_is_a_buffer() -> None:
    assert unsaved(Centered()) == [("mean", "changed")]
    assert unsaved(Buffered()) == []


def test_a_number_that_training_changes_is_missed() -> None:
    assert unsaved(Annealed()) == [("sharpness", "number")]


def test_a_matrix_that_is_drawn_is_missed() -> None:
    assert unsaved(Projected()) == [("matrix", "drawn")]


def test_what_nothing_depends_on_is_not_missed() -> None:
    assert unsaved(Remembering()) == []
