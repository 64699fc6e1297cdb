"""Rows of what stands between a gradient and a weight: clipping, schedules, scalers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from traindoctor.trace.rows.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlingRow:
    """How the gradients of one optimizer were handled, summed up over a run.

    A backward pass counts for an optimizer if it wrote to gradients of its own. `windows` holds
    pairs: a number of such passes between two steps, and how often there were so many.
    """

    optimizer: int
    class_name: str = ""
    num_steps: int = 0  # that ran
    num_attempts: int = 0  # those that a scaler skipped included
    windows: tuple[tuple[int, int], ...] = ()
    num_closures: int = 0  # steps with a backward pass inside them
    num_late: int = 0  # steps between the making of a loss and its backward pass
    num_scaled: int = 0  # steps past the scaler, on gradients that it had scaled
    num_shrunk: int = 0  # steps through a scaler on gradients of losses that it had not scaled
    num_unguarded: int = 0  # steps past the scaler, on gradients that it had unscaled
    num_infinite: int = 0  # of those, on gradients in which it had found infinities
    num_clipped: int = 0  # steps whose gradients were clipped after their backward pass
    place: Place = Place()  # of its first step
    backward_place: Place = Place()  # of the last late backward pass, else of the last one
    scale_place: Place = Place()  # where the loss behind those steps was scaled


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRow:
    """Calls of one line that clips gradients: `norm` by their common norm, `value` one by one.

    `norms` and `limits` belong together: the first calls, and the last; a norm is 0 where no
    gradient was there, and unknown (`norms` is empty) where values are clipped.
    """

    place: Place
    kind: str = "norm"
    optimizer: int | None = None  # that holds what is clipped
    count: int = 0
    num_absent: int = 0  # calls with no gradient at all
    num_used: int = 0  # calls on gradients that a step had used, and nothing written to since
    num_scaled: int = 0  # calls on gradients that a scaler had scaled and nobody unscaled
    num_backwards_before: int = 0  # backward passes before the first call
    norms: tuple[float, ...] = ()
    limits: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerRow:
    """One learning rate scheduler. Its steps are those of the user's, not of its constructor.

    `gaps` holds pairs: a number of optimizer steps between two of its own, and how often there
    were so many. Rates are the largest of the groups'.
    """

    index: int
    class_name: str = ""
    optimizer: int | None = None
    place: Place = Place()  # where it is built
    is_built_in_run: bool = True  # False: the run found it there
    parent: int | None = None  # the scheduler that steps it
    settings: dict[str, Any] = field(default_factory=dict)  # T_max, step_size, milestones, …
    position: int = 0  # its own count before its first step: above 0 where it was resumed
    num_steps: int = 0
    num_told: int = 0  # steps that were told the epoch to set the rate of
    num_optimizer_steps: int = 0  # of its optimizer, since it is known; skipped ones included
    num_before: int = 0  # steps before the first of its optimizer
    num_ahead: int = 0  # steps in a batch in which its optimizer had not stepped yet
    step_place: Place = Place()  # of its first step
    num_at_place: int = 0  # steps from that line
    is_wrapped: bool = False  # accelerate decides when it steps
    gaps: tuple[tuple[int, int], ...] = ()
    base_rate: float | None = None  # before any schedule
    rates: tuple[float, ...] = ()  # after its first steps
    last_rate: float | None = None
    lowest_rate: float | None = None
    highest_rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalerRow:
    """One gradient scaler that is enabled."""

    index: int
    place: Place = Place()  # where it scaled first
    step_place: Place = Place()
    num_scaled: int = 0  # losses
    num_steps: int = 0
    num_skipped: int = 0  # steps that it did not pass on to the optimizer
    num_late: int = 0  # steps after its warm-up: after the first that was taken, and twenty more
    num_late_skipped: int = 0
    longest_skip: int = 0  # steps skipped in a row
    num_updates: int = 0
    scales: tuple[float, ...] = ()  # after its first updates; the last one is the last


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRow:
    """Writes of one kind to parameters between an optimizer's steps.

    Of a line and operation, where those were seen; else what all of them came to. The pattern is
    what the written values have in common: `mask` (all that changed is zero), `bound` (all that
    changed lies at the largest value), `scale` (one factor), `rows` (one factor a row), `part`
    (most of the tensor stays), else `values`.
    """

    operation: str = ""
    place: Place = Place()
    pattern: str = "values"
    factor: float | None = None  # of `scale`, by which all was multiplied first
    count: int = 0  # between two steps
    steps: tuple[int, ...] = ()  # before which steps
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRow:
    """A file that `torch.load` read and that holds the state of an optimizer."""

    place: Place = Place()
    keys: tuple[str, ...] = ()  # at its top
    num_states: int = 0  # parameters with a state that holds tensors
    num_held: int = 0  # parameters in its groups
    state_names: tuple[str, ...] = ()  # what it keeps of a parameter: exp_avg, momentum_buffer, …
    module_class: str = ""  # of the module that its weights went into
    module_place: Place = Place()  # where
    optimizer: int | None = None  # the first that trains that module, once it has stepped
    optimizer_class: str = ""
    num_restored: int = 0  # parameters with a state before that optimizer's first step
    num_kept: int = 0  # and after it
    kept_names: tuple[str, ...] = ()
    num_shared: int = 0  # parameters of the module that this optimizer holds
    num_parameters: int = 0  # of the module
    num_trained: int = 0  # parameters that this optimizer holds
    num_received: int = 0  # states that were given to an optimizer's load_state_dict
    num_wasted: int = 0  # of those, to optimizers that never stepped
    step_place: Place = Place()
