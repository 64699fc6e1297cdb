"""Of models without values is said what can be said; the rest could not be judged, and says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import traindoctor
from traindoctor.report.record import Report


def net(device: str = "cpu") -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(8, 16, device=device), nn.ReLU(), nn.Linear(16, 3, device=device)
    )


def packed(model: nn.Module, parameters: Any = None) -> dict[str, Any]:
    torch.manual_seed(0)
    held = parameters or [p for p in model.parameters() if p.requires_grad]
    return {
        "model": model,
        "loader": [(torch.randn(4, 8), torch.tensor([0, 1, 2, 0])) for _ in range(8)],
        "optimizer": torch.optim.SGD(held, lr=1e-3),
        "loss_fn": nn.CrossEntropyLoss(),
    }


def examined(setup: dict[str, Any], **settings: Any) -> Report:
    report = traindoctor.check(traindoctor.TrainingSetup(**setup), **settings)
    errored = [(probe.name, probe.reason) for probe in report.probes if probe.status == "errored"]
    assert not errored
    return report


def reasons(report: Report) -> set[str]:
    found = {p.reason for p in report.probes if p.status == "skipped"}
    return {reason for reason in found if "several" not in reason}


def test_a_model_on_meta_is_told_to_have_no_values() -> None:
    model = net("meta")
    report = examined(packed(model, [{"params": model.parameters()}]))
    assert [f.code for f in report.findings] == ["TD006"]
    why = "all 4 trainable parameters are on the meta device and have no values: nothing can be run"
    assert any(reason.startswith(why) for reason in reasons(report))


def test_what_the_optimizer_holds_is_judged_without_values() -> None:
    model, other = net("meta"), net("meta")
    twice = torch.optim.SGD(model.parameters(), lr=0.1)
    twice.param_groups.append({**twice.param_groups[0], "params": [model[2].bias]})
    found = {f.code for f in examined(packed(model) | {"optimizer": twice}).findings}
    assert found == {"TD006", "TD410"}
    found = {f.code for f in examined(packed(model, other.parameters())).findings}
    assert found == {"TD006", "TD402"}


def test_fake_tensors_are_no_fault() -> None:
    with FakeTensorMode():
        model = net()
    report = examined(packed(model))
    assert not report.findings
    assert report.verdict == "inconclusive"
    assert any("are fake tensors and have no values" in reason for reason in reasons(report))


def test_what_accelerate_offloads_has_its_values_elsewhere(tmp_path: Path) -> None:
    from accelerate import disk_offload

    model = net()
    disk_offload(model, str(tmp_path), execution_device=torch.device("cpu"))
    report = examined(packed(model))
    assert not report.findings
    assert any("accelerate has offloaded them" in reason for reason in reasons(report))


class Quantized(nn.Module):
    """Frozen weights in eight bits, of three kinds, below a head that is trained."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        narrow = torch.quantize_per_tensor(torch.randn(8, 8), 0.05, 0, torch.qint8)
        self.narrow = nn.Parameter(narrow, requires_grad=False)
        whole = torch.randint(-100, 100, (8, 8), dtype=torch.int8)
        self.whole = nn.Parameter(whole, requires_grad=False)
        small = torch.randn(8, 8).to(torch.float8_e4m3fn)
        self.small = nn.Parameter(small, requires_grad=False)
        self.register_buffer("mask", torch.ones(8, dtype=torch.bool))
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(x @ self.narrow.dequantize())
        x = torch.tanh(x @ (self.whole.float() * 0.01))
        return self.head(torch.tanh(x @ self.small.float()) * self.mask)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_eight_bit_parameters_are_no_fault_and_come_back() -> None:
    model = Quantized()
    before = [model.narrow.int_repr(), model.whole.clone(), model.small.float()]
    report = examined(packed(model))
    assert not report.findings, [f.title for f in report.findings]
    assert report.verdict == "healthy"
    after = [model.narrow.int_repr(), model.whole, model.small.float()]
    assert all(map(torch.equal, after, before))
