"""What a watched script has built: its modules and optimizers, and which of them train."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import Place

if TYPE_CHECKING:
    import torch
    from torch import nn

_ASSIGNED = re.compile(r"(?:self\.)?(\w+)\s*(?::[^=]+)?=(?!=)")


@dataclass(slots=True)
class _Learning:
    """A module that has parameters, and who in it owns the first of them, under which name."""

    module: Callable[[], nn.Module | None]
    owner: Callable[[], nn.Module | None] = lambda: None
    name: str = ""
    first: Callable[[], torch.Tensor | None] = lambda: None


class Scene:
    """Knows each module and optimizer from its constructor on, and keeps none alive."""

    def __init__(self, script: Place) -> None:
        self.script = script
        self.places: Mapping[int, Place] = {}  # where each was built, by `id`
        self.loader: Any = ()  # the one whose batches were differentiated
        self.trainer: Any = None  # the transformers Trainer that trains
        self.roots: list[ref[nn.Module]] = []  # called by nobody but the script
        self._modules: dict[int, ref[Any]] = {}
        self._learning: dict[int, _Learning] = {}
        self._optimizers: dict[int, ref[Any]] = {}
        self.num_optimizers = 0  # built so far

    def notice(self, built: Any) -> None:
        """Take in an object whose constructor begins."""
        import torch

        if isinstance(built, torch.optim.Optimizer):
            self._optimizers.pop(id(built), None)  # of one that is gone
            self._optimizers[id(built)] = ref(built)
            self.num_optimizers += 1
        elif isinstance(built, torch.nn.Module):
            self._modules[id(built)] = ref(built)

    def learns(self, module: nn.Module) -> bool:
        """Tell whether a module has parameters; one that has will be asked no more."""
        known = self._learning.get(id(module))
        if known is not None and known.module() is module:
            return True
        if next(module.parameters(), None) is None:
            return False
        self._learning[id(module)] = _Learning(ref(module))
        return True

    def has_its_own(self, module: nn.Module) -> bool:
        """Tell that a module which learns is not called by `torch.func.functional_call`.

        There other tensors stand for its parameters.
        """
        from torch import nn

        known = self._learning[id(module)]
        owner, p = known.owner(), known.first()
        if owner is not None and p is not None and owner._parameters.get(known.name) is p:
            return True  # what it was before, as mostly
        for owner in module.modules():
            for name, p in owner._parameters.items():
                if p is not None:
                    is_own = isinstance(p, nn.Parameter)
                    if is_own and isinstance(owner._parameters, dict):  # not so in TorchScript
                        known.owner, known.name, known.first = ref(owner), name, ref(p)
                    return is_own
        return False

    def optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        """Return the optimizers there are, in the order in which they were built."""
        found = (reference() for reference in self._optimizers.values())
        return tuple(o for o in found if o is not None and hasattr(o, "param_groups"))

    def since(self, number: int) -> Scene:
        """Return the scene of a training that begins now, with optimizers built after so many."""
        scene = Scene(self.script)
        scene.places, scene._modules = self.places, self._modules
        new = list(self._optimizers.items())[-(self.num_optimizers - number) :]
        scene._optimizers = dict(new)
        return scene

    def let_go(self) -> None:
        """Keep nothing alive: the opening is over, and what there was to see is seen."""
        self.trainer, self.loader = None, ()

    def find_trainer(self) -> None:
        """Look for a Trainer of transformers among those who called."""
        module = sys.modules.get("transformers.trainer")
        frame = sys._getframe(1) if module is not None else None
        while frame is not None and self.trainer is None:
            owner = frame.f_locals.get("self") if frame.f_code.co_name == "training_step" else None
            if isinstance(owner, module.Trainer):  # type: ignore[union-attr]  # there is a frame
                self.trainer = owner
            frame = frame.f_back

    def num_trainable(self) -> int:
        """Count the parameters that the latest optimizer holds and that require a gradient.

        None where one is given none: it has not come to be.
        """
        groups = self.optimizers()[-1].param_groups if self.optimizers() else []
        return sum(p.requires_grad for group in groups for p in group["params"])

    def enter(self, root: nn.Module) -> bool:
        """Take in a module that was called for training; False for one that is known."""
        top = self._top(root)
        if any(reference() is top for reference in self.roots):
            return False
        self.roots.append(ref(top))
        return True

    def enter_behind(self, loss: torch.Tensor) -> None:
        """Take in the modules that a loss descends from, where their calls are not seen."""
        from traindoctor.instruments.backward import graph_leaves
        from traindoctor.instruments.unregistered import unregistered

        leaves, tops = graph_leaves(loss), [] if self.roots else self._tops()
        hidden = {id(m) for top in tops for lost in unregistered(top).values() for m in lost}
        for top in tops:
            if id(top) not in hidden and any(id(p) in leaves for p in top.parameters()):
                self.enter(top)

    def setup(self) -> TrainingSetup | None:
        """Return the script as a setup: what was called and can learn, and all optimizers.

        Before any call it is what the optimizers hold; None where there is nothing.
        """
        models = [root for reference in self.roots if (root := reference()) is not None]
        models = [m for m in models if any(p.requires_grad for p in m.parameters())] or models[:1]
        models = models or list(self._owners())
        if not models:
            return None
        return TrainingSetup(
            model=models[0] if len(models) == 1 else _together(self._named(models)),
            loader=self.loader,
            trainer=self.trainer,
            optimizer=self.optimizers() or None,
            kind="script",
            factory=self.script,
            built_at=self.places,
            train_loop=_the_script,
        )

    def _owners(self) -> Iterator[nn.Module]:
        held = {id(p) for o in self.optimizers() for g in o.param_groups for p in g["params"]}
        for top in self._tops():
            if any(id(p) in held for p in top.parameters()):
                yield top

    def _top(self, module: nn.Module) -> nn.Module:
        """Return the outermost module that holds one; itself where nothing does."""
        for top in self._tops():
            if any(inner is module for inner in top.modules()):
                return top
        return module

    def _tops(self) -> list[nn.Module]:
        alive = [m for reference in self._modules.values() if (m := reference()) is not None]
        parts = [child for m in alive for child in vars(m).get("_modules", {}).values()]
        inner = {id(child) for child in parts}
        return [m for m in alive if id(m) not in inner and "_modules" in vars(m)]

    def _named(self, models: list[nn.Module]) -> dict[str, nn.Module]:
        """Name several models as the script does, else by their classes."""
        named: dict[str, nn.Module] = {}
        for model in models:
            written = _ASSIGNED.match(self.places.get(id(model), Place()).text)
            name = written[1] if written else type(model).__name__.lower()
            while name in named:
                name += "_"
            named[name] = model
        return named


def _together(models: Mapping[str, nn.Module]) -> nn.Module:
    """Return one module that holds several; it is never called."""
    from torch import nn

    kind = type(" + ".join(type(m).__name__ for m in models.values()), (nn.Module,), {})
    kind.__module__ = type(next(iter(models.values()))).__module__
    whole: nn.Module = kind()
    for name, model in models.items():
        whole.add_module(name, model)
    return whole


def _the_script() -> None:
    """Stand for the loop of a setup that is a script; never called."""
