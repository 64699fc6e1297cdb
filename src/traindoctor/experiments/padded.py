"""Where a batch of token ids is padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

KEEPS = ("attention_mask", "decoder_attention_mask", "encoder_attention_mask", "input_mask")
DROPS = ("padding_mask", "pad_mask", "key_padding_mask", "src_key_padding_mask")
NO_TOKENS = ("position_ids", "token_type_ids")
IGNORED = -100  # torch's default ignore_index
LEAST_PADDED = 4  # positions


def find_tokens(inputs: Sequence[tuple[str, torch.Tensor]]) -> tuple[torch.Tensor | None, str]:
    """Return the token ids with their key: the only integers (batch, time) that are no mask."""
    found = [
        (tensor, key)
        for key, tensor in inputs
        if is_integer(tensor)
        and tensor.ndim == 2
        and tensor.shape[1] >= LEAST_PADDED
        and tensor.numel()
        and int(tensor.max()) > 1
        and not key.endswith(NO_TOKENS)
    ]
    named = [each for each in found if each[1].rpartition(".")[2] == "input_ids"]
    chosen = named or found
    return chosen[0] if len(chosen) == 1 else (None, "")


def find_padding(
    leaves: Sequence[tuple[str, torch.Tensor]], tokens: torch.Tensor | None, model: nn.Module
) -> tuple[torch.Tensor | None, str]:
    """Return where padding is (batch, time), and the key of the mask that says so.

    Without a mask the model's own padding token tells, and the key is empty.
    """
    if tokens is None:
        return None, ""
    for key, mask in leaves:
        name = key.rpartition(".")[2]
        if mask.shape == tokens.shape and name in (*KEEPS, *DROPS):
            padded = mask == 0 if name in KEEPS else mask != 0
            return (padded, key) if _is_padding(padded) else (None, "")
    value = _padding_token(model)
    if value is None:
        return None, ""
    padded = tokens.eq(value)
    return (padded if _is_padding(padded) else None), ""


def _is_padding(padded: torch.Tensor) -> bool:
    return LEAST_PADDED <= int(padded.sum()) < padded.numel() and _is_at_ends(padded)


def is_integer(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor can hold token ids or labels."""
    import torch

    return tensor.dtype in (torch.int64, torch.int32)


def _is_at_ends(padded: torch.Tensor) -> bool:
    """Tell whether what is left out stands at the rows' ends, (batch, time)."""
    kept = ~padded
    before, after = (side.long().cumsum(1) > 0 for side in (kept, kept.flip(1)))
    return bool(((before & after.flip(1)) == kept).all())


def _padding_token(model: nn.Module) -> int | None:
    """Return the token that the model's configuration or its only embedding calls padding."""
    named = getattr(getattr(model, "config", None), "pad_token_id", None)
    found = {getattr(module, "padding_idx", None) for module in model.modules()} - {None}
    chosen = {named} if isinstance(named, int) else found
    return chosen.pop() if len(chosen) == 1 else None


def only(values: torch.Tensor) -> int | None:
    """Return the value if there is but one."""
    return int(values[0]) if len(values) and bool((values == values[0]).all()) else None
