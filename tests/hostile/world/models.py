"""Models, by name; each takes inputs (8, 4) to logits (8, 3), or does something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tests.hostile.world.things import ERRORS, NAMES, Chameleon, Touchy
from torch import nn
from torch.nn.utils import parametrizations


class Net(nn.Module):
    """Two layers; a subclass changes one thing."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.head(torch.relu(self.first(x)))


class Returns(Net):
    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Any) -> Any:
        return self.make(super().forward(x))


class Raises(Net):
    def __init__(self, error: str, at: int = 0) -> None:
        super().__init__()
        self.error, self.at, self.calls = error, at, 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        if self.calls > self.at:
            raise ERRORS[self.error]()
        return super().forward(x)


class Does(Net):
    """Does something to itself or the process at every forward."""

    def __init__(self, act: Callable[[Any], Any]) -> None:
        super().__init__()
        self.act = act

    def forward(self, x: Any) -> Any:
        out = super().forward(x)
        self.act(self)
        return out


class Anything(Net):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(next(a for a in (*args, *kwargs.values()) if torch.is_tensor(a)))


class NoWords(Net):
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    extra_repr = __repr__


class Stiff(Net):
    """Cannot be copied, nor written to once it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.__dict__["done"] = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__dict__.get("done"):
            raise AttributeError(f"no {name}")
        super().__setattr__(name, value)

    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("no copy")

    __reduce__ = __deepcopy__  # type: ignore[assignment]


class NoModes(Net):
    def train(self, mode: bool = True) -> Any:
        raise RuntimeError("no modes")


class NoReturn(Net):
    def train(self, mode: bool = True) -> Any:
        super().train(mode)


class NoParameters(nn.Module):
    def forward(self, x: Any) -> Any:
        return x[:, :3] * 2


class Lists(Net):
    """Its parameters cannot be listed."""

    def named_parameters(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("no list")


class OddLists(Net):
    def named_parameters(self, *_: Any, **__: Any) -> Any:
        yield "nothing", None
        yield "three", 3


class Cyclic(Net):
    def __init__(self) -> None:
        super().__init__()
        self.me = self


class Asks(Net):
    @property
    def device(self) -> Any:
        raise RuntimeError("no device")

    dtype = config = main_input_name = loss_function = device


class Growing(Net):
    def forward(self, x: Any) -> Any:
        number = len(list(self.parameters()))
        self.register_parameter(f"more{number}", nn.Parameter(torch.ones(3)))
        return super().forward(x)


class Deep(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        module: nn.Module = self
        for _ in range(depth):
            module.inner = nn.Module()
            module = module.inner

    def forward(self, x: Any) -> Any:
        return self.head(x)


class Named(nn.Module):
    """Its modules and parameters have odd names."""

    def __init__(self, name: str) -> None:
        super().__init__()
        safe = name.replace(".", "_") or "x"
        self._modules[safe] = nn.Linear(4, 3)
        self._parameters[safe + "2"] = nn.Parameter(torch.zeros(3))
        self._buffers[safe + "3"] = torch.zeros(1)

    def forward(self, x: Any) -> Any:
        return next(iter(self._modules.values()))(x) + next(iter(self._parameters.values()))


def classed(name: str) -> nn.Module:
    """Return a net whose class has an odd name and module."""
    kind = type(name.replace("\0", ""), (Net,), {"__module__": name, "__qualname__": name})
    return kind()


def hooked(kind: str, hook: Callable[..., Any], where: str = "head") -> nn.Module:
    net = Net()
    getattr(net.get_submodule(where), f"register_{kind}")(hook)
    return net


def with_parameter_hook(hook: Callable[..., Any]) -> nn.Module:
    net = Net()
    net.head.weight.register_hook(hook)
    return net


def shared() -> nn.Module:
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, layer, nn.Sequential(layer), nn.Linear(4, 3))


def tied() -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3))
    net[1].weight = net[0].weight
    return net


def non_leaf() -> nn.Module:
    net = Net()
    weight = net.head.weight
    del net.head.weight
    net.head.weight = weight * 2
    return net


def raising(*_: Any, **__: Any) -> Any:
    raise ERRORS["unspeakable"]()


HOOKS = ("forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook")

MODELS: dict[str, Callable[[], Any]] = {
    "plain": Net,
    "anything": Anything,
    "no words": NoWords,
    "stiff": Stiff,
    "no modes": NoModes,
    "train returns nothing": NoReturn,
    "no parameters": NoParameters,
    "no layers": nn.Module,
    "identity": nn.Identity,
    "no list": Lists,
    "odd lists": OddLists,
    "cyclic": Cyclic,
    "asks": Asks,
    "growing": Growing,
    "deep": lambda: Deep(60),
    "too deep": lambda: Deep(1500),
    "shared": shared,
    "tied": tied,
    "non-leaf": non_leaf,
    "frozen": lambda: Net().requires_grad_(False),
    "meta": lambda: Net().to("meta"),
    "double": lambda: Net().double(),
    "half": lambda: Net().half(),
    "complex": lambda: Net().to(torch.complex64),
    "lazy": lambda: nn.Sequential(nn.LazyLinear(8), nn.LazyLinear(3)),
    "scripted": lambda: torch.jit.script(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))),
    "weight norm": lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 3))),
    "no samples": lambda: nn.Linear(0, 3),
    "list": lambda: nn.ModuleList([nn.Linear(4, 3)]),
    "parallel": lambda: nn.DataParallel(Net()),
    "class": lambda: Net,
    "function": lambda: lambda x: x,
    "none": lambda: None,
    "touchy": Touchy,
    "chameleon": Chameleon,
    "thousand tensors": lambda: nn.Sequential(*(nn.Linear(4, 4, bias=False) for _ in range(500))),
    **{f"named {name}": (lambda text=text: Named(text)) for name, text in NAMES.items()},
    **{f"class {name}": (lambda text=text: classed(text)) for name, text in NAMES.items()},
    **{f"raises {name}": (lambda e=name: Raises(e)) for name in ERRORS},
    **{f"raises {name} later": (lambda e=name: Raises(e, 9)) for name in ERRORS},
    **{f"{kind} raises": (lambda kind=kind: hooked(kind, raising)) for kind in HOOKS},
    **{f"{kind} says 3": (lambda kind=kind: hooked(kind, lambda *_: 3)) for kind in HOOKS},
    "parameter hook raises": lambda: with_parameter_hook(raising),
    "parameter hook says None": lambda: with_parameter_hook(lambda g: None),
    "parameter hook says NaN": lambda: with_parameter_hook(lambda g: g * float("nan")),
    "returns None": lambda: Returns(lambda out: None),
    "returns words": lambda: Returns(lambda out: "logits"),
    "returns itself": lambda: Returns(lambda out: Net()),
    "returns touchy": lambda: Returns(lambda out: Touchy()),
    "returns chameleon": lambda: Returns(lambda out: Chameleon()),
    "returns a dict": lambda: Returns(lambda out: {"logits": out, "loss": out.sum(), 3: None}),
    "returns numbers": lambda: Returns(lambda out: 3.0),
    "returns NaN": lambda: Returns(lambda out: out * float("nan")),
    "returns tuples": lambda: Returns(lambda out: ((out, None), [out, ()])),
    "returns no graph": lambda: Returns(lambda out: out.detach()),
    "returns a generator": lambda: Returns(lambda out: (row for row in out)),
    "returns numpy": lambda: Returns(lambda out: out.detach().numpy()),
}
