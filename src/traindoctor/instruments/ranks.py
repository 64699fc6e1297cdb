"""Records what one process shows the others: its wrappers, its collectives, its weights' bits.

Weights and gradients are read at steps 1, 2, 5, 10, 20, 50, … of each optimizer and at no other:
a long run pays for them as often as its length has digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from traindoctor.instruments.bits import bits
from traindoctor.instruments.call_log import CallLog
from traindoctor.instruments.collectives import Collectives
from traindoctor.instruments.exchanges import Exchanges
from traindoctor.instruments.norms import norms
from traindoctor.instruments.notes import notes_of
from traindoctor.instruments.order import order_of
from traindoctor.instruments.recorder import Recorder, here
from traindoctor.instruments.whereabouts import WhereaboutsThread
from traindoctor.instruments.wrappers import Wrappers
from traindoctor.target.patches import replaced
from traindoctor.target.processes import Rank
from traindoctor.trace import DigestRow, Place, RankRow


def is_compared(step: int) -> bool:
    """Tell whether a step is one of 1, 2, 5, 10, 20, 50, …"""
    text = str(step)
    return text[0] in "125" and not text[1:].strip("0")


class Ranks:
    """One process of several.

    Args:
        recorder: its trace gets the tables ranks and digests.
        names: of parameters, by `id`.
        rank: which process it is.
        log: the file of its last collectives.
    """

    def __init__(self, recorder: Recorder, names: Mapping[int, str], rank: Rank, log: Path) -> None:
        self.recorder, self.names, self.rank = recorder, names, rank
        self.notes = notes_of(recorder, "ranks", "ranks", lambda: [self.row()])
        recorder.sums["digests"] = lambda: self.rows
        self.rows: list[DigestRow] = []
        self.wrappers = Wrappers(self.notes)
        self.exchanges = Exchanges(self, names)
        self.log = CallLog(log, rank.rank)
        self.collectives = Collectives(self.notes, self, self.log, self.exchanges, rank.world_size)
        self.is_between = False  # a backward pass was, and no step after it
        self.backward_place = Place()
        self.num_steps: dict[int, int] = {}  # by `id` of the optimizer
        self.reduced: dict[int, tuple[int | None, ...]] = {}
        self.open: dict[int, DigestRow] = {}
        self.is_sharded = self.has_group = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record while inside."""
        import torch
        from torch.nn.parallel import DistributedDataParallel

        order = order_of(self.recorder)
        order.ask()
        order.listeners.append(self)
        self.recorder.after_backward.append(self._differentiated)
        with ExitStack() as stack:
            stack.enter_context(self.wrappers.watching())
            stack.enter_context(self.collectives.watching())
            stack.enter_context(replaced(torch.autograd, "backward", self._shared_backward))
            stack.enter_context(replaced(DistributedDataParallel, "__init__", self._built))
            stack.enter_context(WhereaboutsThread(self.notes, self.log).watching())
            yield

    def _shared_backward(self, original: Any) -> Any:
        def backward(*args: Any, **kwargs: Any) -> Any:
            groups = self.wrappers.groups_next() if self.wrappers.shares_next else ()
            if len(groups) != 1:
                return original(*args, **kwargs)
            with self.collectives.logged(self.collectives.together("backward pass", groups[0])):
                return original(*args, **kwargs)

        return backward

    def _built(self, original: Any) -> Any:
        def init(wrapper: Any, *args: Any, **kwargs: Any) -> None:
            if kwargs.get("device_mesh") is not None or not kwargs.get("init_sync", True):
                original(wrapper, *args, **kwargs)
                return
            group = kwargs.get("process_group")
            with self.collectives.logged(
                self.collectives.together("DistributedDataParallel", group)
            ):
                original(wrapper, *args, **kwargs)

        return init

    def row(self) -> RankRow:
        """Return the process as it stands now."""
        return RankRow(
            rank=self.rank.rank,
            local_rank=self.rank.local_rank,
            world_size=self.rank.world_size,
            has_group=self.has_group,
            is_sharded=self.is_sharded,
            wrappers=tuple(wrapper.row() for wrapper in self.wrappers.all),
            collectives=tuple(self.collectives.rows.values()),
            exchanges=self.exchanges.rows(),
        )

    def root_called(self, module: Any) -> None:
        """Take in that the script itself calls a module, with gradients enabled."""
        self.notes(self.wrappers.root_called, module)

    def begins_step(self, optimizer: Any, account: Any) -> None:  # noqa: ARG002  of a listener
        """Take in that an optimizer begins a step."""
        self.notes(self._begins_step, optimizer)
        self.notes(self.exchanges.begins_step, optimizer)

    def ends_step(self, optimizer: Any, account: Any) -> None:  # noqa: ARG002  of a listener
        """Take in that it has stepped."""
        self.notes(self._ends_step, optimizer)

    def _differentiated(self) -> None:
        self.notes(self._keep_reduced)

    def _keep_reduced(self) -> None:
        """Keep the gradients' bits, where the step to come is one to be compared."""
        self.is_between, self.backward_place = True, here()
        for optimizer in self._optimizers():
            if is_compared(self.num_steps.get(id(optimizer), 0) + 1):
                self.reduced[id(optimizer)] = bits(self._gradients(_held(optimizer)))

    def _begins_step(self, optimizer: Any) -> None:
        import torch.distributed as dist

        key = id(optimizer)
        self.has_group = self.has_group or dist.is_initialized()
        step = self.num_steps[key] = self.num_steps.get(key, 0) + 1
        if not is_compared(step):
            return
        held = _held(optimizer)
        self.is_sharded = self.is_sharded or any(_is_sharded(p) for p in held)
        names = [self.names.get(id(p), f"parameter {i}") for i, p in enumerate(held)]
        gradients = self._gradients(held)
        sizes = norms([g for g in gradients if g is not None])
        rates = [group.get("lr") for group in optimizer.param_groups]
        self.open[key] = DigestRow(
            step=step,
            rank=self.rank.rank,
            batch=self.recorder.batch,
            place=here(),
            backward_place=self.backward_place,
            is_synced=self.wrappers.is_synced,
            parameters=tuple(names),
            unwrapped=tuple(names[i] for i in self.wrappers.unwrapped(held)),
            before=bits(self._shared(held)),
            reduced=self.reduced.pop(key, ()),
            gradients=bits(gradients),
            gradient_norm=sum(size * size for size in sizes) ** 0.5,
            learning_rates=tuple(float(rate) for rate in rates if rate is not None),
        )

    def _ends_step(self, optimizer: Any) -> None:
        self.is_between = False
        row = self.open.pop(id(optimizer), None)
        if row is not None:
            number = self.recorder.optimizers.of(optimizer)
            self.rows.append(
                replace(row, optimizer=number, after=bits(self._shared(_held(optimizer))))
            )

    def _shared(self, held: list[Any]) -> list[Any]:
        """Return parameters, None in the place of those that each rank has for itself."""
        return [None if id(p) in self.wrappers.ignored else p for p in held]

    def _gradients(self, held: list[Any]) -> list[Any]:
        return [None if p is None else p.grad for p in self._shared(held)]

    @property
    def has_stepped(self) -> bool:
        """Whether an optimizer has stepped."""
        return bool(self.num_steps)

    def _optimizers(self) -> list[Any]:
        found = (account.optimizer() for account in order_of(self.recorder).accounts)
        return [optimizer for optimizer in found if hasattr(optimizer, "param_groups")]

    def trained(self) -> list[Any]:
        """Return the parameters that optimizers hold."""
        return [p for optimizer in self._optimizers() for p in _held(optimizer)]


def _held(optimizer: Any) -> list[Any]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _is_sharded(tensor: Any) -> bool:
    """Tell a tensor that is a part of one: a DTensor, or a shard of FSDP's."""
    return (
        hasattr(tensor, "_local_tensor")
        or hasattr(tensor, "_sharding_spec")
        or (type(tensor).__name__ == "FlatParameter")
    )
