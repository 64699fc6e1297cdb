"""One training step as the setup declares it, watched: forward, loss, backward, step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from traindoctor.errors import words_of
from traindoctor.experiments.lab import Fetched, Lab
from traindoctor.instruments.backward import backwards_seen
from traindoctor.instruments.logged import warned_again
from traindoctor.instruments.optimizer import steps_seen
from traindoctor.instruments.recorder import Recorder, Stopped
from traindoctor.instruments.warned import warnings_seen
from traindoctor.target.batches import copy_batch, to_device
from traindoctor.target.calling import call_by_name, call_model, find_loss, returned_loss
from traindoctor.trace import ExceptionRow, LossRow, Trace

if TYPE_CHECKING:
    import torch

    from traindoctor.target.setup import TrainingSetup


@contextmanager
def instruments(lab: Lab, recorder: Recorder, detail: bool = True) -> Iterator[None]:
    """Install what every training experiment records: warnings, backward passes, steps."""
    anatomy = lab.anatomy
    with ExitStack() as stack:
        stack.enter_context(warned_again())
        stack.enter_context(warnings_seen(recorder))
        stack.enter_context(backwards_seen(recorder, anatomy.trainable if detail else ()))
        known = () if anatomy.has_own_optimizer else anatomy.optimizers
        stack.enter_context(steps_seen(recorder, anatomy.names, anatomy.orphans, detail, known))
        yield


def finished(lab: Lab, recorder: Recorder, **more: Any) -> Trace:
    """Return the recorder's trace with the setup's own tables."""
    anatomy = lab.anatomy
    tables = {
        "setup": anatomy.facts,
        "parameters": anatomy.parameters,
        "modules": anatomy.modules,
        "optimizers": anatomy.optimizer_rows,
    }
    return recorder.trace(**{**tables, **more})


class Loop:
    """The canonical loop over one setup: accumulation, clipping, scheduler and scaler as declared.

    A `train_step` of the user's takes the place of forward and loss; if it differentiates or
    steps by itself, the loop leaves that to it.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        optimizers: Sequence[torch.optim.Optimizer],
        recorder: Recorder,
        with_schedule: bool = True,
        accumulation_steps: int | None = None,
    ) -> None:
        self.setup, self.optimizers, self.recorder = setup, optimizers, recorder
        self.with_schedule = with_schedule
        self.accumulation_steps = accumulation_steps or setup.accumulation_steps
        self.last_loss: Any = None
        self.waiting = 0  # backward passes since the last step
        self.num_batches = 0  # what a train_step knows as `step`, counted as its loop would

    def run(self, batches: Iterable[Fetched]) -> bool:
        """Train on the batches. Returns False where user code raised; the row is recorded."""
        try:
            for fetched in batches:
                self.step(fetched)
        except Stopped:
            return False
        return True

    def step(self, fetched: Fetched) -> None:
        """Train on one batch.

        Raises:
            Stopped: user code raised.
        """
        recorder, setup = self.recorder, self.setup
        recorder.batch = fetched.index
        self.num_batches += 1
        with recorder.watching("transfer"):
            batch = to_device(copy_batch(fetched.batch), device_of(setup))
        num_steps, num_passes = len(recorder.steps), recorder.num_passes
        loss = self.loss_of(batch)
        self.last_loss = loss
        is_differentiated = recorder.num_passes > num_passes
        # A step of the user's that differentiates does the rest too; a Trainer's leaves the step.
        if len(recorder.steps) > num_steps or (is_differentiated and setup.kind != "Trainer"):
            return
        if not is_differentiated:
            if not getattr(loss, "requires_grad", False):
                return
            with recorder.watching("backward"):
                scaled = loss / self.accumulation_steps if self.accumulation_steps > 1 else loss
                (setup.scaler.scale(scaled) if setup.scaler else scaled).backward()
        self.waiting += 1
        if self.waiting >= self.accumulation_steps:
            self.waiting = 0
            with recorder.watching("step"):
                self._update()

    def loss_of(self, batch: Any) -> Any:
        """Return the loss of one batch, recorded, or None where there is none.

        Raises:
            Stopped: user code raised, or there is no loss.
        """
        setup, recorder = self.setup, self.recorder
        if setup.train_step is not None:
            num_passes, source = recorder.num_passes, "train_step"
            with recorder.watching("train_step"):
                loss = returned_loss(call_by_name(setup.train_step, self._available(batch)))
            if loss is None and recorder.num_passes == num_passes + 1:
                loss = recorder.last_loss
        else:
            with recorder.watching("forward"):
                outputs = call_model(setup.model, batch, setup)
            with recorder.watching("loss"):
                loss, source = find_loss(setup, outputs, batch)
        self._note(loss, source)
        return loss

    def _available(self, batch: Any) -> dict[str, Any]:
        setup = self.setup
        several = len(self.optimizers) != 1
        return {
            "model": setup.model,
            "batch": batch,
            "optimizer": tuple(self.optimizers) if several else self.optimizers[0],
            "scheduler": setup.scheduler,
            "scaler": setup.scaler,
            "loss_fn": setup.loss_fn,
            "step": self.num_batches - 1,
        }

    def _note(self, loss: Any, source: str) -> None:
        import torch

        tensor = loss if isinstance(loss, torch.Tensor) else None
        if tensor is None and not isinstance(loss, int | float):
            return
        value = float(loss) if tensor is None else float(tensor.detach().float().mean())
        self.recorder.losses.append(
            LossRow(
                step=self.recorder.step,
                batch=self.recorder.batch,
                value=value,
                requires_grad=bool(tensor is not None and tensor.requires_grad),
                shape=tuple(tensor.shape) if tensor is not None else (),
                source=source,
            )
        )

    def _update(self) -> None:
        import torch

        setup = self.setup
        if setup.max_grad_norm:
            for optimizer in self.optimizers if setup.scaler else ():
                setup.scaler.unscale_(optimizer)
            held = [p for o in self.optimizers for g in o.param_groups for p in g["params"]]
            torch.nn.utils.clip_grad_norm_(held, setup.max_grad_norm)
        for optimizer in self.optimizers:
            if setup.scaler:
                setup.scaler.step(optimizer)
            else:
                optimizer.step()
        if setup.scaler:
            setup.scaler.update()
        if setup.scheduler is not None and self.with_schedule:
            setup.scheduler.step()
        for optimizer in self.optimizers:
            optimizer.zero_grad()


def clear_gradients(lab: Lab) -> None:
    """Start from no gradients at all; the snapshot gives the user's back."""
    lab.setup.model.zero_grad(set_to_none=True)


def as_training_begins(lab: Lab) -> None:
    """Clear the gradients, and set train mode where no code of the user's own would."""
    clear_gradients(lab)
    if not trains_by_hand(lab.setup):
        lab.setup.model.train()


def trains_by_hand(setup: TrainingSetup) -> bool:
    """Tell whether the user's own train_step or train_loop does the training."""
    return bool(setup.train_loop or (setup.train_step and not setup.only_loss))


def device_of(setup: TrainingSetup) -> Any:
    """Return the device that batches are moved to: the setup's, else the model's own."""
    if setup.device is not None:
        return setup.device
    first = next((p for p in setup.model.parameters() if not p.is_meta), None)
    return None if first is None else first.device


def loader_exception(lab: Lab) -> ExceptionRow | None:
    """Return the loader's own exception as a row, if it raised."""
    from traindoctor.target.usercode import raised_place, user_traceback

    error = lab.loader_error
    if error is None:
        return None
    return ExceptionRow(
        phase="fetch",
        type_name=type(error).__name__,
        message=words_of(error),
        place=raised_place(error.__traceback__),
        traceback=user_traceback(error),
    )
