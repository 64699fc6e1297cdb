"""The rows of a trace's tables: plain data, made by instruments, read by probes.

Importable without torch. A probe is tested with a handful of these written by hand.
Shapes are tuples of int; `file` and `line` are the user's own, or None where no frame of
the user's code was involved. Steps, batches and backward passes count from 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "AutocastRow",
    "BackwardRow",
    "BatchRow",
    "CheckpointRow",
    "ClipRow",
    "CountRow",
    "CriterionRow",
    "CutRow",
    "EdgeRow",
    "EvaluationRow",
    "ExceptionRow",
    "FlipRow",
    "FrozenRow",
    "GradientRow",
    "GraphRow",
    "HandledRow",
    "HandlingRow",
    "HookRow",
    "KeptRow",
    "LeafRow",
    "LoaderRow",
    "LossRow",
    "ModuleRow",
    "OperationRow",
    "OptimizerRow",
    "ParameterRow",
    "PassRow",
    "Place",
    "PulseRow",
    "ReportRow",
    "ScalerRow",
    "SchedulerRow",
    "SeedRow",
    "ServedRow",
    "SetupRow",
    "SignalRow",
    "SourceRow",
    "StepRow",
    "TieRow",
    "TransferRow",
    "UnsavedRow",
    "UpdateRow",
    "WarningRow",
    "WeightRow",
    "WindowRow",
    "WorkerRow",
    "WriteRow",
]


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the user's code; `file` is absolute."""

    file: str | None = None
    line: int | None = None
    function: str | None = None
    text: str = ""

    def __bool__(self) -> bool:
        return self.file is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupRow:
    """What the user handed over, as facts."""

    reference: str = ""
    model_class: str = ""
    forward_parameters: tuple[str, ...] = ()
    forward_takes_kwargs: bool = False
    has_optimizer: bool = False
    has_loss_fn: bool = False
    has_scheduler: bool = False
    has_scaler: bool = False
    has_train_step: bool = False
    has_train_loop: bool = False
    accumulation_steps: int = 1
    max_grad_norm: float | None = None
    epochs: int | None = None
    num_batches: int | None = None
    kind: str = "factory"
    factory: Place = Place()
    model_place: Place = Place()  # where the model is built
    forward_place: Place = Place()  # where its class defines `forward`
    loader_place: Place = Place()  # where the loader is built
    is_training: bool = True  # model.training as handed over
    inherited: tuple[str, ...] = ()  # parameters and buffers handed over with a graph behind them
    trains_by_hand: bool = False  # the user's own train_step or train_loop ran
    trainer_class: str = ""  # of a setup that came as a transformers.Trainer
    trainer_is_users: bool = False  # that class is a subclass of the user's
    trainer_place: Place = Place()  # where the trainer is built


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRow:
    """One parameter of the model, as it was before the experiment."""

    name: str
    module: str = ""  # path of the module that owns it
    module_class: str = ""
    shape: tuple[int, ...] = ()
    num_elements: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    requires_grad: bool = True
    num_optimizers: int = 0  # optimizers that hold it
    num_groups: int = 0  # times it stands in their groups
    group: tuple[int, int] | None = None  # the first of these: optimizer, and which of its groups
    is_users: bool = False  # a module class of the user's own project is among its owners
    place: Place = Place()  # where the user's code builds it
    weight_rms: float = 0.0
    also_named: tuple[str, ...] = ()  # other names of the same tensor
    in_model: bool = True  # False: held by an optimizer, unknown to the model


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightRow:
    """One trainable matrix. A row of it is a unit, a filter, or an entry of a table.

    The block is what stands at its end and is of another size than the rows before it. `row_spread`
    is the largest difference between an element and the one above it in the first row; `moved`
    and the rows with a gradient are known after training only.
    """

    name: str
    module_class: str = ""
    num_rows: int = 0
    num_columns: int = 0
    value: float | None = None  # of every element, where all are equal
    row_spread: float = 0.0
    rms: float = 0.0  # median over the rows before the block
    block_start: int | None = None
    block_rms: float = 0.0  # median over the rows of the block
    block_value: float | None = None  # of every element of the block, where all are equal
    block_is_mean: bool = False  # its rows are the mean of those before it
    moved: float = 0.0  # largest change of an element
    num_passes: int = 0  # backward passes that gave it a gradient
    num_rows_reached: int = 0  # rows that got a gradient other than zero
    num_block_rows_reached: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleRow:
    """One module, with what its calls showed."""

    path: str
    class_name: str = ""
    is_users: bool = False  # its class is defined in the user's project
    place: Place = Place()  # where the user's code builds it
    num_parameters: int = 0  # elements, its children's included
    num_trainable: int = 0
    order: int | None = None  # position by first call; None: never called
    num_calls: int = 0
    num_calls_training: int = 0
    num_calls_without_grad: int = 0  # called while gradients were disabled
    is_training: bool = True
    # Train mode at its last call with gradients before each backward pass it was called for.
    modes: tuple[bool, ...] = ()
    call_place: Place = Place()  # the user's line that called it first, directly or through others
    output_kind: str = ""
    keywords: tuple[str, ...] = ()  # names of the arguments of its last call
    input_shapes: tuple[tuple[int, ...], ...] = ()
    output_shapes: tuple[tuple[int, ...], ...] = ()
    output_requires_grad: bool | None = None
    output_in_graph: bool | None = None  # an ancestor of the loss
    output_in_loss: bool | None = None  # its values reach the loss, by graph or past a cut
    attributes: dict[str, Any] = field(default_factory=dict)  # in_features and the like
    is_registered: bool = True  # False: held in a plain list or dict of its parent
    holder: str = ""  # attribute of the parent that holds an unregistered module


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRow:
    """One value that rows of an integer tensor (batch, time) begin or end with, repeated in some.

    Padding looks like that.
    """

    value: float
    share: float = 0.0  # of all elements: those in such runs
    share_elsewhere: float = 0.0  # of all elements: those of this value outside such runs
    longest_rest: int = 0  # elements of the row with the least of it


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafRow:
    """One tensor of a batch."""

    key: str
    shape: tuple[int, ...]
    dtype: str
    device: str = "cpu"
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None
    num_nan: int = 0
    num_infinite: int = 0
    num_negative_infinite: int = 0  # of those, -inf, as in masks that are added to scores
    first_bad_sample: int | None = None
    sample_of_minimum: int | None = None  # of integer leaves: the first sample that holds it
    sample_of_maximum: int | None = None
    num_distinct: int | None = None  # of integer leaves, and of scalars per sample
    share_ignored: float | None = None  # share of -100 among integers
    digest: str = ""
    sample_digests: tuple[str, ...] = ()
    values: tuple[float, ...] = ()  # flattened, when it is one small number a sample
    edges: tuple[EdgeRow, ...] = ()  # of integers (batch, time): the commonest at rows' ends


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """One batch as the loader gave it."""

    index: int
    epoch: int = 0  # the pass over its loader
    loader: int = 0
    kind: str = "mapping"  # mapping, sequence, tensor, dataclass or other
    class_name: str = "dict"
    class_place: Place = Place()  # where the user's code defines that class
    size: int | None = None
    leaves: tuple[LeafRow, ...] = ()
    other_keys: tuple[str, ...] = ()  # keys whose values hold no tensor
    protocols: tuple[str, ...] = ()  # of an own class: len, mapping, iteration, index, to
    fetch_seconds: float = 0.0
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderRow:
    """One loader, with what all passes over it came to.

    One that is built anew, on the same line and over the same kind of data, goes on as the one
    before. Passes without a backward pass, where others have some, evaluate and are counted apart.
    """

    index: int
    class_name: str = "DataLoader"
    is_dataloader: bool = True  # torch's, or a class made from it
    place: Place = Place()  # where the user's code builds it
    dataset_class: str = ""
    dataset_is_users: bool = False  # its class is defined in the user's project
    dataset_place: Place = Place()  # where that class defines `__getitem__` or `__iter__`
    is_iterable: bool = False  # a stream; else a data set with indices
    num_samples: int | None = None  # of a data set with indices
    num_batches: int | None = None  # of a pass over it
    sampler_class: str = ""  # what chooses the order; of batches, where that is no plain one
    is_in_order: bool = False  # by torch's own sequential sampler
    is_one_index: bool = False  # a subset of one and the same sample
    batch_size: int | None = None
    drop_last: bool = False
    num_workers: int = 0
    is_persistent: bool = False  # its workers are kept from pass to pass
    has_worker_init: bool = False
    num_passes: int = 0
    num_evaluations: int = 0  # of these
    num_ended: int = 0  # passes that were read to their end
    num_fetched: int = 0  # batches, but for evaluation
    num_repeats: int = 0  # of these: seen to be equal to the batch before, in whatever pass
    fetch_seconds: float = 0.0  # waited for these


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRow:
    """One pass over a loader: from one call of `iter` to its end, or to where it was left.

    The first passes of a run and the last ones are kept. Digests are of a sample of each tensor.
    """

    index: int
    loader: int = 0
    number: int = 0  # of this loader's passes
    place: Place = Place()  # where the user's code iterates
    is_by_user: bool = False  # that line itself iterates, and no library's loop
    num_batches: int = 0
    num_samples: int | None = None  # in them; None where a batch's size is unknown
    last_batch: int | None = None  # number in the run of its last one, but for evaluation
    num_trained: int = 0  # backward passes that followed a batch of it
    is_evaluation: bool = False
    has_ended: bool = False
    is_left: bool = False  # given up before its end
    is_cut: bool = False  # by the experiment that watched
    num_asked_after_end: int = 0
    asked_place: Place = Place()
    first_seconds: float = 0.0  # waited for the first batch, in which workers start
    fetch_seconds: float = 0.0  # waited for all batches
    seconds: float = 0.0  # from asking for the first batch to what was seen last
    num_compared: int = 0  # batches that were compared with the one before in this pass
    num_repeats: int = 0  # of these: equal to it
    digests: tuple[str, ...] = ()  # of the first batches
    order: str = ""  # of all batches that were compared, in their order


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A random generator inside one worker of a loader, or the worker itself.

    `states` are digests: as the worker starts, after its first sample and after its second (after
    its first and second batch, where the data set is asked for whole batches).
    """

    loader: int = 0
    number: int = 0  # of the loader's passes
    worker: int = 0
    generator: str = ""  # dataset.rng, numpy.random, …; empty for the worker itself
    kind: str = ""  # numpy.random.Generator, torch.Generator, random.Random, …
    place: Place = Place()  # where the user's code makes the generator
    is_global: bool = False  # the process's own, which torch seeds for each worker
    states: tuple[str, ...] = ()
    asks_who_it_is: bool = False  # reads `get_worker_info()` before its second sample
    is_set_apart: bool = False  # `worker_init_fn` changes an attribute of the data set


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
    num_present_after: int = 0
    num_not_finite: int = 0  # of these, parameters whose gradient holds NaN or infinity
    retain_graph: bool = False
    num_nodes: int = 0  # operations in the graph; 0 where they were not counted
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
    num_reverted: int = 0  # parameters that its last step changed and that are as before it
    num_elsewhere: int = 0  # parameters that are not as the last step of an optimizer left them
    gradient_norm: float | None = None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionRow:
    """One call of a loss function: `cross_entropy`, `mse_loss` and their kin."""

    function: str
    place: Place = Place()
    batch: int = 0
    input_shape: tuple[int, ...] = ()
    target_shape: tuple[int, ...] = ()
    input_dtype: str = ""
    target_dtype: str = ""
    num_classes: int | None = None
    input_minimum: float | None = None
    input_maximum: float | None = None
    row_sum_error: float | None = None  # largest |sum over classes - 1|
    column_sum_error: float | None = None  # largest |sum over the batch axis - 1|
    input_operation: str = ""  # what made the input: softmax, sigmoid, log_softmax, relu, …
    input_place: Place = Place()  # where that was
    input_share_zero: float = 0.0
    input_share_clamped: float = 0.0  # elements that the clamp that made the input changed
    value_share_clamped: float = 0.0  # elements of its value that a clamp lowered afterwards
    clamp_place: Place = Place()  # where either was
    input_spread: float | None = None  # largest difference between two rows
    target_minimum: float | None = None
    target_maximum: float | None = None
    share_ignored: float = 0.0
    ignore_index: int | None = None
    label_smoothing: float = 0.0
    has_weight: bool = False
    reduction: str = "mean"
    value: float | None = None
    gradient_sign: int | None = None  # sign of d loss / d value; None where it has no path


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRow:
    """What one layer or activation returned, called for training.

    Layers (`linear`, `conv1d`, …) have the size of what they returned first; activations (`relu`,
    `sigmoid`, `tanh`) the units that were silent, or saturated, whatever they were given.
    """

    order: int  # among the layers, or among the activations
    operation: str = ""
    module: str = ""
    place: Place = Place()
    batch: int = 0
    num_units: int = 0
    rms: float = 0.0
    spread: float = 0.0  # between samples: RMS over the units of their standard deviation
    num_dead: int = 0
    num_values: int = 0  # of each unit that were looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class CutRow:
    """An operation of the user's code that took a tensor off the graph."""

    operation: str  # detach, data, item, numpy, argmax, no_grad, tensor, …
    place: Place
    module: str = ""
    shape: tuple[int, ...] = ()
    reaches_loss: bool = False  # its values reach the loss
    parameters: tuple[str, ...] = ()  # trainable parameters whose values flowed into it
    is_output_cut: bool = False  # the loss itself lost its gradient here


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRow:
    """An operation that made a non-finite value from finite ones."""

    operation: str
    direction: str = "forward"  # or backward
    module: str = ""
    place: Place = Place()
    kind: str = "nan"  # nan or inf
    input_minimum: float | None = None
    input_maximum: float | None = None
    input_shapes: tuple[tuple[int, ...], ...] = ()
    batch: int = 0
    note: str = ""
    parameters: tuple[str, ...] = ()  # those whose gradient passes through it


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRow:
    """The graph behind one backward pass, compared with those of the passes before it.

    A pass that shares several values with earlier ones has a row for each of them.
    """

    backward: int
    batch: int = 0
    num_nodes: int = 0
    num_stale: int = 0  # nodes older than its step: an earlier backward pass went through them
    num_behind: int = 0  # of those, the ones behind this value
    is_same_loss: bool = False  # the very loss of an earlier pass
    is_earlier_loss: bool = False  # the shared part is an earlier pass's loss
    is_from_before: bool = False  # the shared part was computed before the first batch
    operation: str = ""  # what made the value that is shared
    place: Place = Place()  # and where
    consumer: str = ""  # what uses it in this step
    consumer_place: Place = Place()
    module: str = ""  # the outermost module whose output it is, or is computed from
    module_place: Place = Place()  # and where that was called
    parameters: tuple[str, ...] = ()  # parameters and buffers that carry it
    holder: str = ""  # path of the module, or of the setup's part, that keeps it
    attribute: str = ""  # under this name
    is_retained: bool = False  # the pass was told to retain its graph, and not to create one
    num_reached_again: int = 0  # nodes that later passes, or `autograd.grad`, went through


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRow:
    """How many graphs of earlier backward passes were still alive when another one began."""

    backward: int
    num_kept: int = 0  # earlier passes with one, the last three not counted
    holder: str = ""  # the variable or attribute that keeps most of them
    kind: str = ""  # its type
    num_held: int = 0  # graphs found behind it
    place: Place = Place()  # the line that the function with that variable had come to


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
class FrozenRow:
    """What one frozen module that is called with gradients on costs in a step."""

    module: str
    learns: bool = True  # something trainable stands behind its outputs
    num_bytes: int = 0  # of tensors that its forward keeps for backward
    step_bytes: int = 0  # of those that the whole step keeps
    seconds_with_graph: float = 0.0  # forward and backward, median of a few
    seconds_without: float = 0.0  # forward alone without gradients


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionRow:
    """An exception that user code raised while the doctor ran it."""

    phase: str  # fetch, transfer, forward, loss, backward, step, train_step, train_loop
    type_name: str
    message: str
    place: Place = Place()  # the user's innermost line
    module: str = ""  # the innermost module whose forward was running
    module_class: str = ""
    module_input_shapes: tuple[tuple[int, ...], ...] = ()
    module_input_dtypes: tuple[str, ...] = ()
    module_attributes: dict[str, Any] = field(default_factory=dict)
    module_keywords: tuple[str, ...] = ()  # names of the arguments it was called with
    operation: str = ""  # the torch operation that refused its operands, where one was seen
    operand_shapes: tuple[tuple[int, ...], ...] = ()
    operand_dtypes: tuple[str, ...] = ()
    operand_devices: tuple[str, ...] = ()
    operand_ranges: tuple[tuple[float, float] | None, ...] = ()  # of integer operands
    raising_text: str = ""  # the line that raised, whoever's it is
    batch: int = 0
    traceback: str = ""  # the user's frames only

    @property
    def summary(self) -> str:
        """Where it came from, and its first line, as one phrase."""
        where = f" at {self.place.file}:{self.place.line}" if self.place else ""
        first = self.message.splitlines()[0][:160] if self.message else ""
        return f"{self.phase} raised {self.type_name}{where}: {first}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandledRow:
    """Exceptions of one kind, raised on one line, that one `except` of the user's code caught.

    What a handler passed on by raising again does not count.
    """

    handler: Place
    raised: Place = Place()  # the user's innermost line
    type_name: str = "Exception"
    message: str = ""  # of the first
    count: int = 1
    batches: tuple[int, ...] = ()  # in which it was caught, each once; -1: before the first
    # Of those: differentiated already, and no optimizer had stepped since.
    after_backward: tuple[int, ...] = ()
    is_users_type: bool = False  # the exception's class is defined in the user's project
    phase: str = ""
    module: str = ""  # the innermost module whose forward was running
    module_class: str = ""
    module_keywords: tuple[str, ...] = ()  # names of the arguments it was called with
    raising_text: str = ""  # the line that raised, whoever's it is
    sought: str = ""  # the attribute that a module lacked
    sought_on: str = ""  # the class of that module
    found_on: str = ""  # the module inside it that has the attribute, with its class
    traceback: str = ""  # of the first, the user's frames only


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRow:
    """How often one line of the user's training code ran: a line that adds to a total."""

    place: Place
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRow:
    """One hook that the user's code registered on a module, with what its calls showed."""

    hook: str  # qualified name of the function
    place: Place = Place()  # where it is defined
    module: str = ""  # path of the module; outside the model what holds it
    module_class: str = ""
    is_users_module: bool = False  # the module's class is defined in the user's project
    kind: str = "forward"  # forward, forward-pre, backward or backward-pre
    num_calls: int = 0
    given: tuple[str, ...] = ()  # types that it was given: Tensor, tuple, BaseModelOutput, …
    num_replaced: int = 0  # calls that returned something other than what was given
    replaced_by: str = ""  # type of the first such value
    num_cut: int = 0  # of those, calls whose value lost the gradient that the given one had
    return_place: Place = Place()  # its line that returns a value
    error_type: str = ""  # of the first call that raised
    error_message: str = ""
    error_given: str = ""  # the type that this call was given
    error_place: Place = Place()
    is_users_error: bool = False  # an exception of the user's own class, raised on purpose
    traceback: str = ""
    possible: tuple[str, ...] = ()  # kinds its module returns: tensor, tuple, dict, ModelOutput
    tried: tuple[tuple[str, str], ...] = ()  # kind, and what it raised; "" where nothing
    tried_place: Place = Place()  # the line that raised first when tried
    entered_by: str = ""  # of a module that was never called: the method that was, instead
    would_give: str = ""  # what its forward returns for the arguments of that method


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningRow:
    """A warning, counted by text and place."""

    category: str
    message: str
    place: Place = Place()
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """One file of the user's code."""

    file: str
    text: str
    is_factory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRow:
    """A loss taken without training, to answer a question such as "does the mode matter"."""

    label: str
    value: float
    detail: str = ""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsavedRow:
    """What a module keeps that its output depends on, and a state dict does not hold."""

    path: str = ""  # of the module
    name: str = ""  # of the attribute
    place: Place = Place()  # where the user's code assigns it
    kind: str = "changed"  # by training; a `number` that is; or `drawn` at random when it is built
    change: float = 0.0  # of the output without it, as a share of its largest value


@dataclass(frozen=True, slots=True, kw_only=True)
class TieRow:
    """Two parameters that are to be one tensor, and are not."""

    name: str
    other: str
    said_by: str = ""  # what says so: a config's setting, an assignment, their memory
    place: Place = Place()  # of the assignment
    num_elements: int = 0
    is_one_memory: bool = False
    difference: float = 0.0  # largest, between their values


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRow:
    """One `load_state_dict` on a module of the model, and what is left of it at the handover."""

    place: Place = Place()
    path: str = ""  # of the module in the model
    class_name: str = ""
    num_given: int = 0  # tensors in the state dict
    num_taken: int = 0  # tensors of the module that it had a value for
    num_elements: int = 0  # of matrices among these
    missing: tuple[str, ...] = ()  # tensors of the module that no call had a value for
    unexpected: tuple[str, ...] = ()  # names in the state dict that the module does not have
    num_renamed: int = 0  # of both: the same name and shape but for one of these prefixes
    given_prefix: str = ""
    own_prefix: str = ""
    overwritten: tuple[str, ...] = ()  # matrices that it filled, and that hold something else now
    num_overwritten: int = 0  # their elements
