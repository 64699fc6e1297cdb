"""Rows of what each step does: losses, gradients, updates."""

from __future__ import annotations

from dataclasses import dataclass

from traindoctor.trace.rows.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class LossRow:
    """A loss as the loop saw it. `value` is NaN or infinite where it was."""

    step: int
    batch: int
    value: float
    requires_grad: bool = True
    shape: tuple[int, ...] = ()
    source: str = ""  # train_step, loss_fn, outputs.loss, outputs[0], backward
    place: Place = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class BackwardRow:
    """One backward pass. Gradients are counted over the model's trainable parameters."""

    index: int
    step: int  # optimizer steps taken before it
    batch: int  # index of the last batch fetched before it
    loss: float | None = None
    num_present_before: int = 0  # parameters whose gradient was there and not all zero before
    num_moved_before: int = 0  # that changed since the last pass, where no optimizer does that
    num_present_after: int = 0
    num_not_finite: int = 0  # of these, parameters whose gradient holds NaN or infinity
    retain_graph: bool = False
    num_nodes: int = 0  # operations in the graph; 0 where they were not counted
    num_terms: int = 1  # that the loss is a sum of
    through: tuple[int, ...] = ()  # the batches whose module outputs are in that graph
    seconds: float = 0.0
    place: Place = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One optimizer step."""

    index: int
    optimizer: int = 0
    batch: int = -1
    num_backwards: int = 0  # backward passes since this optimizer's last step
    learning_rates: tuple[float, ...] = ()
    num_gradients: int = 0  # parameters it holds with a gradient
    num_zero_gradients: int = 0  # of those, all zero
    num_held: int = 0  # parameters it holds
    num_changed: int | None = None  # parameters that differ bitwise after the step
    num_stale: int = 0  # gradients that nobody cleared since its last step
    num_cleared: int = 0  # gradients that a backward pass filled, and that are empty again
    num_reused: int = 0  # gradients that another's step used and that nobody cleared since
    num_reverted: int = 0  # parameters that its last step changed and that are as before it
    num_elsewhere: int = 0  # parameters that are not as the last step of an optimizer left them
    gradient_norm: float | None = None
    # Of an optimizer of the user's own: the cosine between the gradient and what the step changed,
    # but for the weights' length. Against the gradient it is below 0.
    cosine: float | None = None
    seconds: float = 0.0
    ended: float = 0.0  # seconds on the experiment's clock
    place: Place = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseRow:
    """Consecutive steps of one optimizer, summed up; one step at a time as a run begins.

    A long run's pulses each stand for ever more steps, so that their number stays bounded; the
    extremes are kept. Losses are those of the backward passes that the steps used, as they were
    differentiated: scaled by a scaler, divided by an accumulation.
    """

    optimizer: int = 0
    first_step: int = 0  # of this optimizer, from 0
    last_step: int = 0
    num_batches: int = 0  # fetched for training since its step before
    num_begun: int = 0  # passes that began with one of these; counted where a run is watched
    num_new: int = 0  # of these passes: over a loader that was not read before
    num_samples: int | None = None  # in them; None where a batch's size is unknown
    num_backwards: int = 0
    loss: float | None = None  # mean of the finite ones
    minimum_loss: float | None = None
    maximum_loss: float | None = None
    last_loss: float | None = None
    num_losses_not_finite: int = 0
    gradient_norm: float | None = None  # mean of the finite ones that were measured
    maximum_gradient_norm: float | None = None
    num_norms: int = 0  # steps whose gradient norm was measured
    num_norms_not_finite: int = 0
    first_learning_rates: tuple[float, ...] = ()  # by group
    last_learning_rates: tuple[float, ...] = ()
    seconds: float = 0.0  # from the end of the step before to the end of the last
    fetch_seconds: float = 0.0
    forward_seconds: float = 0.0
    backward_seconds: float = 0.0
    step_seconds: float = 0.0

    @property
    def num_steps(self) -> int:
        """How many steps it stands for."""
        return self.last_step - self.first_step + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerRow:
    """An optimizer that the setup holds or that stepped."""

    index: int
    class_name: str
    learning_rates: tuple[float, ...] = ()
    weight_decays: tuple[float, ...] = ()
    epsilons: tuple[float, ...] = ()  # by group, where it has such
    num_held: int = 0
    num_strangers: int = 0  # parameters it holds that the model does not have
    stranger_elements: int = 0
    num_lookalikes: int = 0  # of the strangers: same shape as a model parameter nobody holds
    maximize: bool = False  # a group climbs its gradient
    is_the_users: bool = True  # False: the doctor's own, because none was given
    place: Place = Place()  # where the user's code builds it
    step_place: Place = Place()  # of a class of the user's own: where its `step` is


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientRow:
    """One parameter's gradient at one step, after clipping, as the optimizer saw it."""

    step: int
    parameter: str
    is_none: bool = False
    rms: float = 0.0
    share_zero: float = 0.0  # share of elements that are exactly zero
    num_not_finite: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRow:
    """How one parameter moved in one step."""

    step: int
    parameter: str
    weight_rms: float
    update_rms: float
    share_changed: float  # of its elements, bitwise
    num_not_finite: int = 0  # elements NaN or infinite after the step
