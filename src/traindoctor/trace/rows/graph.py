"""Rows of operations: loss functions, cuts, graphs that are kept."""

from __future__ import annotations

from dataclasses import dataclass

from traindoctor.trace.rows.place import Place


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
    input_module: str = ""  # the innermost module in which that was
    input_has_cosines: bool = False  # the last product before it is of vectors of length 1
    input_share_zero: float = 0.0
    input_share_clamped: float = 0.0  # elements that the clamp that made the input changed
    value_share_clamped: float = 0.0  # elements of its value that a clamp lowered afterwards
    clamp_place: Place = Place()  # where either was
    input_spread: float | None = None  # largest difference between two rows
    target_minimum: float | None = None
    target_maximum: float | None = None
    share_ignored: float = 0.0
    ignore_index: int | None = None
    blank: int | None = None  # of a CTC loss
    share_blank: float = 0.0  # of its labels that count
    label_smoothing: float = 0.0
    has_weight: bool = False
    reduction: str = "mean"
    value: float | None = None
    gradient_sign: int | None = None  # sign of d loss / d value; None where it has no path


@dataclass(frozen=True, slots=True, kw_only=True)
class TermRow:
    """One term of a loss that is a sum, with the gradient that it alone gives the parameters.

    Over the parameters that this term reaches, `largest_norm` is the norm of the gradient of that
    other term whose norm is largest there, and `largest` its number.
    """

    backward: int
    term: int  # its number in the sum
    operation: str = ""  # that made it: NllLoss, MseLoss, …
    is_supervised: bool = False  # a loss function with a target
    weight: float = 1.0  # constants that it is multiplied with in the sum
    gradient_norm: float = 0.0
    largest_norm: float = 0.0
    largest: int | None = None
    place: Place = Place()


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
    only_scales: bool = False  # what reaches the loss is broadcast to larger values: a statistic


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
class FrozenRow:
    """What one frozen module that is called with gradients on costs in a step."""

    module: str
    learns: bool = True  # something trainable stands behind its outputs
    num_bytes: int = 0  # of tensors that its forward keeps for backward
    step_bytes: int = 0  # of those that the whole step keeps
    seconds_with_graph: float = 0.0  # forward and backward, median of a few
    seconds_without: float = 0.0  # forward alone without gradients
