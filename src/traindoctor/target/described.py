"""A batch as figures: one cheap pass over each of its tensors."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from traindoctor.target.batches import batch_size, kind_of, leaves, parts_of
from traindoctor.target.source import class_place
from traindoctor.target.valueless import has_values
from traindoctor.trace import BatchRow, EdgeRow, LeafRow, Place

if TYPE_CHECKING:
    import torch

__all__ = ["described"]

DIGEST_BYTES = 4 << 20  # a larger tensor, or one on a GPU, is digested by a strided sample
SAMPLE_ELEMENTS = 1 << 16
MOST_COUNTED = 1 << 22  # elements; beyond it distinct values are not counted
MOST_VALUES = 4096
MOST_EDGES = 2  # values that rows begin or end with
IGNORED = -100  # torch's default ignore_index


def described(
    batch: Any, index: int, epoch: int, fetch_seconds: float, only_host: bool = False
) -> BatchRow:
    """Return a batch's shape, and each tensor's range, statistics and digests.

    With `only_host` no value is read that is not in the host's memory.
    """
    found = tuple(_leaf_row(key, tensor.detach(), only_host) for key, tensor in leaves(batch))
    kind = kind_of(batch)
    digest = _hash("\0".join(f"{row.key}={row.digest}" for row in found).encode())
    return BatchRow(
        index=index,
        epoch=epoch,
        kind=kind,
        class_name=type(batch).__name__,
        class_place=class_place(type(batch)) if kind in ("other", "dataclass") else Place(),
        size=batch_size(batch),
        leaves=found,
        protocols=_protocols(type(batch)) if kind in ("other", "dataclass") else (),
        other_keys=tuple(key for key, part in parts_of(batch) if not any(leaves(part, key))),
        fetch_seconds=fetch_seconds,
        digest=digest if found and all(row.digest or 0 in row.shape for row in found) else "",
    )


def _protocols(kind: type) -> tuple[str, ...]:
    """Name what objects of a class can be used for."""
    methods = {
        "len": "__len__",
        "mapping": "keys",
        "iteration": "__iter__",
        "index": "__getitem__",
        "to": "to",
    }
    return tuple(name for name, method in methods.items() if hasattr(kind, method))


def _leaf_row(key: str, tensor: torch.Tensor, only_host: bool) -> LeafRow:
    import torch

    facts: dict[str, Any] = {}
    is_readable = tensor.layout is torch.strided and has_values(tensor) and not tensor.is_nested
    is_readable &= not only_host or tensor.device.type == "cpu"
    if is_readable and not tensor.is_quantized and tensor.numel():
        facts = _digests(tensor)
        if not tensor.is_complex():
            facts |= _range(tensor) | _counts(tensor)
    return LeafRow(
        key=key,
        shape=() if tensor.is_nested else tuple(tensor.shape),
        dtype=str(tensor.dtype).removeprefix("torch."),
        device=str(tensor.device),
        **facts,
    )


def _range(tensor: torch.Tensor) -> dict[str, Any]:
    """Return minimum, maximum, mean and population std over the finite elements."""
    import torch

    values = tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
    if not tensor.is_floating_point():
        values = tensor.double()  # token ids are exact in it, as they would not be in float32
    low, high = (bound.item() for bound in torch.aminmax(values))
    facts: dict[str, Any] = {}
    if not (_is_finite(low) and _is_finite(high)):
        finite = torch.isfinite(values)
        bad = ~finite
        rows = bad.flatten(1).any(1) if bad.ndim > 1 else bad.reshape(-1)
        facts = {
            "num_nan": int(torch.isnan(values).sum()),
            "num_infinite": int(torch.isinf(values).sum()),
            "num_negative_infinite": int(torch.isneginf(values).sum()),
            "first_bad_sample": int(rows.nonzero()[0]) if tensor.ndim else None,
        }
        values = values[finite]
        if not values.numel():
            return facts
        low, high = (bound.item() for bound in torch.aminmax(values))
    variance, mean = torch.var_mean(values, correction=0)
    facts |= {"minimum": low, "maximum": high, "mean": mean.item()}
    return facts | {"std": variance.sqrt().item()}


def _is_finite(value: float) -> bool:
    return value - value == 0


def _counts(tensor: torch.Tensor) -> dict[str, Any]:
    """Return how many distinct values there are, the ignored share, and small tensors whole."""
    import torch

    facts: dict[str, Any] = {}
    is_integer = not tensor.is_floating_point()
    is_scalar_a_sample = tensor.ndim >= 1 and tensor.numel() == tensor.shape[0]
    if (is_integer or is_scalar_a_sample) and tensor.numel() <= MOST_COUNTED:
        facts["num_distinct"] = _num_distinct(tensor)
    if is_integer and tensor.dtype is not torch.bool:
        whole = tensor.long() if tensor.itemsize > 1 else tensor  # uint16 has no argmin
        ignored = whole == IGNORED
        kept = whole.masked_fill(ignored, whole.max()) if ignored.any() else whole
        facts["share_ignored"] = ignored.float().mean().item()
        per_sample = max(1, tensor.numel() // tensor.shape[0]) if tensor.ndim else 1
        lowest = int(kept.argmin())
        facts["lowest"] = float(kept.flatten()[lowest])
        facts["sample_of_lowest"] = lowest // per_sample
        facts["sample_of_maximum"] = int(whole.argmax()) // per_sample
    if _may_be_padded(tensor):
        facts["edges"] = _edges(tensor)
    if is_scalar_a_sample and tensor.numel() <= MOST_VALUES:
        facts["values"] = tuple(float(value) for value in tensor.flatten().tolist())
    return facts


def _may_be_padded(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor (batch, time) can hold token ids, or a mask over them."""
    if tensor.ndim != 2 or tensor.shape[1] < 2 or tensor.numel() > MOST_COUNTED:
        return False
    return not tensor.is_floating_point() or bool(((tensor == 0) | (tensor == 1)).all())


def _edges(tensor: torch.Tensor) -> tuple[EdgeRow, ...]:
    """Return the commonest values that its rows begin or end with, repeated."""
    import torch

    rows = tensor.long()
    length = rows.shape[1]
    heads, tails = (_runs(side) for side in (rows, rows.flip(1)))  # each (batch,)
    first, last = rows[:, 0], rows[:, -1]
    repeated = torch.cat([first[heads > 1], last[tails > 1]])
    found = []
    for value, _ in Counter(repeated.tolist()).most_common(MOST_EDGES):
        runs = heads * (first == value) + tails * (last == value)
        runs = runs.clamp(max=length)  # a row of one value is both head and tail
        share = runs.sum().item() / rows.numel()
        of_all = (rows == value).float().mean().item()
        found.append(
            EdgeRow(
                value=value,
                share=share,
                share_elsewhere=max(0.0, of_all - share),
                longest_rest=length - int(runs.min()),
            )
        )
    return tuple(found)


def _runs(rows: torch.Tensor) -> torch.Tensor:
    """Return how many equal elements each row begins with, (batch, time) -> (batch,)."""
    return (rows == rows[:, :1]).long().cumprod(1).sum(1)


def _num_distinct(tensor: torch.Tensor) -> int:
    import torch

    flat = tensor.flatten()
    if not tensor.is_floating_point():
        flat = flat.long()
        low = int(flat.min())
        if int(flat.max()) - low < MOST_COUNTED:  # counting is linear where sorting is not
            return int(torch.count_nonzero(torch.bincount(flat - low)))
    return int(torch.unique(flat).numel())


def _digests(tensor: torch.Tensor) -> dict[str, Any]:
    """Digest a tensor whole and sample by sample, along its first axis."""
    import torch

    rows = tensor.reshape(tensor.shape[0], -1) if tensor.ndim else tensor.reshape(1, 1)
    size = tensor.numel() * tensor.element_size()
    if size > DIGEST_BYTES or tensor.device.type != "cpu":
        stride = max(1, tensor.numel() // SAMPLE_ELEMENTS)
        rows = rows[:, ::stride]
    octets = rows.contiguous().cpu().view(torch.uint8).numpy()
    header = f"{tensor.dtype}{tuple(tensor.shape)}".encode()
    return {
        "digest": _hash(header + octets.tobytes()),
        "sample_digests": tuple(_hash(row.tobytes()) for row in octets) if tensor.ndim else (),
    }


def _hash(octets: bytes) -> str:
    return hashlib.blake2b(octets, digest_size=8).hexdigest()
