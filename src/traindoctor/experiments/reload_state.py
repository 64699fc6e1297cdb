"""Does a model do after loading its state dict what it did before?"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab, seed_everything
from traindoctor.experiments.loop import Loop, as_training_begins
from traindoctor.experiments.model_call import ModelCall, first_call
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.modules import tensors_of
from traindoctor.instruments.recorder import Recorder
from traindoctor.target.batches import copy_batch
from traindoctor.target.source import attribute_place, class_body
from traindoctor.target.usercode import is_user_class
from traindoctor.trace import Trace, UnsavedRow

if TYPE_CHECKING:
    import torch

SAME = 1e-3  # of the largest output: less may be rounding

Values = dict[tuple[str, str], Any]  # by the module's path and the attribute


@dataclass(frozen=True)
class ReloadState(Experiment):
    """A few steps; then the model as it was built is given the state dict, and called in eval mode.

    What a user's module keeps beside its parameters and buffers is put back one by one, to see
    whose absence it is that changes the output. Nothing runs where there is no such thing. Frozen
    parameters, which are as they were, are not written to.
    """

    num_batches: int = 4

    name: ClassVar[str] = "reload-state"
    cost: ClassVar[int] = 6

    def run(self, lab: Lab) -> Trace:
        """Return what the state dict lacks, as `unsaved`."""
        setup, model, snapshot = lab.anatomy.facts, lab.setup.model, lab.snapshot
        kept = {key for key, _ in _kept(model)}
        call = first_call(lab) if kept and snapshot is not None else None
        if call is None or snapshot is None:
            return Trace(setup=setup)
        rows = [row for key in kept if (row := _drawn(lab, call, key)) is not None]
        snapshot.restore()
        self._train(lab)
        trained = {key: _copy(value) for key, value in _kept(model) if key in kept}
        frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
        state = {n: _copy(value) for n, value in model.state_dict().items() if n not in frozen}
        before = _outputs(lab, call)
        if not before or _change(before, _outputs(lab, call)) > 0:
            return Trace(setup=setup, unsaved=tuple(rows))
        snapshot.restore()
        model.load_state_dict(state, strict=False)
        change = _change(before, _outputs(lab, call))
        if change > SAME:
            model.load_state_dict(state, strict=False)
            rows += _missed(lab, call, trained, before, change)
        return Trace(setup=setup, unsaved=tuple(rows))

    def _train(self, lab: Lab) -> None:
        seed_everything()
        as_training_begins(lab)
        recorder = Recorder(clock=lab.clock)
        if lab.setup.train_loop is not None and lab.setup.train_step is None:
            run_user_loop(lab, recorder, self.num_batches)
        else:
            Loop(lab.setup, lab.optimizers(), recorder).run(lab.batches(self.num_batches))


def _kept(model: torch.nn.Module) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield what modules of the user's keep, and a state dict does not."""
    import torch

    for path, module in model.named_modules():
        kind: type = type(module)
        if not is_user_class(kind):
            continue
        written = _written_later(kind)
        for name, value in [*vars(module).items(), *module._buffers.items()]:
            is_saved = name in module._buffers and name not in module._non_persistent_buffers_set
            is_tensor = isinstance(value, torch.Tensor) and not value.requires_grad
            is_number = type(value) in (int, float) and name in written
            if (is_number or (is_tensor and value.is_floating_point())) and not is_saved:
                yield (path, name), value


def _written_later(kind: type) -> set[str]:
    """Name the attributes that a class's methods but for its constructor assign."""
    body = class_body(kind)
    methods = body.body if body is not None else []
    return {
        node.attr
        for method in methods
        if isinstance(method, ast.FunctionDef) and method.name != "__init__"
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }


def _drawn(lab: Lab, call: ModelCall, key: tuple[str, str]) -> UnsavedRow | None:
    """Return a row for a tensor that a constructor draws at random, if its values matter."""
    import torch

    path, name = key
    module = lab.setup.model.get_submodule(path)
    value, place = getattr(module, name), attribute_place(type(module), name)
    is_random = "rand" in place.text or "normal" in place.text
    if not is_random or "generator" in place.text or not isinstance(value, torch.Tensor):
        return None
    before = _outputs(lab, call)
    if not before or _change(before, _outputs(lab, call)) > 0:
        return None
    flat = value.flatten()
    other = flat[torch.randperm(len(flat), generator=torch.Generator().manual_seed(1))]
    setattr(module, name, other.view(value.shape))
    change = _change(before, _outputs(lab, call))
    setattr(module, name, value)
    if change <= SAME:
        return None
    return UnsavedRow(path=path, name=name, place=place, kind="drawn", change=change)


def _missed(
    lab: Lab, call: ModelCall, trained: Values, before: list[torch.Tensor], change: float
) -> list[UnsavedRow]:
    """Return what makes up for a good part of the change when it is put back."""
    import torch

    rows = []
    for (path, name), value in trained.items():
        module = lab.setup.model.get_submodule(path)
        loaded = getattr(module, name)
        setattr(module, name, _copy(value))
        left = _change(before, _outputs(lab, call))
        setattr(module, name, loaded)
        if left < change / 2:
            rows.append(
                UnsavedRow(
                    path=path,
                    name=name,
                    place=attribute_place(type(module), name),
                    kind="changed" if isinstance(value, torch.Tensor) else "number",
                    change=change,
                )
            )
    return rows


def _outputs(lab: Lab, call: ModelCall) -> list[torch.Tensor]:
    """Return the outputs of the model in eval mode; none where it cannot be called so."""
    import torch

    args, kwargs = copy_batch((call.args, call.kwargs))
    seed_everything()
    lab.setup.model.eval()
    try:
        with torch.no_grad():
            found = tensors_of(lab.setup.model(*args, **kwargs))
    except Exception:  # whatever it is, nothing can be said
        return []
    return [tensor.float().clone() for tensor in found if tensor.is_floating_point()]


def _change(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """Return the largest difference, as a share of the largest value."""
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a.shape == b.shape and a.numel()]
    return max(
        (float((a - b).abs().max()) / max(float(a.abs().max()), 1e-12) for a, b in pairs),
        default=0.0,
    )


def _copy(value: Any) -> Any:
    return value.detach().clone() if hasattr(value, "detach") else value
