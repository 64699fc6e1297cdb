"""The first steps of a watched script, seen as closely as a short run of `check` sees them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.anatomy import Anatomy
from traindoctor.instruments.backward import BackwardWatch, graph_leaves, graph_nodes
from traindoctor.instruments.hooks import Hooks
from traindoctor.instruments.modules import ModuleCalls
from traindoctor.instruments.optimizer import StepWatch
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.unregistered import places_among
from traindoctor.instruments.weights import describe_matrix, matrices
from traindoctor.target.processes import part_of
from traindoctor.trace import SetupRow, Trace
from traindoctor.watching.first_step import FirstStep
from traindoctor.watching.matrices import watched
from traindoctor.watching.scene import Scene
from traindoctor.watching.zeros import ZeroGradients

if TYPE_CHECKING:
    import torch
    from torch import nn

STEPS, BATCHES, LEAST_STEPS = 8, 24, 3  # the opening is over after so many
MOST_BATCHES = 96  # where nothing steps
MOST_ROWS = 20_000  # of gradients: a model of thousands of tensors is seen for fewer steps
LAST_AT_REST = "is_last_at_rest"  # a fact: the model that is called last in a step is frozen


class Opening:
    """Everything that `check` records of six steps, from the script's own first steps.

    Args:
        recorder: takes the rows.
        scene: knows what was built.
        users_hooks: the script's own hooks, which are named when their modules are.
    """

    def __init__(self, recorder: Recorder, scene: Scene, users_hooks: Hooks) -> None:
        self.recorder, self.scene, self.users_hooks = recorder, scene, users_hooks
        self.anatomy: Anatomy | None = None
        self.names: dict[int, str] = {}
        self.trainable: list[torch.nn.Parameter] = []
        self.orphans: list[torch.nn.Parameter] = []
        self.known: list[torch.optim.Optimizer] = []
        self.steps = StepWatch(recorder, self.names, self.orphans, True, self.known)
        self.backwards = BackwardWatch(
            recorder, self.trainable, is_by_hand=lambda: not scene.optimizers()
        )
        self.zeros = ZeroGradients(self)
        self.calls: ModuleCalls | None = None
        self.hooks: dict[int, tuple[Any, Any]] = {}
        self.flow: FirstStep | None = None
        self.first_step: Trace | None = None  # what `OneStep` would give
        self.weights: Trace | None = None  # what `ReadWeights` would give
        self.matrices: Trace | None = None  # what `WatchWeights` would give
        self.is_compiled = False
        self.depth = 0
        self._before: dict[str, torch.Tensor] = {}
        self._start = recorder.clock()

    # Modules

    def root_called(self, root: nn.Module) -> None:
        """Take in a call by the script itself, in which gradients are enabled."""
        is_by_hand = not self.scene.optimizers()
        if self.recorder.steps or (is_by_hand and self.recorder.num_passes):
            return  # what is called first after a step came late to be in the rows
        if self.backwards.is_inside:
            return
        parameters = list(root.parameters())
        if parameters:  # which of several models is frozen is not to be seen in the rows
            self.recorder.facts[LAST_AT_REST] = not any(p.requires_grad for p in parameters)
        if parameters and self.scene.enter(root):
            self.scene.find_trainer()
            self.look()
            self._look_closely()

    def look(self) -> None:
        """Take stock of what trains; again where more of it has come to light."""
        setup = self.scene.setup()
        if setup is None:
            return
        old = self.calls
        self.anatomy = anatomy = Anatomy(
            setup, setup.optimizers, has_own_optimizer=not setup.optimizers
        )
        self.names.clear()
        self.names.update(anatomy.names)
        self.trainable[:], self.orphans[:] = anatomy.trainable, anatomy.orphans
        if self.flow is not None:
            self.flow.flow.trainable = {id(p) for p in anatomy.trainable}
        self.known[:] = anatomy.optimizers
        self.steps.know(anatomy.optimizers)
        for part in ("parameters", "modules", "facts"):
            getattr(anatomy, part)  # as they are now
        self._before = {
            name: part_of(p).detach().clone() for name, p in setup.model.named_parameters()
        }
        self.calls = ModuleCalls(self.recorder, anatomy, keep_outputs=self.first_step is None)
        self.recorder.on_backward.clear()
        self.hooks = {} if self.is_compiled else self.calls.hooks()
        if old is not None:
            self.calls.seen.update(_renamed(old, anatomy))
        self.weights = _weights(anatomy)
        self.users_hooks.name(setup)

    def traced(self, loss: torch.Tensor) -> None:
        """Take in the first loss of compiled modules: its graph says which, and what they hide."""
        if self.anatomy is None:
            self.scene.enter_behind(loss)
            self.look()
            found = places_among(self.anatomy.lost, graph_leaves(loss)) if self.anatomy else ()
            self.recorder.facts["unregistered_in_graph"] = found

    def without_modules(self, loss: torch.Tensor) -> None:
        """Take in a loss of a script whose tensors are in no module: what it descends from."""
        if not self.trainable:
            nodes = graph_nodes(loss.grad_fn)
            self.trainable[:] = [n.variable for n in nodes if hasattr(n, "variable")]

    def begins(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Take in the call of a module."""
        hooks = self.hooks.get(id(module))
        if hooks is not None:
            hooks[0](module, args, kwargs)

    def returns(self, module: nn.Module, args: Any, output: Any) -> None:
        """Take in what it returned."""
        hooks = self.hooks.get(id(module))
        if hooks is not None:
            hooks[1](module, args, output)

    # Batches

    def boundary(self) -> bool:
        """Take in that the script is between two batches; False when enough was seen."""
        recorder = self.recorder
        if self.flow is not None and recorder.num_passes:
            self._end_first_step()
        num_steps, num_batches = len(recorder.steps), recorder.batch + 1
        is_enough = (
            num_steps >= STEPS
            or (num_batches >= BATCHES and num_steps >= LEAST_STEPS)
            or num_batches >= MOST_BATCHES
            or (num_batches >= BATCHES and not self.scene.optimizers())  # weights moved by hand
            or (num_steps >= LEAST_STEPS and len(recorder.gradients) > MOST_ROWS)
        )
        return not is_enough

    # The first step

    def _look_closely(self) -> None:
        """See every operation until the first step is over, unless something stands against it."""
        if self.flow is None and self.first_step is None and not self.is_compiled:
            first = FirstStep(self)
            self.flow = first if first.enter() else None

    def _end_first_step(self) -> None:
        assert self.flow is not None
        if not self.flow.leave():
            return
        flow, self.flow = self.flow, None
        recorder, loss = self.recorder, self.recorder.last_loss
        if recorder.exceptions:
            recorder.operations += flow.writes.rows
        nodes = graph_nodes(getattr(loss, "grad_fn", None))
        reached = graph_leaves(loss)
        anatomy = self.anatomy
        facts = {
            "loss_type": type(loss).__name__ if loss is not None else None,
            "in_graph": tuple(name for key, name in self.names.items() if key in reached),
            "unregistered_in_graph": places_among(anatomy.lost, reached) if anatomy else (),
        }
        rows = self.calls.rows(nodes or None) if self.calls else ()
        self.first_step = dataclasses.replace(
            self.trace(),
            criteria=tuple(flow.criteria.finish()),
            cuts=flow.flow.finish(loss),
            modules=rows,
            facts={**recorder.facts, **facts},
        )
        if self.calls is not None:
            self.calls.keep_outputs = False
            for seen in self.calls.seen.values():
                seen.last = None
        recorder.last_loss = None

    # Steps

    def step_begins(self, optimizer: Any) -> None:
        """Take in that a step begins."""
        if not self.recorder.steps and self.anatomy is None:
            self.look()
        elif not self.recorder.steps and self.scene.optimizers() != tuple(self.known):
            self.look()  # it was built after the first forward pass
        self.steps.before(optimizer)

    def trace(self, is_over: bool = False) -> Trace:
        """Return what `ShortRun` would give; what moved is found out once it is over."""
        if is_over and self.anatomy is None:
            self.look()
        if is_over and self.flow is not None:
            self._end_first_step()
        anatomy, recorder = self.anatomy, self.recorder
        tables: dict[str, Any] = {"losses": tuple(losses(recorder))}
        if anatomy is not None:
            tables |= {
                "setup": dataclasses.replace(anatomy.facts, trains_by_hand=True),
                "parameters": anatomy.parameters,
                "modules": self.calls.rows() if self.calls else anatomy.modules,
                "optimizers": anatomy.optimizer_rows,
            }
        elif self.trainable:
            tables["setup"] = SetupRow(
                kind="script", factory=self.scene.script, has_train_loop=True, trains_by_hand=True
            )
        facts = recorder.facts | {
            "seconds": recorder.clock() - self._start,
            "num_batches_asked": len(recorder.batches),
            "discarded_backwards": tuple(recorder.ledger.discarded),
        }
        if is_over:
            facts["moved"] = self._moved()
        if anatomy is None and any(row.num_moved_before for row in recorder.backwards):
            facts["moved"] = ("the script's own tensors",)
        found = dataclasses.replace(recorder.trace(**tables), facts=facts)
        if is_over and anatomy is not None and self.weights is not None:
            parameters = dict(anatomy.setup.model.named_parameters())
            rows = watched(self.weights.weights, parameters, self._before, recorder.gradients)
            self.matrices = dataclasses.replace(found, weights=rows)
        return found

    def close(self) -> None:
        """Let go of everything but the rows."""
        self.zeros.close()
        self._before, self.hooks, self.calls = {}, {}, None
        self.recorder.on_backward.clear()
        self.recorder.running.clear()
        self.recorder.last_loss = None
        self.anatomy = None

    def _moved(self) -> tuple[str, ...]:
        if self.anatomy is None:
            return ()
        return tuple(
            name
            for name, p in self.anatomy.setup.model.named_parameters()
            if name in self._before
            and not p.is_meta
            and part_of(p).shape == self._before[name].shape
            and bool((part_of(p).detach() != self._before[name]).any())
        )


def losses(recorder: Recorder) -> list[Any]:
    """Return the losses that were differentiated, as a loop's are recorded."""
    from traindoctor.trace import LossRow

    seen = [
        LossRow(step=row.step, batch=row.batch, value=row.loss, source="backward", place=row.place)
        for row in recorder.backwards
        if row.loss is not None
    ]
    return seen + recorder.losses  # of which there are some after the opening


def _renamed(old: ModuleCalls, anatomy: Anatomy) -> Mapping[str, Any]:
    """Return what an earlier look saw of modules, by their paths of today."""
    today = {id(m): path for path, m in anatomy.setup.model.named_modules()}
    found = {}
    for path, seen in old.seen.items():
        module = old.anatomy.setup.model.get_submodule(path)
        if id(module) in today:
            found[today[id(module)]] = seen
    return found


def _weights(anatomy: Anatomy) -> Trace:
    rows = [describe_matrix(*found) for found in matrices(anatomy.setup.model)]
    return Trace(
        setup=anatomy.facts,
        parameters=anatomy.parameters,
        optimizers=anatomy.optimizer_rows,
        weights=tuple(row for row in rows if row is not None),
    )
