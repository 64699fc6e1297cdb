"""Is a part of the model affine: is its output for a mixture the mixture of its outputs?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.experiments.lab import SEED, Experiment, Lab
from traindoctor.experiments.model_call import ModelCall, first_call
from traindoctor.target.usercode import is_user_class, user_place
from traindoctor.trace import Place, Trace

if TYPE_CHECKING:
    import torch

LAYERS = ("Linear", "Conv1d", "Conv2d", "Conv3d")
SAME = 1e-4  # of the distance between two outputs
NOISE = 0.3  # at least, on each weight
PULLED = 1.5  # what a layer's output is multiplied by, to see who is given it


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that was called: how many numbers make one of its outputs, and of how many."""

    path: str
    kind: str
    num_in: int
    num_out: int
    place: Place  # the user's line that called it, directly or through others


@dataclass(frozen=True, slots=True)
class _Part:
    """A module with the one tensor that it was given."""

    path: str
    module: Any
    x: torch.Tensor
    keyword: str | None

    def __call__(self, x: torch.Tensor) -> Any:
        return self.module(x) if self.keyword is None else self.module(**{self.keyword: x})


@dataclass(frozen=True, slots=True)
class _Call:
    path: str
    module: Any
    place: Place
    given: torch.Tensor


@dataclass(frozen=True)
class MixInputs(Experiment):
    """The model in eval mode, and those of its parts that hold two layers or more.

    Facts: `affine`, the outermost parts that are affine in their one input, each with its `path`,
    the `error` beside the mixture of outputs as a share of their distance, and the `pairs` of
    layers of which the second is given what comes from the first.
    """

    name: ClassVar[str] = "mix-inputs"
    cost: ClassVar[int] = 2

    def run(self, lab: Lab) -> Trace:
        """Return the facts."""
        setup, model = lab.anatomy.facts, lab.setup.model
        paths = [path for path, module in model.named_modules() if _may_be_affine(module)]
        call = first_call(lab) if paths else None
        if call is None:
            return Trace(setup=setup, facts={"affine": ()})
        model.eval()
        given = _given(lab, call, paths)
        found: list[dict[str, Any]] = []
        for part in (given[path] for path in paths if path in given):
            if any(_is_inside(part.path, other["path"]) for other in found):
                continue
            error = _error(part)
            if error is not None and error < SAME:
                with _other_weights(part.module):  # a branch that starts at zero may bend
                    error = _error(part)
            if error is not None and error < SAME:
                found.append({"path": part.path, "error": error, "pairs": _pairs(part)})
        return Trace(setup=setup, modules=lab.anatomy.modules, facts={"affine": tuple(found)})


def _may_be_affine(module: torch.nn.Module) -> bool:
    """Tell a module of the user's making that holds two layers or more."""
    is_made = is_user_class(type(module)) or type(module).__name__ == "Sequential"
    return is_made and sum(type(m).__name__ in LAYERS for m in module.modules()) > 1


def _is_inside(path: str, other: str) -> bool:
    return not other or path == other or path.startswith(f"{other}.")


def _given(lab: Lab, call: ModelCall, paths: list[str]) -> dict[str, _Part]:
    """Call the model once; return the parts that were given one tensor, with the first."""
    import torch

    given: dict[str, _Part] = {}

    def note(path: str) -> Any:
        def hook(module: Any, args: Any, kwargs: Any) -> None:
            if len(args) + len(kwargs) != 1:
                return
            x, keyword = (*args, *kwargs.values())[0], next(iter(kwargs), None)
            if isinstance(x, torch.Tensor) and x.is_floating_point() and x.ndim > 1:
                given.setdefault(path, _Part(path, module, x.detach().clone(), keyword))

        return hook

    handles = [
        lab.setup.model.get_submodule(path).register_forward_pre_hook(note(path), with_kwargs=True)
        for path in paths
    ]
    try:
        with torch.no_grad():
            lab.setup.model(*call.args, **call.kwargs)
    except Exception:  # a model that cannot be called in eval mode says nothing
        given.clear()
    finally:
        for handle in handles:
            handle.remove()
    return given


def _error(part: _Part) -> float | None:
    """Return how far the output for a mixture is from the mixture of outputs.

    As a share of the distance between the two; None where the output is no tensor, draws noise,
    or is the same for both.
    """
    import torch

    x = part.x
    generator = torch.Generator(x.device).manual_seed(SEED)
    noise = torch.randn(x.shape, generator=generator, device=x.device).to(x.dtype)
    other = -x + 3 * x.std() * noise
    try:
        with torch.no_grad():
            outputs = [part(value.clone()) for value in (x, other, 0.25 * x + 0.75 * other, x)]
    except Exception:  # it may refuse what no data looks like
        return None
    if not all(isinstance(output, torch.Tensor) for output in outputs):
        return None
    one, two, mixed, again = outputs
    distance = float((one - two).abs().max())
    if not distance or not torch.equal(one, again):
        return None
    return float((0.25 * one + 0.75 * two - mixed).abs().max()) / distance


@contextmanager
def _other_weights(module: torch.nn.Module) -> Iterator[None]:
    """Have noisy weights stand in for all weights while inside, so that none is zero.

    The weights themselves are not written to: frozen ones may not have been copied.
    """
    import torch

    before = [(p, p.data) for p in module.parameters() if p.is_floating_point()]
    try:
        for p, value in before:
            generator = torch.Generator(p.device).manual_seed(SEED)
            noise = torch.randn(p.shape, generator=generator, device=p.device)
            size = max(float(value.float().square().mean().sqrt()), NOISE)
            p.data = value + size * noise.to(p.dtype)
        yield
    finally:
        for p, value in before:
            p.data = value


def _pairs(part: _Part) -> tuple[tuple[Layer, Layer], ...]:
    """Return the layers that follow each other, where what the second is given is the first's."""
    import torch

    plain = _layers(part)
    found = []
    for first, second in pairwise(plain):
        pulled = {layer.path: layer.given for layer in _layers(part, first.path)}
        if second.path in pulled and not torch.equal(pulled[second.path], second.given):
            found.append((first, second))
    return tuple((_named(first, part.path), _named(second, part.path)) for first, second in found)


def _named(layer: _Call, path: str) -> Layer:
    """Return a layer by its name in the whole model, without what it was given."""
    kind, (num_in, num_out) = type(layer.module).__name__, _widths(layer.module)
    return Layer(f"{path}.{layer.path}".strip("."), kind, num_in, num_out, layer.place)


def _layers(part: _Part, pulled: str | None = None) -> list[_Call]:
    """Call a module and return the calls of its layers; the output of one may be pulled."""
    import torch

    with torch.no_grad(), _layers_seen(part.module, pulled) as seen:
        part(part.x.clone())
    return seen


@contextmanager
def _layers_seen(module: torch.nn.Module, pulled: str | None) -> Iterator[list[_Call]]:
    seen: list[_Call] = []

    def note(path: str, layer: Any) -> Any:
        def hook(_: Any, args: Any, output: torch.Tensor) -> torch.Tensor | None:
            place = user_place(sys._getframe(1))
            seen.append(_Call(path, layer, place, args[0].detach().clone()))
            return output * PULLED if path == pulled else None

        return hook

    handles = [
        layer.register_forward_hook(note(path, layer))
        for path, layer in module.named_modules()
        if type(layer).__name__ in LAYERS
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _widths(layer: Any) -> tuple[int, int]:
    if type(layer).__name__ == "Linear":
        return layer.in_features, layer.out_features
    num_in = layer.in_channels // layer.groups
    for length in layer.kernel_size:
        num_in *= length
    return num_in, layer.out_channels
