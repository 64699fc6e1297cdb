"""Rows of what changes while a run goes on, and of what it reports."""

from __future__ import annotations

from dataclasses import dataclass

from traindoctor.trace.rows.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRow:
    """What one module was called for while batches of one data set were there.

    A batch counts as trained on if a backward pass came before the next one was fetched. The
    module is the outermost one that holds what an optimizer trains; its calls are counted on the
    other batches.
    """

    dataset: int  # data sets are numbered as they are first iterated
    num_passes: int = 0  # iterations of a loader over it
    num_repeated: int = 0  # of those, begun with no backward pass since the one before
    num_batches: int = 0
    num_trained: int = 0
    module_class: str = ""
    place: Place = Place()  # the user's line that called it first
    num_called: int = 0  # batches on which it was called once
    num_called_again: int = 0  # batches on which it was called more often
    num_training: int = 0  # of those called once, in train mode
    num_with_graph: int = 0  # of those called once, its output required a gradient
    dropouts: tuple[str, ...] = ()  # its modules that drew a mask in such a call
    batch_norms: tuple[str, ...] = ()  # those that wrote to their running statistics
    branches_on_mode: bool = False  # its forward returns something else in train mode


@dataclass(frozen=True, slots=True, kw_only=True)
class AutocastRow:
    """One place that enters autocast, with what was computed there in a few training steps.

    Counted are calls of linear layers and convolutions, by the type of their output.
    """

    place: Place = Place()
    device_type: str = ""
    dtype: str = ""
    is_on: bool = True  # False: entered with `enabled=False`, or torch disabled it
    num_entries: int = 0
    num_low: int = 0  # calls inside it, in lower precision
    num_full: int = 0  # calls inside it, in float32
    num_outside: int = 0  # calls in float32 while no autocast was entered
    outside_place: Place = Place()  # the user's line that called the model in the first of those
    device: str = ""  # of the last call's output


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedRow:
    """One line that seeds one of the global generators while the model trains."""

    generator: str  # torch, numpy or random
    place: Place = Place()
    value: str = ""  # that it was first seeded with
    count: int = 0  # calls
    num_other: int = 0  # of them with another value
    # Backward passes behind a seeding at which the generator was where it had been at the one
    # before, and had been drawn from since.
    num_same: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipRow:
    """What an optimizer holds changed its `requires_grad` between two of its steps."""

    step: int  # of this optimizer
    optimizer: int = 0  # numbered as they first step
    backward: int = 0  # backward passes so far
    num_held: int = 0
    frozen: tuple[str, ...] = ()  # the first few names
    unfrozen: tuple[str, ...] = ()
    num_frozen: int = 0
    num_unfrozen: int = 0
    num_trainable: int = 0  # after it


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRow:
    """The losses that were differentiated in a stretch of a run, as they were."""

    num_losses: int = 0
    mean: float | None = None  # of those that are numbers
    last: float | None = None
    num_nan: int = 0
    weighted: float | None = None  # sum of loss times batch size, where sizes are known
    num_samples: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """A loss that the user's code printed, logged, or showed in a progress bar."""

    name: str  # as it was called: `train loss`
    value: float
    resolution: float = 0.0  # half a unit of the last digit that was shown
    channel: str = "print"  # print, logging, tqdm, add_scalar or Trainer.log
    place: Place = Place()
    backward: int = 0  # backward passes so far
    since_report: WindowRow = WindowRow()  # since this place's last report
    since_epoch: WindowRow = WindowRow()  # since the loader trained on was last begun anew
    num_dataset: int | None = None  # samples of that loader's data set
    is_validation: bool = False  # by its name: `val_loss`


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRow:
    """A loss taken without training, to answer a question such as "does the mode matter"."""

    label: str
    value: float
    detail: str = ""
