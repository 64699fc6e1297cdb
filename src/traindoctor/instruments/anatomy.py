"""Describes a setup before anything runs: its parameters, modules, optimizers and facts."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.norms import norms
from traindoctor.instruments.unregistered import unregistered, unregistered_rows
from traindoctor.target.looking import length
from traindoctor.target.processes import part_of
from traindoctor.target.source import attribute_place, call_place, method_place
from traindoctor.target.usercode import is_user_class
from traindoctor.target.valueless import has_values
from traindoctor.trace import ModuleRow, OptimizerRow, ParameterRow, Place, SetupRow

if TYPE_CHECKING:
    import torch

    from traindoctor.target.setup import TrainingSetup

_ALIKE = re.compile(r"req\w{2,5}_?grad(ient)?s?_?")  # require_grad, requires_gradient, …
ATTRIBUTES = (
    "in_features",
    "out_features",
    "in_channels",
    "out_channels",
    "num_features",
    "num_embeddings",
    "embedding_dim",
    "padding_idx",
    "input_size",
    "hidden_size",
    "batch_first",
    "normalized_shape",
    "kernel_size",
    "groups",
    "p",
    "dropout",
    "attention_dropout",
    "drop_prob",
    "dropout_p",
    "momentum",
    "track_running_stats",
    "image_size",
    "patch_size",
    "gradient_checkpointing",
)


@dataclass
class Anatomy:
    """The parts of a setup as rows, made once; tensors by name for the instruments."""

    setup: TrainingSetup
    optimizers: tuple[torch.optim.Optimizer, ...]
    has_own_optimizer: bool = False  # the doctor's, because the setup gives none
    inherited: tuple[str, ...] = ()  # parameters and buffers with operations behind them

    @cached_property
    def trainable(self) -> tuple[torch.nn.Parameter, ...]:
        """The model's parameters that require gradients, tied ones once."""
        return tuple(p for p in self.setup.model.parameters() if p.requires_grad)

    @cached_property
    def names(self) -> dict[int, str]:
        """Parameter names by `id`; of a tied parameter's names the first."""
        return {id(p): name for name, p in self.setup.model.named_parameters()}

    @cached_property
    def orphans(self) -> tuple[torch.nn.Parameter, ...]:
        """Trainable parameters that no optimizer holds."""
        held = {id(p) for p in _held(self.optimizers)}
        return tuple(p for p in self.trainable if id(p) not in held)

    @cached_property
    def parameters(self) -> tuple[ParameterRow, ...]:
        """One row a parameter; tied ones once, with their other names."""
        model = self.setup.model
        aliases: dict[int, list[str]] = {}
        for name, p in model.named_parameters(remove_duplicate=False):
            aliases.setdefault(id(p), []).append(name)
        found = list(model.named_parameters())
        sizes = norms([p.detach() for _, p in found])
        apart = _apart(self.optimizers)
        held = [id(p) for p in _held(apart)]
        holders = Counter(key for o in apart for key in {id(p) for p in _held([o])})
        groups = {
            id(p): (number, index)
            for number, optimizer in reversed(list(enumerate(self.optimizers)))
            for index, group in reversed(list(enumerate(optimizer.param_groups)))
            for p in group["params"]
        }
        times = Counter(held)
        rows = [
            self._parameter(name, p, size, aliases[id(p)], holders[id(p)], times[id(p)])
            for (name, p), size in zip(found, sizes, strict=True)
        ]
        return tuple(
            replace(row, group=groups.get(id(p))) for row, (_, p) in zip(rows, found, strict=True)
        )

    def _parameter(
        self,
        name: str,
        p: torch.nn.Parameter,
        size: float,
        aliases: Sequence[str],
        num_optimizers: int,
        num_groups: int,
    ) -> ParameterRow:
        path, _, leaf = name.rpartition(".")
        owner = self.setup.model.get_submodule(path)
        place, is_users = self.place(path, leaf)
        return ParameterRow(
            name=name,
            module=path,
            module_class=type(owner).__name__,
            shape=tuple(p.shape),
            num_elements=p.numel(),
            dtype=str(p.dtype).removeprefix("torch."),
            device=str(p.device),
            requires_grad=p.requires_grad,
            num_optimizers=num_optimizers,
            num_groups=num_groups,
            is_users=is_users,
            place=place,
            weight_rms=size / max(p.numel(), 1) ** 0.5,
            is_varied="Norm" in type(owner).__name__ and _is_varied(p),
            false_flag=false_flag(p),
            also_named=tuple(alias for alias in aliases if alias != name),
        )

    def place(self, path: str, leaf: str = "") -> tuple[Place, bool]:
        """Return where the user's code builds the module at a path, and whether it does.

        The innermost module of a user's class on the way names the line `self.x = …`; what a
        library class builds inside itself is not the user's.
        """
        parts = [*path.split("."), leaf] if path else [leaf]
        parts = [part for part in parts if part]
        module: Any = self.setup.model
        found, is_users = Place(), False
        for part in parts:
            if is_user_class(type(module)):
                found, is_users = attribute_place(type(module), part), True
            elif not isinstance(module, _containers()):
                is_users = is_users and False
            module = getattr(module, part, None)
            if module is None:
                break
        return found, is_users

    @cached_property
    def modules(self) -> tuple[ModuleRow, ...]:
        """One row a module, before any call."""
        return tuple(self._module(path, m) for path, m in self.setup.model.named_modules())

    def _module(self, path: str, module: torch.nn.Module) -> ModuleRow:
        parameters = list(module.parameters())
        place, _ = self.place(path) if path else (self.facts.model_place, True)
        plain = {
            name: value
            for name in ATTRIBUTES
            if isinstance(value := getattr(module, name, None), int | float | bool | tuple)
        }
        return ModuleRow(
            path=path,
            class_name=type(module).__name__,
            is_users=is_user_class(type(module)),
            place=place,
            num_parameters=sum(p.numel() for p in parameters),
            num_trainable=sum(p.numel() for p in parameters if p.requires_grad),
            is_training=module.training,
            attributes=plain,
            false_flag=false_flag(module),
        )

    @cached_property
    def unregistered(self) -> tuple[ModuleRow, ...]:
        """What a user's module holds to be trained, and nn.Module does not know of."""
        return unregistered_rows(self.setup.model, self.lost, _held(self.optimizers))

    @cached_property
    def lost(self) -> dict[tuple[str, str], list[Any]]:
        """The same as objects: by the module's path and the attribute."""
        return unregistered(self.setup.model)

    @cached_property
    def optimizer_rows(self) -> tuple[OptimizerRow, ...]:
        """One row an optimizer of the setup."""
        ours = set(self.names)
        nobody = {tuple(p.shape) for p in self.orphans}
        rows = []
        for index, optimizer in enumerate(self.optimizers):
            held = list(_held([optimizer]))
            strangers = [p for p in held if id(p) not in ours]
            rows.append(
                OptimizerRow(
                    index=index,
                    class_name=type(optimizer).__name__,
                    learning_rates=_settings(optimizer, "lr"),
                    weight_decays=_settings(optimizer, "weight_decay"),
                    epsilons=_settings(optimizer, "eps"),
                    num_held=len(held),
                    num_strangers=len(strangers),
                    stranger_elements=sum(p.numel() for p in strangers),
                    num_lookalikes=sum(tuple(p.shape) in nobody for p in strangers),
                    maximize=any(group.get("maximize") for group in optimizer.param_groups),
                    is_the_users=not self.has_own_optimizer,
                    place=Place() if self.has_own_optimizer else self._built(optimizer),
                    step_place=method_place(type(optimizer), "step"),
                )
            )
        return tuple(rows)

    @cached_property
    def facts(self) -> SetupRow:
        """The setup as one row."""
        setup, model = self.setup, self.setup.model
        names, takes_kwargs = forward_signature(model)
        return SetupRow(
            reference=setup.reference,
            kind=setup.kind,
            model_class=type(model).__name__,
            forward_parameters=names,
            forward_takes_kwargs=takes_kwargs,
            has_optimizer=not self.has_own_optimizer,
            has_loss_fn=setup.loss_fn is not None,
            has_scheduler=setup.scheduler is not None,
            has_scaler=setup.scaler is not None,
            has_train_step=setup.train_step is not None,
            has_train_loop=setup.train_loop is not None,
            accumulation_steps=setup.accumulation_steps,
            max_grad_norm=setup.max_grad_norm,
            epochs=setup.epochs,
            num_batches=length(setup.loader),
            factory=setup.factory,
            model_place=self._built(model),
            forward_place=method_place(type(model), "forward"),
            loader_place=call_place(type(setup.loader).__name__, setup.factory),
            is_training=model.training,
            inherited=self.inherited,
            **self._trainer(),
        )

    def _trainer(self) -> dict[str, Any]:
        """Return what there is to say of a `transformers.Trainer`."""
        trainer = self.setup.trainer
        if trainer is None:
            return {}
        return {
            "trainer_class": type(trainer).__name__,
            "trainer_is_users": is_user_class(type(trainer)),
            "trainer_place": call_place(type(trainer).__name__, self.setup.factory),
        }

    def _built(self, thing: Any) -> Place:
        """Return the user's line that built a model or an optimizer: as seen, else as written."""
        seen = self.setup.built_at.get(id(thing))
        return seen or call_place(type(thing).__name__, self.setup.factory)


def false_flag(thing: Any) -> str:
    """Name the attribute that was set to False on a module or a parameter in order to freeze it.

    A module has no `requires_grad`, and neither has a misspelt one: what is set freezes nothing.
    """
    own = (name for name, value in vars(thing).items() if value is False)
    return next(filter(_ALIKE.fullmatch, own), "")


def forward_signature(model: torch.nn.Module) -> tuple[tuple[str, ...], bool]:
    """Return the names that a model's forward takes, and whether it takes any others too."""
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):  # a forward written in C
        return (), True
    named = tuple(p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _is_varied(p: torch.nn.Parameter) -> bool:
    """Tell a parameter whose elements are not all equal, and can be compared."""
    is_readable = part_of(p) is p and has_values(p) and p.dtype.itemsize > 1 and p.numel() > 0
    return is_readable and bool((p.detach() != p.detach().flatten()[0]).any())


def _apart(optimizers: Sequence[torch.optim.Optimizer]) -> list[torch.optim.Optimizer]:
    """Return one of each optimizer and those that wrap it: they share its groups, or parameters."""
    found: list[torch.optim.Optimizer] = []
    known: set[int] = set()
    for optimizer in optimizers:
        groups = {id(group) for group in optimizer.param_groups}
        if not groups or not groups <= known:
            found.append(optimizer)
        known |= groups
    return [o for o in found if not any(_wraps(other, o) for other in found)]


def _wraps(outer: torch.optim.Optimizer, inner: torch.optim.Optimizer) -> bool:
    """Tell whether an optimizer has another as an attribute, and all that this one holds."""
    if not any(value is inner for value in vars(outer).values()):
        return False
    return {id(p) for p in _held([inner])} <= {id(p) for p in _held([outer])}


def _held(optimizers: Sequence[torch.optim.Optimizer]) -> list[torch.nn.Parameter]:
    return [p for o in optimizers for group in o.param_groups for p in group["params"]]


def _settings(optimizer: torch.optim.Optimizer, name: str) -> tuple[float, ...]:
    return tuple(float(group[name]) for group in optimizer.param_groups if name in group)


def _containers() -> tuple[type, ...]:
    import torch

    return (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict, torch.nn.ParameterList)
