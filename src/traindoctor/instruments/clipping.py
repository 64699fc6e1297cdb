"""Records the clipping of gradients: by how much, on which gradients, from which line."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from traindoctor.instruments.account import NO_STAMPS, Account, same
from traindoctor.instruments.notes import notes_of
from traindoctor.instruments.order import Order, order_of
from traindoctor.instruments.recorder import Recorder, here
from traindoctor.target.patches import Notes, inner_replaced
from traindoctor.trace import ClipRow, Place

MOST_PLACES = 64
FIRST, LAST = 64, 192  # calls of a place whose norms are kept


class _Calls:
    """What one line clipped."""

    def __init__(self, order: Order) -> None:
        self.num_backwards_before = order.num_backwards
        self.count = self.num_absent = self.num_used = self.num_scaled = 0
        self.account: Account | None = None
        self.ends: tuple[int, int, int] | None = None
        # Pairs of a limit and a norm, which stays where it is until it is asked for.
        self.first: list[tuple[float, Any]] = []
        self.last: deque[tuple[float, Any]] = deque(maxlen=LAST)

    def take(self, order: Order, parameters: list[Any]) -> Account | None:
        """Return the account of who holds the parameters, which are mostly those of last time."""
        ends = (id(parameters[0]), id(parameters[-1]), len(parameters)) if parameters else None
        account = self.account
        if account is None or ends != self.ends or account.optimizer() is None:
            self.account, self.ends = order.holding(parameters), ends
        return self.account

    def keep(self, limit: float, norm: Any) -> None:
        """Keep a limit and the norm that it was laid on."""
        kept = self.first if len(self.first) < FIRST else self.last
        kept.append((limit, norm))


class Clipping:
    """Calls by place and kind."""

    def __init__(self, recorder: Recorder) -> None:
        self.order = order_of(recorder)
        self.calls: dict[tuple[Place, str], _Calls] = {}
        self.was_as_written = False  # what is being clipped: as its backward pass left it

    def begins(self, kind: str, parameters: Any, place: Place) -> _Calls | None:
        """Take in what is about to be clipped; return what its line has done so far."""
        parameters = parameters if isinstance(parameters, list) else [parameters]
        self.order.ask()
        key = (place, kind)
        if key not in self.calls and len(self.calls) >= MOST_PLACES:
            return None
        calls = self.calls.setdefault(key, _Calls(self.order))
        calls.count += 1
        is_absent = all(p.grad is None for p in parameters)
        calls.num_absent += is_absent
        account = calls.take(self.order, parameters)
        now = account.stamps() if account is not None else NO_STAMPS
        self.was_as_written = account is not None and same(now, account.written)
        if account is not None and not is_absent:
            calls.num_used += account.are_used(now)
            calls.num_scaled += account.are_scaled()
        return calls

    def ends(self, calls: _Calls | None, given: Mapping[str, Any], result: Any) -> None:
        """Take in that it is clipped, which is a write of a known kind."""
        if calls is None:
            return
        norm = given.get("total_norm", result)
        limit = given["max_norm"] if "max_norm" in given else given["clip_value"]
        calls.keep(float(limit), norm.detach() if norm is not None else None)
        account = calls.account
        if account is not None and account.num_backwards:
            account.is_clipped = True
            if self.was_as_written:
                account.written = account.stamps()

    def rows(self) -> list[ClipRow]:
        """Return a row a line. The norms are read now, one transfer a line."""
        return [_row(place, kind, calls) for (place, kind), calls in self.calls.items()]


def _row(place: Place, kind: str, calls: _Calls) -> ClipRow:
    import torch

    kept = [*calls.first, *calls.last]
    norms = [norm for _, norm in kept if norm is not None]
    values = torch.stack([norm.reshape(()).float() for norm in norms]).tolist() if norms else []
    return ClipRow(
        place=place,
        kind=kind,
        optimizer=calls.account.number if calls.account else None,
        count=calls.count,
        num_absent=calls.num_absent,
        num_used=calls.num_used,
        num_scaled=calls.num_scaled,
        num_backwards_before=calls.num_backwards_before,
        norms=tuple(values),
        limits=tuple(limit for limit, _ in kept),
    )


@contextmanager
def clipping_seen(recorder: Recorder) -> Iterator[None]:
    """Record calls of `torch.nn.utils.clip_grad_norm_` and its kin, however they were imported.

    Needs `order_seen`.
    """
    from torch.nn import utils

    clipping = Clipping(recorder)
    notes = notes_of(recorder, "clipping", "clips", clipping.rows)
    # Since torch 2.6 the one ends in a call of the other, which is public too.
    by_norm = getattr(utils, "clip_grads_with_norm_", utils.clip_grad_norm_)
    with ExitStack() as stack:
        stack.enter_context(inner_replaced(by_norm, _noting(clipping, notes, "norm")))
        stack.enter_context(
            inner_replaced(utils.clip_grad_value_, _noting(clipping, notes, "value"))
        )
        stack.callback(notes.close)
        yield


def _noting(clipping: Clipping, notes: Notes, kind: str) -> Callable[[Any], Any]:
    """Return what makes a clipping function one that notes its calls."""
    import torch

    def make(original: Any) -> Any:
        signature = inspect.signature(original)

        def clip(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():
                return original(*args, **kwargs)
            given = signature.bind(*args, **kwargs).arguments
            if not isinstance(given["parameters"], torch.Tensor):
                given["parameters"] = list(given["parameters"])
            calls = notes(lambda: clipping.begins(kind, given["parameters"], here()))
            result = original(**given)
            notes(clipping.ends, calls, given, result)
            return result

        return clip

    return make
