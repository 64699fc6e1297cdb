"""Rows of the user's code: its source, hooks, exceptions and warnings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from traindoctor.trace.rows.place import Place


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
        return f"{self.phase} raised {self.told}"

    @property
    def told(self) -> str:
        """Its type, the user's line and its first line."""
        where = f" at {self.place.file}:{self.place.line}" if self.place else ""
        first = self.message.splitlines()[0][:160] if self.message else ""
        return f"{self.type_name}{where}: {first}"


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
