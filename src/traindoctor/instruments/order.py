"""Follows every optimizer's gradients: from which backward passes they are, and who used them.

The other instruments of gradient handling (clipping, scalers, schedulers, checkpoints) ask here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from traindoctor.instruments.account import Account
from traindoctor.instruments.notes import notes_of
from traindoctor.instruments.recorder import Recorder, here
from traindoctor.target.patches import replaced
from traindoctor.trace import HandlingRow, Place

SCALED = "traindoctor.scaled"  # the key of a graph node's metadata that a scaler's output has
MOST_FOLLOWED, MOST_ROWS = 16, 32  # optimizers
CALM_AFTER = 256  # steps of a plain loop
EVERY = 8  # steps from then on, of which one is followed
MOST_STEPS = 8  # between a loss and what is differentiated: scaled, divided, added to a penalty
MOST_NODES = 64  # among which a scaled loss is looked for
_ARITHMETIC = ("Mul", "Div", "Add", "ToCopy")


class Order:
    """The accounts of the optimizers that live, the latest of them followed.

    A loop of one optimizer that steps after each backward pass, for long, and with nobody else who
    handles gradients, is followed in some of its steps only.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.accounts: list[Account] = []
        self.finished: list[HandlingRow] = []
        self.num_backwards = 0
        self.passed_on: int | None = None  # the `id` of the optimizer whom a scaler steps now
        self.has_scaled = False  # a scaler, ever
        self.is_asked = False  # somebody else handles gradients or rates
        self.num_resting = 0  # steps to come that are not followed
        self.listeners: list[Any] = []  # told of each optimizer's step: begins_step, ends_step

    def account(self, optimizer: Any) -> Account:
        """Return an optimizer's account; a new one where it has none."""
        found = self.find(optimizer)
        if found is None:
            found, self.num_resting = Account(optimizer), 0
            self.accounts.append(found)
            if len(self.accounts) > MOST_FOLLOWED:
                self._finish(self.accounts.pop(0))
        return found

    def find(self, optimizer: Any) -> Account | None:
        """Return an optimizer's account, if it has one."""
        for account in self.accounts:
            if account.optimizer() is optimizer:
                return account
        return None

    def ask(self) -> None:
        """Follow every step from now on: somebody else asks about them."""
        if self.num_resting:
            self.accounts[0].forget()
        self.is_asked, self.num_resting = True, 0

    def holding(self, parameters: Iterable[Any]) -> Account | None:
        """Return the account of the optimizer that holds most of the parameters."""
        given = {id(p) for p in parameters}
        counts = [(sum(id(p) in given for p in a.samples), a) for a in self.accounts]
        most = max((count for count, _ in counts), default=0)
        return next((a for count, a in counts if count == most), None) if most else None

    def begins_backward(self) -> None:
        """Take in that a backward pass begins."""
        if self.num_resting:
            return
        self._forget_the_dead()
        for account in self.accounts:
            account.begins_backward()

    def ends_backward(self, tensors: Any) -> None:
        """Take in that it is over."""
        self.num_backwards += 1
        if self.num_resting:
            return
        now = _operations()
        made = _made(tensors, now)
        scale_place = _scaled_at(tensors) if self.has_scaled else None
        for account in self.accounts:
            account.ends_backward(made, now, scale_place)

    def begins_step(self, optimizer: Any) -> None:
        """Take in that an optimizer begins a step."""
        if self._rests(optimizer):
            return
        account = self.account(optimizer)
        account.place = account.place or here()
        account.begins_step(self.passed_on == id(optimizer), self.recorder.batch)
        for listener in self.listeners:
            listener.begins_step(optimizer, account)

    def ends_step(self, optimizer: Any) -> None:
        """Take in that it has stepped."""
        if self._rests(optimizer):
            self.num_resting -= 1
            if not self.num_resting:
                self.accounts[0].resumes(_operations())
            return
        account = self.account(optimizer)
        account.number = self.recorder.optimizers.of(optimizer)
        account.ends_step(_operations())
        for listener in self.listeners:
            listener.ends_step(optimizer, account)
        if len(self.accounts) == 1 and not self.is_asked and account.is_plain(CALM_AFTER):
            self.num_resting = EVERY - 1

    def rows(self) -> list[HandlingRow]:
        """Return a row for each optimizer that has stepped."""
        living = [row for account in self.accounts if (row := account.row())]
        return [*self.finished, *living]

    def _rests(self, optimizer: Any) -> bool:
        return self.num_resting > 0 and self.accounts[0].optimizer() is optimizer

    def _forget_the_dead(self) -> None:
        for account in [a for a in self.accounts if a.optimizer() is None]:
            self.accounts.remove(account)
            self._finish(account)

    def _finish(self, account: Account) -> None:
        row = account.row()
        if row is not None and len(self.finished) < MOST_ROWS:
            self.finished.append(row)


def order_of(recorder: Recorder) -> Order:
    """Return what a recorder knows of the order of things."""
    if recorder.order is None:
        recorder.order = Order(recorder)
    return recorder.order  # type: ignore[no-any-return]  # of another layer to the recorder


@contextmanager
def order_seen(recorder: Recorder, known: Sequence[Any] = ()) -> Iterator[None]:
    """Follow steps and backward passes while inside; `known` optimizers were built before."""
    import torch

    order = order_of(recorder)
    notes = notes_of(recorder, "order", "handling", order.rows)
    for optimizer in known:
        notes(order.account, optimizer)

    def backward(original: Any) -> Any:
        def noting(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            notes(order.begins_backward)
            result = original(tensors, *args, **kwargs)
            notes(order.ends_backward, tensors)
            return result

        return noting

    def built(original: Any) -> Any:
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            notes(order.account, self)

        return init

    begins, ends = partial(notes, order.begins_step), partial(notes, order.ends_step)
    with ExitStack() as stack:
        stack.enter_context(recorder.stepping.told(begins, ends))
        stack.enter_context(replaced(torch.autograd, "backward", backward))
        stack.enter_context(replaced(torch.optim.Optimizer, "__init__", built))
        stack.callback(notes.close)
        yield


def _operations() -> int:
    """Return how many operations autograd has numbered in this thread."""
    import torch

    return int(torch._C._autograd._get_sequence_nr())


def _made(tensors: Any, now: int) -> int:
    """Return autograd's number of the operation that made a loss, its count being `now`.

    What only scales it, or adds to it, on the way to the backward pass is passed over.
    """
    node, made = _root(tensors), now
    for _ in range(MOST_STEPS):
        if node is None or _number(node) > made:
            break
        made = _number(node)
        if not type(node).__name__.startswith(_ARITHMETIC):
            break
        above = [one for one, _ in node.next_functions if one is not None]
        # The numbers of leaves lie beyond all others.
        node = min(above, key=_number, default=None)
    return made


def _scaled_at(tensors: Any) -> Place | None:
    """Return where a scaler scaled a loss; None where none is seen among its last operations."""
    waiting = deque([_root(tensors)])
    for _ in range(MOST_NODES):
        node = waiting.popleft() if waiting else None
        if node is None:
            break
        if SCALED in node.metadata:
            place: Place = node.metadata[SCALED]
            return place
        waiting.extend(above for above, _ in node.next_functions if above is not None)
    return None


def _root(tensors: Any) -> Any:
    return (tensors[0] if isinstance(tensors, list | tuple) else tensors).grad_fn


def _number(node: Any) -> int:
    return int(node._sequence_nr())
