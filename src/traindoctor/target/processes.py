"""Which of several processes this one is, as torchrun tells it, and what it holds of a tensor."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """One process of several that were started together.

    Attributes:
        rank: among all.
        local_rank: among those of this machine, which meet.
        world_size: how many there are.
        local_world_size: how many of them are on this machine.
        meeting: tells one start of such processes from every other on this machine.
    """

    rank: int
    local_rank: int
    world_size: int
    local_world_size: int
    meeting: str


def this_rank(environment: Mapping[str, str] = os.environ) -> Rank | None:
    """Return which process this is, or None where it is alone or was started in another way."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    run = environment.get("TORCHELASTIC_RUN_ID")
    try:
        numbers = [int(environment[name]) for name in names]
    except (KeyError, ValueError):
        return None
    if run is None or numbers[2] < 2:
        return None
    start = (run, environment.get("MASTER_PORT", ""), environment.get("TORCHELASTIC_RESTART_COUNT"))
    # Without a name of its own a run is told by the process that started its ranks.
    parent = str(os.getppid()) if run == "none" else ""
    meeting = re.sub(r"[^\w.]+", "-", "-".join([*map(str, start), parent])).strip("-")
    rank, local_rank, world_size, local_world_size = numbers
    return Rank(
        rank=rank,
        local_rank=local_rank,
        world_size=world_size,
        local_world_size=local_world_size,
        meeting=meeting,
    )


def part_of(tensor: torch.Tensor) -> torch.Tensor:
    """Return what this process holds of a tensor: the tensor itself, unless it is a DTensor.

    To read the value of one that is spread over processes takes all of them: one that reads it
    alone waits for ever.
    """
    part: torch.Tensor = getattr(tensor, "_local_tensor", tensor)
    return part
