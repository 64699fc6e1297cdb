"""Notices a loss or a gradient that is not finite, and has the step examined there and then."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from math import isfinite
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.backward import norms
from traindoctor.instruments.finite import FirstNonFinite
from traindoctor.instruments.recorder import Recorder, here
from traindoctor.target.batches import describe
from traindoctor.target.processes import part_of
from traindoctor.trace import GradientRow, LossRow, Place, StepRow, Trace, UpdateRow
from traindoctor.watching.listening import NonFinite
from traindoctor.watching.post_mortem import Call, Tracer, examine_gradients, examine_loss

if TYPE_CHECKING:
    import torch

    from traindoctor.watching.session import Session

MOST_EXAMINED = 2  # steps of a run that are replayed
MOST_BAD_LOSSES = 8  # rows of losses that are not finite, after the opening
MOST_ELEMENTS = 1 << 14  # of the gradients that are looked at in each step


class Incidents:
    """What is kept from one call of the model to the next, in case that it goes wrong."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.call: Call | None = None
        self.trace: Trace | None = None  # what `LocateNonFinite` would give
        self.num_examined = self.num_bad_losses = 0
        self._sentinels: dict[int, list[weakref.ref[torch.nn.Parameter]]] = {}
        self.loss_node: Any = None
        self.backward_place: Place | None = None  # where the script differentiates
        self._wants_operations = False  # a loss was not finite, and what made it was not found
        self._listening: NonFinite | None = None  # to the step after such a one
        self._is_ruined = False  # weights are not finite: nothing later is worth a look

    def root_begins(self, module: Any, args: Any, kwargs: Any) -> None:
        """Take in a call of the script's with gradients."""
        self.call = None
        self.stop_listening()
        if self.num_examined < MOST_EXAMINED and not self._is_ruined:
            self.call = Call.begins(module, args, kwargs)
            self._begin_listening()

    def _begin_listening(self) -> None:
        """Hear the operations of this step, if nobody found what made the loss of one before."""
        if self._wants_operations and self._listening is None:
            self._wants_operations = False
            listening = NonFinite(self.session.recorder)
            self._listening = listening if listening.enter() else None

    def stop_listening(self) -> None:
        """Hear no more operations, if somebody does."""
        if self._listening is not None and self._listening.leave():
            self._listening = None

    def root_returned(self, output: Any) -> None:
        """Take in what it returned."""
        if self.call is not None:
            self.call.returns(output)

    def bad_loss(self, loss: torch.Tensor, value: float) -> None:
        """Take in a loss that is not finite, before it is differentiated."""
        session, recorder = self.session, self.session.recorder
        if session.opening is None and self.num_bad_losses < MOST_BAD_LOSSES:
            self.num_bad_losses += 1
            recorder.losses.append(
                LossRow(
                    step=recorder.step,
                    batch=recorder.batch,
                    value=value,
                    source="backward",
                    place=here(),
                )
            )
        if self._is_ruined or self.call is None:
            return
        ruined = _not_finite(self.call.module.parameters())
        if ruined:
            self._note_ruin(ruined)
        elif not self._note_bad_inputs(self.call):
            place, seen = here(), self._seen_by_operation()
            self._examine(lambda call, tracer: examine_loss(call, tracer, loss, place, seen))
            self._wants_operations = not (self.trace and self.trace.operations)

    def _seen_by_operation(self) -> FirstNonFinite | None:
        """Return who has heard every operation of this step, if there is somebody."""
        opening = self.session.opening or self.session.later.opening
        if opening is not None and opening.flow is not None:
            return opening.flow.non_finite
        return None if self._listening is None else self._listening.non_finite

    def differentiated(self, loss: torch.Tensor) -> None:
        """Keep what the graph of a loss is made of; after the backward pass that is little."""
        if self.call is not None:
            self.loss_node = loss.grad_fn
            self.backward_place = self.backward_place or here()

    def step_begins(self, optimizer: Any, loss: float | None) -> None:
        """Look at a few gradients, before the step uses them."""
        self.stop_listening()
        if self._is_ruined or self.call is None or (loss is not None and loss - loss != 0):
            return
        if not self._looks_bad(optimizer):
            return
        held = [p for group in optimizer.param_groups for p in group["params"]]
        bad = [p for p in held if p.grad is not None and not _is_finite(p.grad)]
        if not bad:
            return
        if self.session.opening is None:
            self._note_gradients(bad, held, loss)
        node, place = self.loss_node, self.backward_place or here()
        self._examine(lambda call, tracer: examine_gradients(call, tracer, node, place))
        self._is_ruined = True

    def _looks_bad(self, optimizer: Any) -> bool:
        watched = self._sentinels.get(id(optimizer))
        if watched is None:
            watched = self._sentinels[id(optimizer)] = [
                weakref.ref(p) for p in _sentinels(optimizer)
            ]
        for reference in watched:
            gradient = getattr(reference(), "grad", None)
            # May overflow where all is well: a closer look tells.
            if gradient is not None and not isfinite(part_of(gradient).sum()):
                return True
        return False

    def _examine(self, how: Any) -> None:
        call, session = self.call, self.session
        if call is None or self.num_examined >= MOST_EXAMINED:
            return
        self.num_examined += 1
        recorder = Recorder(clock=session.clock, batch=session.recorder.batch)
        setup = session.scene.setup()
        paths = {id(m): path for path, m in setup.model.named_modules()} if setup else {}
        tracer = Tracer(recorder, paths)
        before, session.watcher = session.watcher, tracer
        is_inside, session.calls.is_inside = session.calls.is_inside, True
        try:
            rows = how(call, tracer)
        finally:
            session.watcher, session.calls.is_inside, self.call = before, is_inside, None
        if self.trace is None or (rows and not self.trace.operations):
            self.trace = Trace(operations=tuple(rows), facts=recorder.facts)

    def _note_gradients(
        self, bad: list[torch.nn.Parameter], held: list[torch.nn.Parameter], loss: float | None
    ) -> None:
        recorder, names = self.session.recorder, self.session.names
        step, sick = recorder.step, {id(p) for p in bad}
        for p in held:
            if id(p) in names and p.grad is not None:
                number = int((~part_of(p.grad).isfinite()).sum()) if id(p) in sick else 0
                recorder.gradients.append(
                    GradientRow(step=step, parameter=names[id(p)], num_not_finite=number)
                )
        recorder.steps.append(
            StepRow(index=step, batch=recorder.batch, num_held=len(held), place=here())
        )
        if loss is not None:
            recorder.losses.append(
                LossRow(step=step, batch=recorder.batch, value=loss, source="backward")
            )

    def _note_bad_inputs(self, call: Call) -> bool:
        """Keep a batch that is itself not finite; tell whether it is so."""
        row = describe(call.kwargs or call.args, self.session.recorder.batch)
        is_bad = any(leaf.num_nan or leaf.num_infinite for leaf in row.leaves)
        if is_bad and self.session.opening is None:
            self.session.recorder.batches.append(row)
        return is_bad

    def _note_ruin(self, ruined: list[tuple[int, int]]) -> None:
        self._is_ruined, recorder = True, self.session.recorder
        if self.session.opening is None:
            recorder.updates += [
                UpdateRow(
                    step=max(recorder.step - 1, 0),
                    parameter=name,
                    weight_rms=float("nan"),
                    update_rms=float("nan"),
                    share_changed=1.0,
                    num_not_finite=number,
                )
                for name, number in self._named(ruined)
            ]

    def _named(self, ruined: list[tuple[int, int]]) -> Iterator[tuple[str, int]]:
        for key, number in ruined:
            yield self.session.names.get(key, "a parameter"), number


def _sentinels(optimizer: Any) -> list[torch.nn.Parameter]:
    """Return a small dense parameter near the beginning and one at the end of what is held.

    What breaks a gradient breaks it for all that the model computed before; so the first is the
    likeliest to show it.
    """
    held = [p for g in optimizer.param_groups for p in g["params"] if p.requires_grad]
    small = [p for p in held if p.numel() <= MOST_ELEMENTS and p.device.type == "cpu"]
    return [*small[:1], *small[1:][-1:]]


def _not_finite(parameters: Any) -> list[tuple[int, int]]:
    return [
        (id(p), int((~part_of(p).detach().isfinite()).sum()))
        for p in parameters
        if not p.is_meta and not _is_finite(p.detach())
    ]


def _is_finite(tensor: torch.Tensor) -> bool:
    tensor = part_of(tensor)
    size = norms([tensor])[0]
    return size - size == 0 or bool(tensor.isfinite().all())
