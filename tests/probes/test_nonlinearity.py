"""Layers with nothing between them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from tests.probes.asking import asks
from tests.probes.running import line, module
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from traindoctor.experiments import Lab, MixInputs
from traindoctor.experiments.mix_inputs import Layer
from traindoctor.probing import Finding, NoOptions
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import Trace
from traindoctor_probes.nonlinearity import examine


def layer(path: str, num_in: int, num_out: int, kind: str = "Linear") -> Layer:
    return Layer(path, kind, num_in, num_out, line(20, f"x = self.{path}(x)"))


def findings(*pairs: tuple[Layer, Layer], path: str = "") -> list[Finding]:
    part = {"path": path, "error": 2e-7, "pairs": pairs}
    run = Trace(facts={"affine": (part,)}, modules=(module("second", place=line(5)),))
    return list(examine(asks(mix_inputs=run), NoOptions()))


def test_two_layers_in_a_row_are_a_warning_where_the_second_is_called() -> None:
    (finding,) = findings((layer("first", 16, 32), layer("second", 32, 4)))
    assert (finding.code, finding.location.line) == ("TD713", 20)
    assert [place.line for place in finding.also_at] == [5]
    assert finding.title == "2 layers of the model do the work of one"


def test_a_narrow_middle_is_a_factorisation() -> None:
    assert findings((layer("down", 64, 8), layer("up", 8, 64))) == []


def test_convolutions_in_a_row_are_judged_in_a_model_that_is_affine_as_a_whole() -> None:
    pair = (layer("first", 9, 8, "Conv2d"), layer("second", 72, 8, "Conv2d"))
    assert [finding.code for finding in findings(pair)] == ["TD713"]
    assert findings(pair, path="upsample") == []


def test_parts_that_one_line_calls_are_told_of_together() -> None:
    pair = (layer("first", 16, 32), layer("second", 32, 4))
    parts = tuple({"path": f"blocks.{i}.mlp", "error": 1e-7, "pairs": (pair,)} for i in (0, 1))
    (finding,) = examine(asks(mix_inputs=Trace(facts={"affine": parts})), NoOptions())
    assert finding.title == "2 layers of blocks.*.mlp (2) do the work of one"


def affine(model: nn.Module, *shape: int) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the affine parts of a model with the names of their pairs."""
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(torch.randn(16, *shape), torch.zeros(16)), batch_size=8)
    setup = TrainingSetup(model=model, loader=loader, loss_fn=lambda out, _: out.sum())
    found = Lab(setup).perform(MixInputs()).facts["affine"]
    return [(part["path"], [(a.path, b.path) for a, b in part["pairs"]]) for part in found]


class Net(nn.Module):
    """Two layers that a test puts together."""

    def __init__(self, forward: Any) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
        self.how = forward

    def forward(self, x: torch.Tensor) -> Any:
        return self.how(self, x)


IN_A_ROW = [("", [("a", "b")])]


def test_layers_in_a_row_are_affine_whatever_train_mode_puts_between() -> None:
    assert affine(Net(lambda net, x: net.b(net.a(x))), 6) == IN_A_ROW
    assert affine(Net(lambda net, x: net.b(F.dropout(net.a(x), 0.5, net.training))), 6) == IN_A_ROW
    assert affine(Net(lambda net, x: x + net.b(x + net.a(x))), 6) == IN_A_ROW


def test_layers_side_by_side_are_affine_and_no_pair() -> None:
    assert affine(Net(lambda net, x: net.a(x) + net.b(x)), 6) == [("", [])]


def test_anything_that_bends_is_not_affine() -> None:
    for bend in (F.relu, F.gelu, torch.tanh, lambda x: F.layer_norm(x, (6,)), F.leaky_relu):
        assert affine(Net(lambda net, x, bend=bend: net.b(bend(net.a(x)))), 6) == []


def test_a_branch_that_starts_at_zero_or_hardly_counts_bends_all_the_same() -> None:
    for scale in (0.0, 1e-6):
        model = Net(lambda net, x: x + net.b(F.relu(net.a(x))))
        nn.init.constant_(model.b.weight, scale)
        nn.init.zeros_(model.b.bias)
        assert affine(model, 6) == []
        assert bool((model.b.weight == scale).all())


def test_a_product_of_two_layers_is_not_affine() -> None:
    assert affine(Net(lambda net, x: net.a(x) * net.b(x)), 6) == []


def test_an_affine_head_is_found_inside_a_model_that_bends() -> None:
    head = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.1), nn.Linear(6, 2))
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), head)
    assert affine(model, 6) == [("2", [("2.0", "2.2")])]


def test_what_gives_no_tensor_is_not_judged() -> None:
    assert affine(Net(lambda net, x: (net.b(net.a(x)),)), 6) == []
