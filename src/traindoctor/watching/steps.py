"""Takes in the steps of a watched script's optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traindoctor.instruments.backward import norms

if TYPE_CHECKING:
    from traindoctor.watching.session import Session


class Steps:
    """What the recorder's `Stepping` tells."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._starts: dict[int, float] = {}
        self._norm: float | None = None

    def begins(self, optimizer: Any) -> None:
        """Take in that an optimizer steps."""
        session = self.session
        if session.opening is not None:
            session.safely(session.opening.step_begins, optimizer)
        elif session.later.opening is not None:
            session.safely(session.later.step_begins, optimizer)
        session.modes.step_begins(optimizer)
        session.safely(session.incidents.step_begins, optimizer, session.backwards.loss)
        self._norm = session.safely(self._gradient_norm, optimizer)
        self._starts[id(optimizer)] = session.clock()

    def ended(self, optimizer: Any) -> None:
        """Take in that it is over."""
        session, recorder = self.session, self.session.recorder
        now = session.clock()
        seconds = now - self._starts.pop(id(optimizer), now)
        session.batches.stepped = recorder.batch
        if session.opening is not None:
            num_steps = len(recorder.steps)
            session.opening.steps.after(optimizer)
            session.safely(session.opening.zeros.after_step)
            if len(recorder.steps) > num_steps:
                self._norm = recorder.steps[-1].gradient_norm
        else:
            recorder.step += 1
            if session.later.opening is not None:
                session.safely(session.later.step_ended, optimizer)
        number = recorder.optimizers.of(optimizer)
        found = [group.get("lr") for group in optimizer.param_groups]
        rates = tuple([float(rate) for rate in found if type(rate) is float or _is_known(rate)])
        now = session.clock()
        session.meter.step(number, now, rates=rates, norm=self._norm, seconds=seconds)
        session.governor.stepped()
        session.record.offer(now)
        if not session.batches.has_loader and session.opening is not None:
            session.boundary()
            recorder.batch += 1

    def _gradient_norm(self, optimizer: Any) -> float | None:
        session = self.session
        now = session.clock()
        if session.opening is not None or not session.governor.may("gradient-norm"):
            return None
        grads = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        found = sum(size * size for size in norms(grads)) ** 0.5 if grads else None
        session.governor.cost("gradient-norm", session.clock() - now)
        return found


def _is_known(rate: Any) -> bool:
    """Tell a rate that can be read without waiting for a device."""
    is_number = isinstance(rate, (float, int))
    return is_number or getattr(getattr(rate, "device", None), "type", "") == "cpu"
