"""Rows of what there is to train: the setup, its modules and parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from traindoctor.trace.rows.place import Place


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
    is_varied: bool = False  # of a normalisation: its elements differ, as by training
    also_named: tuple[str, ...] = ()  # other names of the same tensor
    false_flag: str = ""  # an attribute set to False that reads like `requires_grad`, and is not
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
    false_flag: str = ""  # an attribute set to False that reads like a parameter's `requires_grad`
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
    is_probability: bool = False  # a sigmoid of whose result a logarithm is taken
    has_gradient: bool = True  # one came back to what an activation returned


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
