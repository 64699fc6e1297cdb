"""Sets a batch beside what the model's forward takes: the `batch` view's table."""

from __future__ import annotations

from typing import Any

from traindoctor.target.setup import TARGET_NAMES
from traindoctor.trace import BatchRow, LeafRow, SetupRow


def contract(setup: SetupRow, batch: BatchRow) -> dict[str, Any]:
    """Return the keys of a batch with shape, kind and range, and who takes each."""
    tops = list(dict.fromkeys(leaf.key.partition(".")[0] for leaf in batch.leaves))
    keys = [_tensor(leaf, _taker(setup, batch, tops, leaf.key)) for leaf in batch.leaves]
    keys += [_other(key, _taker(setup, batch, tops, key)) for key in batch.other_keys]
    taken = {row["taken_by"] for row in keys}
    return {
        "class": batch.class_name,
        "size": batch.size,
        "model": setup.model_class,
        "keys": keys,
        "not_given": [name for name in setup.forward_parameters if name not in taken],
        "takes_anything": setup.forward_takes_kwargs,
    }


def _tensor(leaf: LeafRow, taker: str) -> dict[str, Any]:
    return {
        "key": leaf.key,
        "shape": list(leaf.shape),
        "dtype": leaf.dtype,
        "minimum": leaf.minimum,
        "maximum": leaf.maximum,
        "not_finite": leaf.num_nan + leaf.num_infinite,
        "taken_by": taker,
    }


def _other(key: str, taker: str) -> dict[str, Any]:
    return {
        "key": key,
        "shape": None,
        "dtype": "no tensor",
        "minimum": None,
        "maximum": None,
        "not_finite": 0,
        "taken_by": taker,
    }


def _taker(setup: SetupRow, batch: BatchRow, tops: list[str], key: str) -> str:
    """Name who takes a key: a parameter of the forward, `**kwargs`, the loss function, nobody."""
    top = key.partition(".")[0]
    by_hand = _own_code(setup)
    if batch.kind in ("mapping", "dataclass"):
        if top in setup.forward_parameters:
            return top
        if setup.has_loss_fn and top in TARGET_NAMES:
            return "the loss function"
        return by_hand or ("**kwargs" if setup.forward_takes_kwargs else "nobody")
    if by_hand:
        return by_hand
    position = tops.index(top) if top in tops else len(tops)
    if setup.has_loss_fn and position == len(tops) - 1 > 0:
        return "the loss function"
    names = setup.forward_parameters
    if setup.has_loss_fn and len(tops) == 2 and len(names) > 1 and key != top:
        inner = key.split(".")[1]  # of inputs that are passed one by one
        if inner in names:
            return inner
        position = int(inner) if inner.isdecimal() else len(names)
    return names[position] if position < len(names) else "nobody"


def _own_code(setup: SetupRow) -> str:
    """Name the user's code that the batch goes to before the model, if there is any."""
    if setup.kind == "Trainer":
        return f"{setup.trainer_class}.compute_loss" if setup.trainer_is_users else ""
    return "your own step" if setup.has_train_step or setup.has_train_loop else ""
