"""Looks at the tensors of the first exchanges from each line: what went in, and what came of it.

Gradients or weights that an exchange was given, in place or as a copy, are looked at again when the
next step begins: values that came in must have come to them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from weakref import WeakKeyDictionary, ref

from traindoctor.instruments.bits import bits
from traindoctor.instruments.modules import tensors_of
from traindoctor.trace import CallRow, ExchangeRow, Place

MOST_LOOKED_AT, MOST_ROWS = 8, 64  # from one line, and of all
LEAST_ELEMENTS = 8  # of fewer, too many things are multiples
NEARLY = 1e-2  # what a copy in lower precision may differ by
INTO_ONE = ("all_reduce", "reduce", "broadcast")  # what is received takes the place of what is sent
INTO_MANY = ("all_gather", "gather", "all_to_all")  # it is received in a list of tensors
MESSAGES = ("send", "recv")


class Trained(Protocol):
    """Knows the parameters that optimizers hold."""

    def trained(self) -> list[Any]:
        """Return the parameters."""
        ...


@dataclass(slots=True)
class Look:
    """One exchange that is looked at."""

    row: ExchangeRow
    given: list[Any]
    before: tuple[int | None, ...] = ()
    originals: list[Any] = field(default_factory=list)  # weak references to parameters


class Exchanges:
    """The looks of a process.

    Args:
        trained: knows the parameters.
        names: of parameters, by `id`.
    """

    def __init__(self, trained: Trained, names: Mapping[int, str]) -> None:
        self.trained, self.names = trained, names
        self.looks: list[Look] = []
        self.open: list[Look] = []  # whose originals are to be looked at again
        self.pending: WeakKeyDictionary[Any, Look] = WeakKeyDictionary()
        self.numbers: Counter[tuple[str, Place]] = Counter()

    def rows(self) -> tuple[ExchangeRow, ...]:
        """Return what was seen."""
        return tuple(look.row for look in self.looks)

    def begins(self, call: CallRow, args: Any, kwargs: Any) -> Look | None:
        """Look at what an exchange is given; None where it is not one to be looked at."""
        key = call.name, call.place
        if call.name not in (*INTO_ONE, *INTO_MANY, *MESSAGES) or not call.turn:
            return None
        if self.numbers[key] >= MOST_LOOKED_AT or len(self.looks) >= MOST_ROWS:
            return None
        self.numbers[key] += 1
        given = [*args, *kwargs.values()]
        row = ExchangeRow(
            name=call.name,
            place=call.place,
            queue=call.queue,
            turn=call.turn,
            peer=call.peer,
            num_bytes=call.num_bytes,
        )
        if call.name in INTO_MANY:
            row = replace(row, **_outputs(given))
        look = Look(row, tensors_of(given) if call.name in INTO_ONE else [])
        if call.name in INTO_ONE:
            self._find_originals(look)
        self.looks.append(look)
        return look

    def ends(self, look: Look | None) -> None:
        """Look at what came of it, when it is over."""
        if look is not None:
            changed = bool(look.before) and bits(look.given) != look.before
            look.row = replace(look.row, is_waited=True, is_changed=changed)
            look.given = []

    def goes_on(self, look: Look | None, work: Any) -> None:
        """Take in that it returned before it was over."""
        if look is not None:
            self.pending[work] = look

    def waited(self, work: Any) -> None:
        """Take in that it was waited for."""
        self.ends(self.pending.pop(work, None))

    def begins_step(self, optimizer: Any) -> None:
        """Look at the originals again, of those that this optimizer holds."""
        if not self.open:
            return
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for look in list(self.open):
            originals = [original() for original in look.originals]
            if id(originals[0]) in held:
                self.open.remove(look)
                now = bits(_values(originals, look.row.of))
                look.row = replace(look.row, is_still=now == look.row.original_bits)
                look.given = []

    def _find_originals(self, look: Look) -> None:
        if len(look.given) != 1 or not _is_comparable(look.given[0]):
            return
        tensor = look.given[0]
        for of, found, is_copy in self._candidates(tensor):
            values = _values(found, of)
            if not is_copy or _are_multiples(tensor, values):
                look.before = bits(look.given)
                look.originals = [ref(p) for p in found]
                look.row = replace(
                    look.row,
                    of=of,
                    originals=tuple(self.names.get(id(p), "a parameter") for p in found),
                    original_bits=bits(values),
                    is_copy=is_copy,
                )
                self.open.append(look)
                return

    def _candidates(self, tensor: Any) -> list[tuple[str, list[Any], bool]]:
        """Return parameters that a tensor may have the gradients, or weights, of."""
        memory, found = _memory(tensor), []
        for of in ("gradients", "weights"):
            trained = [p for p in self.trained.trained() if _is_plain(_value(p, of))]
            inside = [p for p in trained if _memory(_value(p, of)) == memory]
            alike = [p for p in trained if p.numel() == tensor.numel()]
            found += [(of, inside, False)] if inside else []
            found += [(of, [p], True) for p in alike]
            if len(trained) > 1 and sum(p.numel() for p in trained) == tensor.numel():
                found.append((of, trained, True))
        in_place = [one for one in found if not one[2]]
        return in_place or found


def _outputs(given: Sequence[Any]) -> dict[str, Any]:
    """Describe a list of tensors to be filled, and what is sent."""
    lists = [one for one in given if isinstance(one, list)]
    outputs = tensors_of(lists[0]) if lists else []
    sources = [item for item in given if not lists or item is not lists[0]]
    sent = bits(tensors_of(sources))
    filled = [tensor for tensor in outputs if tensor.numel() and not tensor.is_meta]
    return {
        "sent": None if None in sent else sum(one or 0 for one in sent),
        "num_outputs": len(filled),
        "num_distinct": len({tensor.data_ptr() for tensor in filled}),
    }


def _is_comparable(tensor: Any) -> bool:
    return _is_plain(tensor) and tensor.is_floating_point() and tensor.numel() >= LEAST_ELEMENTS


def _is_plain(tensor: Any) -> bool:
    import torch

    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.layout is torch.strided
        and not tensor.is_meta
    )


def _value(parameter: Any, of: str) -> Any:
    return parameter.grad if of == "gradients" else parameter


def _values(parameters: Sequence[Any], of: str) -> list[Any]:
    return [None if p is None else _value(p, of) for p in parameters]


def _memory(tensor: Any) -> int:
    return int(tensor.untyped_storage().data_ptr())


def _are_multiples(tensor: Any, values: Sequence[Any]) -> bool:
    """Tell whether a tensor is a multiple of others that are laid end to end."""
    import torch

    with torch.no_grad(), torch._C.DisableTorchFunction():
        parts = tensor.detach().flatten().split([value.numel() for value in values])
        pairs = [(part, v.detach().flatten()) for part, v in zip(parts, values, strict=True)]
        device = tensor.device
        if any(value.device != device for _, value in pairs):
            return False
        doubles = [(part.double(), value.double()) for part, value in pairs]
        sums = [torch.stack([p @ p, p @ v, v @ v]) for p, v in doubles]
        own, both, theirs = torch.stack(sums).sum(dim=0).tolist()
    is_there = own > 0 and theirs > 0 and both * both < float("inf")
    return bool(is_there and 1 - both * both / (own * theirs) < NEARLY**2)
