"""Rows of one process among several that train together, and of what it has exchanged."""

from __future__ import annotations

from dataclasses import dataclass

from traindoctor.trace.rows.code import ExceptionRow
from traindoctor.trace.rows.data import LoaderRow, PassRow
from traindoctor.trace.rows.handling import ClipRow
from traindoctor.trace.rows.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class WrapperRow:
    """One DistributedDataParallel. Calls are those with gradients enabled."""

    place: Place = Place()  # where the user's code builds it
    finds_unused: bool = False
    num_calls: int = 0
    num_unsynced: int = 0  # of these: inside `no_sync`
    unsynced_place: Place = Place()  # where the first `no_sync` is entered
    num_bypassed: int = 0  # calls of the model inside, or of a part of it, past the wrapper
    bypassed_place: Place = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectiveRow:
    """Calls of one collective of `torch.distributed` from one line, but for the wrapper's own."""

    name: str
    place: Place = Place()
    count: int = 0
    num_later: int = 0  # of these: after the first step of an optimizer
    num_elements: int = 0  # of the first call's tensors
    of: str = ""  # "weights" or "gradients", where it was given those


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """One of the last exchanges with other processes that one of them has entered.

    A collective, a message that is sent or received, the wait for either, a backward pass of a
    wrapper. It takes its turn in a queue: of the collectives of one group, or of the messages from
    one process to another. Every member has to enter each turn.
    """

    number: int = 0  # of all of this process, from 1
    name: str
    num_elements: int = 0
    num_bytes: int = 0
    place: Place = Place()
    state: str = "left"  # entered, where it was never left; raised
    queue: str = ""
    turn: int = 0  # in the queue, from 1; 0 where turns are not comparable
    members: tuple[int, ...] = ()  # ranks that have to enter it; none where they are not known
    peer: int = -1  # the other side of a message
    is_wait: bool = False  # for what was entered before
    entered_at: float = 0.0  # seconds on the machine's own clock


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRow:
    """What one exchange did to its tensors, of the first ones from each line.

    `originals` are parameters whose gradients or weights it was given, in place or as a copy.
    """

    name: str
    place: Place = Place()
    queue: str = ""
    turn: int = 0
    peer: int = -1
    num_bytes: int = 0
    sent: int | None = None  # bits of what this process put in
    num_outputs: int = 0
    num_distinct: int = 0  # of these: with memory of their own
    of: str = ""  # "weights" or "gradients", where it was given those
    originals: tuple[str, ...] = ()
    original_bits: tuple[int | None, ...] = ()
    is_copy: bool = False
    is_waited: bool = False
    is_changed: bool = False  # what it was given has other values than before
    is_still: bool = False  # at the step that followed, the originals had the values of before


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestRow:
    """The bits of what one step took and left on one rank: a sum of them for each tensor.

    None stands for a tensor that is not there, or is none to be compared: sparse, sharded, or one
    that the wrapper is told to leave to each rank.
    """

    step: int  # of this optimizer, from 1
    optimizer: int = 0
    rank: int = 0
    batch: int = 0  # in use at the step
    place: Place = Place()  # where the user's code steps
    backward_place: Place = Place()  # of the last backward pass before
    is_synced: bool = True  # the wrapper was last called outside `no_sync`
    parameters: tuple[str, ...] = ()
    unwrapped: tuple[str, ...] = ()  # of these: in no wrapper when that was built
    before: tuple[int | None, ...] = ()  # weights before the step
    reduced: tuple[int | None, ...] = ()  # gradients as the last backward pass left them
    gradients: tuple[int | None, ...] = ()  # as the optimizer saw them
    after: tuple[int | None, ...] = ()  # weights after the step
    gradient_norm: float | None = None
    learning_rates: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRow:
    """One process. What stands below `collectives` is filled in where the ranks are compared."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    has_group: bool = False  # a process group was initialised
    is_sharded: bool = False  # parameters are spread over the ranks
    wrappers: tuple[WrapperRow, ...] = ()
    collectives: tuple[CollectiveRow, ...] = ()
    exchanges: tuple[ExchangeRow, ...] = ()
    state: str = ""  # returned, exception; running where it was ended from outside
    num_batches: int = 0
    num_backwards: int = 0
    num_steps: int = 0
    loaders: tuple[LoaderRow, ...] = ()
    passes: tuple[PassRow, ...] = ()  # but for evaluation
    clips: tuple[ClipRow, ...] = ()
    exceptions: tuple[ExceptionRow, ...] = ()
    calls: tuple[CallRow, ...] = ()
