"""Takes in the calls of modules: by the script itself, and within these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traindoctor.target.batches import describe

if TYPE_CHECKING:
    from traindoctor.watching.session import Session


class Calls:
    """What the tap on `nn.Module.__call__` tells.

    Attributes:
        is_inside: a module of the script's is running.
        is_deaf: nobody wants to hear of those inside it, until it has returned.
        num_roots: calls of modules by the script itself.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.is_inside = self.is_deaf = False
        self.num_roots = 0

    def root_begins(self, module: Any, args: Any, kwargs: Any) -> None:
        """Take in that the script calls a module."""
        import torch

        session, recorder, scene = self.session, self.session.recorder, self.session.scene
        self.num_roots += 1
        learns = scene.learns(module)
        if not torch.is_grad_enabled():
            session.batches.evaluated = recorder.batch
            if session.opening is not None and learns:
                recorder.facts.setdefault("evaluated_batches", set()).add(recorder.batch)
            return
        if learns and not scene.has_its_own(module):
            return
        if learns:
            session.incidents.root_begins(module, args, kwargs)
            session.modes.called(module)
            if session.ranks is not None:
                session.ranks.root_called(module)
        if session.opening is None:
            if learns:
                session.later.root_called(module, kwargs or args)
            return
        if session.loaders is not None and isinstance(scene.loader, tuple):
            used = session.loaders.in_use()  # whose length, which is its truth, may not be known
            scene.loader = () if used is None else used
        if not session.batches.has_loader and learns:
            self._note_batch(kwargs or args)
        if session.opening is not None:
            session.opening.root_called(module)

    def root_returned(self, output: Any) -> None:
        """Take in what a module returned to the script."""
        incidents = self.session.incidents
        if incidents.call is not None:
            self.session.take(incidents.root_returned, output)

    def inner_begins(self, module: Any, args: Any, kwargs: Any) -> None:
        """Take in the call of any module, in the opening or a replay."""
        session = self.session
        if session.watcher is not None and session.is_ours():
            session.safely(session.watcher.begins, module, args, kwargs)

    def inner_returned(self, module: Any, args: Any, output: Any) -> None:
        """Take in what it returned."""
        session = self.session
        if session.watcher is not None and session.is_ours():
            session.safely(session.watcher.returns, module, args, output)

    def _note_batch(self, inputs: Any) -> None:
        """Take what a model is given for a batch, where no loader gives any."""
        session, recorder = self.session, self.session.recorder
        if recorder.batch in (-1, session.batches.reached) and not recorder.steps:
            recorder.batch += 1  # nothing else tells one from the next
            session.boundary()
        is_known = any(row.index == recorder.batch for row in recorder.batches)
        if session.opening is not None and not is_known:
            recorder.batches.append(describe(inputs, recorder.batch))
