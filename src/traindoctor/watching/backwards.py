"""Takes in the backward passes of a watched script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traindoctor.instruments.recorder import here

if TYPE_CHECKING:
    from traindoctor.watching.opening import Opening
    from traindoctor.watching.session import Session


class Backwards:
    """What the tap on `torch.autograd.backward` tells.

    Attributes:
        loss: that was differentiated last; None where it was no single number.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.loss: float | None = None

    def begins(self, tensors: Any, kwargs: Any) -> None:
        """Take in that something is differentiated."""
        session = self.session
        session.calls.is_deaf = False
        first = tensors[0] if isinstance(tensors, list | tuple) else tensors
        if session.opening is not None:
            self._begins_closely(session.opening, tensors, kwargs, first)
        else:
            session.recorder.num_passes += 1
            self.loss = float(first.detach()) if first.numel() == 1 and not first.is_meta else None
            if session.later.opening is not None:
                session.safely(session.later.backward_begins, tensors, kwargs)
        if self.loss is not None and self.loss - self.loss != 0:
            session.incidents.bad_loss(first, self.loss)
        session.incidents.differentiated(first)

    def _begins_closely(self, opening: Opening, tensors: Any, kwargs: Any, first: Any) -> None:
        session = self.session
        if opening.is_compiled:
            session.safely(opening.traced, first)
        if opening.anatomy is None:
            opening.look()
        if opening.anatomy is None:
            # Nothing else tells one batch from the next.
            session.recorder.batch += not session.batches.has_loader
            opening.without_modules(first)
        opening.backwards.begins(tensors, kwargs, here())
        self.loss = opening.backwards.facts["loss"]
        session.safely(opening.zeros.before_backward, first)

    def ended(self, seconds: float) -> None:
        """Take in that it is over."""
        session = self.session
        if session.opening is not None:
            session.safely(session.opening.backwards.ends, seconds)
            if session.opening.anatomy is None and not session.batches.has_loader:
                session.safely(session.boundary)
        else:
            for listener in session.recorder.after_backward:
                session.safely(listener)
            if session.later.opening is not None:
                session.safely(session.later.backward_ended, seconds)
        session.modes.differentiated()
        session.batches.reached = session.recorder.batch
        session.meter.backward(self.loss, seconds)
