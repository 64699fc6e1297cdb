"""A setup comes back bit for bit, whatever was done to it in between."""

from __future__ import annotations

import random
import struct
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

from traindoctor.target.setup import TrainingSetup
from traindoctor.target.snapshot import Snapshot, SnapshotError, preserved


class Net(nn.Module):
    """Batch norm, dropout, a tied weight, a rebinding buffer and state kept outside of both."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 5)
        self.norm = nn.BatchNorm1d(5)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(5, 6)
        self.head.weight = self.embed.weight
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("positions", torch.arange(3).expand(4, 3))
        self.hidden: torch.Tensor | None = None
        self.history: list[float] = []
        self.cache: dict[str, deque[int]] = {"recent": deque([1, 2])}
        self.generator = torch.Generator().manual_seed(1)
        self.bits = np.random.default_rng(3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.hidden = self.drop(self.norm(self.embed(ids)))
        self.count = self.count + 1
        self.history.append(float(self.count))
        self.cache["recent"].append(3)
        self.bits.random()
        torch.rand(1, generator=self.generator)
        output: torch.Tensor = self.head(self.hidden)
        return output


def make_setup(**more: Any) -> TrainingSetup:
    torch.manual_seed(0)
    model = Net()
    ids = torch.randint(6, (16,))
    generator = torch.Generator().manual_seed(5)
    loader = DataLoader(TensorDataset(ids, ids), 4, shuffle=True, generator=generator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    parts = {"optimizer": optimizer, "scheduler": scheduler, "loss_fn": nn.CrossEntropyLoss()}
    return TrainingSetup(model=model, loader=loader, **(parts | more))


def train(setup: TrainingSetup, batches: int = 3) -> None:
    for (ids, targets), _ in zip(setup.loader, range(batches), strict=False):
        loss = setup.loss_fn(setup.model(ids), targets)
        loss.backward()
        setup.optimizer.step()
        setup.scheduler.step()


def octets(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().view(torch.uint8).numpy().tobytes()


def frozen(value: Any, depth: int = 0) -> Any:
    """Everything that a value leads to, by identity and by bits: the slow, obvious way."""
    if isinstance(value, torch.Tensor):
        grad = value.grad if value.is_leaf else None
        bits = octets(value) if value.ndim else octets(value.reshape(1))
        hooks = list(value._backward_hooks or ())
        return id(value), bits, value.data_ptr(), value.requires_grad, hooks, frozen(grad)
    if isinstance(value, dict):
        return id(value), [(frozen(k, depth), frozen(v, depth)) for k, v in value.items()]
    if isinstance(value, tuple):
        return [frozen(item, depth) for item in value]
    if isinstance(value, (list, deque, set)):
        return id(value), [frozen(item, depth) for item in value]
    if isinstance(value, torch.Generator):
        return octets(value.get_state())
    if isinstance(value, np.random.Generator):
        return str(value.bit_generator.state)
    kinds = (nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
    if isinstance(value, kinds) and depth < 8:
        return id(value), type(value), frozen(tuple(vars(value).items()), depth + 1)
    return id(value) if callable(value) or value is None else (type(value), repr(value))


def everything(setup: TrainingSetup) -> Any:
    state = np.random.get_state()
    return (
        frozen((setup.model, *setup.optimizers, setup.scheduler)),
        random.getstate(),
        [part.tobytes() if isinstance(part, np.ndarray) else part for part in state],
        octets(torch.get_rng_state()),
        octets(setup.loader.generator.get_state()),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
        list(warnings.filters),
    )


def add_hooks(setup: TrainingSetup) -> None:
    setup.model.register_forward_hook(lambda *args: None)
    setup.model.head.register_full_backward_hook(lambda *args: None)
    setup.model.embed.weight.register_hook(lambda grad: grad * 2)
    setup.model.head.bias.register_post_accumulate_grad_hook(lambda p: None)
    setup.optimizer.register_step_post_hook(lambda *args: None)


def swap_data(setup: TrainingSetup) -> None:
    setup.model.head.bias.data = torch.zeros(6)
    setup.model.embed.weight.data = setup.model.embed.weight.data.half()


def replace_parts(setup: TrainingSetup) -> None:
    setup.model.head.bias = nn.Parameter(torch.zeros(6))
    setup.model.extra = nn.Linear(2, 2)
    del setup.model.norm
    setup.model.drop = nn.Identity()
    setup.model.register_buffer("count", None)


def rebuild_optimizer(setup: TrainingSetup) -> None:
    setup.optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 5.0})
    setup.optimizer.param_groups[0]["lr"] = 3.0
    setup.optimizer.defaults["lr"] = 1.0
    setup.optimizer.step = lambda: None
    setup.optimizer.state.clear()


def toggle_gradients(setup: TrainingSetup) -> None:
    for parameter in setup.model.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.grad is None else None


def flip_flags(setup: TrainingSetup) -> None:
    setup.model.eval()
    setup.model.requires_grad_(False)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_num_threads(2)
    warnings.simplefilter("error")


def parametrize(setup: TrainingSetup) -> None:
    nn.utils.parametrizations.weight_norm(setup.model.head)
    nn.utils.parametrizations.spectral_norm(setup.model.embed)


def consume_randomness(setup: TrainingSetup) -> None:
    random.random()
    np.random.rand()
    torch.rand(3)
    list(setup.loader)


HOSTILITIES = (
    train,
    add_hooks,
    swap_data,
    replace_parts,
    rebuild_optimizer,
    toggle_gradients,
    flip_flags,
    parametrize,
    consume_randomness,
)


@pytest.mark.parametrize("was_trained", [False, True], ids=["fresh", "mid-training"])
@pytest.mark.parametrize("hostile", HOSTILITIES, ids=lambda hostile: hostile.__name__)
def test_it_comes_back_as_it_was(hostile: Callable[[Any], None], was_trained: bool) -> None:
    setup = make_setup()
    if was_trained:
        train(setup)
    setup.model.hidden = setup.model.hidden if was_trained else torch.ones(2)
    before = everything(setup)
    with preserved(setup):
        hostile(setup)
        assert everything(setup) != before
    assert everything(setup) == before


def test_training_goes_on_as_if_nothing_had_been() -> None:
    disturbed, control = make_setup(), make_setup()
    torch.manual_seed(7)
    train(control)
    train(control)
    torch.manual_seed(7)
    train(disturbed)
    with preserved(disturbed):
        train(disturbed, 4)
        swap_data(disturbed)
    train(disturbed)
    for mine, theirs in zip(disturbed.model.parameters(), control.model.parameters(), strict=True):
        assert octets(mine) == octets(theirs)


def test_a_snapshot_restores_as_often_as_asked() -> None:
    setup = make_setup()
    before = everything(setup)
    snapshot = Snapshot.take(setup)
    for _ in range(3):
        train(setup)
        snapshot.restore()
        assert everything(setup) == before


def test_a_nan_keeps_its_payload() -> None:
    setup = make_setup()
    bits = struct.pack("<I", 0x7FA12345)  # a signalling NaN with a payload
    setup.model.head.bias.data.view(torch.uint8)[:4] = torch.tensor(list(bits), dtype=torch.uint8)
    with preserved(setup):
        setup.model.head.bias.data.zero_()
    assert octets(setup.model.head.bias)[:4] == bits


def test_the_setup_comes_back_when_user_code_raises() -> None:
    setup = make_setup()
    setup.scheduler.step = lambda: 1 / 0
    before = everything(setup)
    with pytest.raises(ZeroDivisionError), preserved(setup):
        train(setup)
    assert everything(setup) == before


def test_nothing_is_restored_where_that_was_declined() -> None:
    setup = make_setup()
    before = everything(setup)
    with preserved(setup, enabled=False):
        train(setup)
    assert everything(setup) != before


class ClonedBytes(TorchDispatchMode):
    """Counts the bytes that clones make, from below."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.clone.default:
            self.total += made.numel() * made.element_size()
        return made


def size(*tensors: torch.Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_memory_is_one_copy_of_what_changes() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.Linear(64, 64))
    model[2].weight = model[0].weight
    setup = TrainingSetup(
        model=model, loader=[], optimizer=torch.optim.Adam(model.parameters(), lr=1e-3)
    )
    model(torch.randn(4, 64)).sum().backward()
    setup.optimizer.step()
    moments = [part for state in setup.optimizer.state.values() for part in state.values()]
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    with ClonedBytes() as cloned:
        snapshot = Snapshot.take(setup)
    expected = size(*model.parameters(), *model.buffers(), *gradients, *moments)
    assert cloned.total == snapshot.num_bytes == expected


def frozen_trunk(**more: Any) -> TrainingSetup:
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 2))
    model[0].requires_grad_(False)
    return TrainingSetup(model=model, loader=[], **more)


def test_a_large_frozen_trunk_is_not_copied() -> None:
    setup = frozen_trunk()
    assert Snapshot.take(setup).num_bytes == size(*setup.model[1].parameters())


@pytest.mark.parametrize("name", ["train_step", "train_loop"])
def test_a_frozen_trunk_is_copied_where_the_users_own_loop_runs(name: str) -> None:
    setup = frozen_trunk(**{name: lambda model: None})
    with preserved(setup):
        setup.model[0].weight.data.zero_()
    assert setup.model[0].weight.abs().sum() > 0


@pytest.mark.parametrize("through_data", [False, True])
def test_a_change_of_a_frozen_trunk_is_told(through_data: bool) -> None:
    setup = frozen_trunk()
    snapshot = Snapshot.take(setup)
    weight = setup.model[0].weight
    (weight.data if through_data else weight.detach()).mul_(2)
    setup.model[1].bias.data.fill_(9)
    with pytest.raises(SnapshotError, match="1 frozen parameter"):
        snapshot.restore()
    assert (setup.model[1].bias != 9).all()


def test_an_untouched_frozen_trunk_raises_nothing() -> None:
    setup = frozen_trunk()
    with preserved(setup):
        setup.model(torch.randn(2, 64)).sum().backward()
        setup.model[0].weight.data = torch.zeros(64, 64)


def test_sparse_gradients_come_back() -> None:
    model = nn.Embedding(5, 2, sparse=True)
    model(torch.tensor([1, 1, 3])).sum().backward()
    assert model.weight.grad is not None
    before = model.weight.grad
    dense = before.to_dense().clone()
    with preserved(TrainingSetup(model=model, loader=[])):
        model(torch.tensor([4])).sum().backward()
        model.weight.grad = None
    assert model.weight.grad is before
    assert torch.equal(before.to_dense(), dense)


def test_meta_and_lazy_parameters_do_no_harm() -> None:
    lazy = nn.LazyLinear(3)
    model = nn.ModuleList([nn.Linear(2, 2, device="meta"), lazy])
    with preserved(TrainingSetup(model=model, loader=[])):
        lazy(torch.randn(2, 4))
        assert type(lazy) is nn.Linear
    assert type(lazy) is nn.LazyLinear
    assert isinstance(lazy.weight, nn.UninitializedParameter)
    assert lazy(torch.randn(2, 5)).shape == (2, 3)


def test_several_optimizers_and_lists_in_their_state_come_back() -> None:
    model = nn.Linear(3, 1)
    lbfgs = torch.optim.LBFGS([model.weight], lr=0.1)
    sgd = torch.optim.SGD([model.bias], lr=0.1, momentum=0.9)
    setup = TrainingSetup(model=model, loader=[], optimizer=[lbfgs, sgd])

    def closure() -> torch.Tensor:
        model.zero_grad()
        loss = model(torch.ones(2, 3)).square().sum()
        loss.backward()
        return loss

    for optimizer in (lbfgs, sgd):
        optimizer.step(closure)
    before = frozen((model, lbfgs, sgd))
    with preserved(setup):
        for optimizer in (lbfgs, sgd):
            optimizer.step(closure)
    assert frozen((model, lbfgs, sgd)) == before


def test_modules_held_in_a_plain_list_come_back() -> None:
    model = nn.Module()
    model.hidden = [nn.Linear(2, 2)]
    bits = octets(model.hidden[0].weight)
    with preserved(TrainingSetup(model=model, loader=[])):
        model.hidden[0].weight.data.zero_()
    assert octets(model.hidden[0].weight) == bits


def test_the_data_itself_is_not_copied() -> None:
    data = TensorDataset(torch.zeros(1000, 10))
    setup = TrainingSetup(model=nn.Linear(1, 1), loader=DataLoader(data, 10))
    assert Snapshot.take(setup).num_bytes == size(*setup.model.parameters())


def test_the_samplers_epoch_comes_back() -> None:
    class Sampler(torch.utils.data.Sampler[int]):
        epoch = 0

        def __iter__(self) -> Any:
            return iter(range(4))

        def __len__(self) -> int:
            return 4

    sampler = Sampler()
    loader = DataLoader(TensorDataset(torch.zeros(4)), 2, sampler=sampler)
    with preserved(TrainingSetup(model=nn.Linear(1, 1), loader=loader)):
        sampler.epoch = 3
    assert sampler.epoch == 0


def test_a_gradient_scaler_comes_back() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1)
    setup = make_setup(scaler=scaler)
    scaler.scale(torch.zeros(()))
    before = scaler.state_dict()
    with preserved(setup):
        for parameter in setup.model.parameters():
            parameter.grad = torch.full_like(parameter, torch.inf)
        scaler.step(setup.optimizer)
        scaler.update()
        assert scaler.state_dict() != before
    assert scaler.state_dict() == before


def test_generators_and_arrays_that_the_data_or_the_model_keep_come_back() -> None:
    class Data(torch.utils.data.Dataset[int]):
        def __init__(self) -> None:
            self.generators = np.random.default_rng(0)
            self.random = random.Random(0)
            self.legacy = np.random.RandomState(0)

    data, model = Data(), nn.Linear(1, 1)
    model.counts = np.zeros(3)

    def draw() -> list[float]:
        return [data.generators.random(), data.random.random(), data.legacy.rand()]

    with preserved(
        TrainingSetup(model=model, loader=DataLoader(data, 1, shuffle=False, sampler=[]))
    ):
        drawn = draw()
        model.counts += 1
    assert draw() == drawn
    assert model.counts.tolist() == [0, 0, 0]


def test_a_wrapped_optimizer_comes_back_with_what_it_wraps() -> None:
    class Averaged:
        def __init__(self, base: torch.optim.Optimizer) -> None:
            self.base, self.slow = base, [torch.zeros(2)]

        @property
        def param_groups(self) -> list[dict[str, Any]]:
            return self.base.param_groups

    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.ones(2)
    wrapper = Averaged(torch.optim.Adam([parameter]))
    with preserved(TrainingSetup(model=nn.Linear(1, 1), loader=[], optimizer=wrapper)):
        wrapper.base.step()
        wrapper.slow[0].add_(1)
    assert not wrapper.base.state
    assert wrapper.slow[0].tolist() == parameter.tolist() == [0, 0]


@pytest.mark.parametrize("wrap", [torch.compile, torch.jit.script, nn.DataParallel])
def test_wrapped_models_come_back(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = [octets(part) for part in model.state_dict().values() if part.ndim]
    with preserved(TrainingSetup(model=wrap(model), loader=[])):
        for part in model.parameters():
            part.data.add_(1)
        model[1].running_mean.add_(1)
    assert [octets(part) for part in model.state_dict().values() if part.ndim] == before
