"""What the loss function's input at each position sees of the tokens that come later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traindoctor.experiments.changes import AGAIN, LATER_CHANGED
from traindoctor.experiments.padded import IGNORED
from traindoctor.instruments.given import BY_CLASS
from traindoctor.instruments.recorder import here
from traindoctor.trace import Place

if TYPE_CHECKING:
    import torch

OFFSETS = (0, 1, 2)
LEAST_POSITIONS = 32


class Sight:
    """Compares the logits of a batch of token ids with those of one whose later tokens differ.

    Only a cross entropy over one target a token is looked at.
    """

    def __init__(self) -> None:
        self.tokens: torch.Tensor | None = None
        self.later = 0
        self.place = Place()
        self.seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def begin(self, tokens: torch.Tensor | None, later: int) -> None:
        """Say what the token ids are (batch, time), and from where on they will be changed."""
        self.tokens, self.later = tokens, later

    @contextmanager
    def watching(self, label: str) -> Iterator[None]:
        """See the cross entropy of the largest target while inside."""
        from torch.overrides import TorchFunctionMode

        sight = self

        class Watching(TorchFunctionMode):
            def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]  # as torch has it
                if getattr(func, "__name__", "") in BY_CLASS:
                    sight._note(label, *args[:2], **(kwargs or {}))
                return func(*args, **(kwargs or {}))

        with Watching():
            yield

    def _note(self, label: str, input: Any, target: Any, **_: Any) -> None:
        known = self.seen.get(label)
        self.place = self.place or here()
        is_by_token = target.ndim in (1, 2) and not target.is_floating_point()
        if is_by_token and (known is None or target.numel() > known[1].numel()):
            self.seen[label] = input.detach().float().clone(), target.detach().clone()

    def facts(self) -> dict[str, Any] | None:
        """Return what was found; None where the loss is none of one target a token.

        `offsets`: by how many positions the targets are ahead of the tokens, and the share of the
        targets for which that is so. `seen_later`: how far the logits before the later tokens
        move when these are changed, relative to their spread; `num_positions`, those compared.
        `seen_own`: how far the logits at the first changed token move; a model that puts something
        before its tokens does not see it there.
        """
        tokens, plain, changed = self.tokens, self.seen.get(AGAIN), self.seen.get(LATER_CHANGED)
        if tokens is None or plain is None:
            return None
        size, length = tokens.shape
        target = _by_row(plain[1], size)
        if target is None or not 0 <= length - target.shape[1] <= max(OFFSETS):
            return None
        counts = target != IGNORED
        if int(counts.sum()) < LEAST_POSITIONS:
            return None
        offsets = {str(k): _agreement(tokens, target, counts, k) for k in OFFSETS}
        facts: dict[str, Any] = {"offsets": offsets, "seen_later": None, "num_positions": 0}
        facts["seen_own"] = None
        one = _logits(plain[0], target)
        other = _logits(changed[0], target) if changed else None
        if one is not None and other is not None and one.shape == other.shape:
            before = counts[:, : self.later]
            spread = float(one.std())
            moved = (one - other)[:, : self.later][before]
            facts["num_positions"] = int(before.sum())
            if spread > 0 and moved.numel():
                facts["seen_later"] = float(moved.square().mean().sqrt()) / spread
            own = (one - other)[:, self.later : self.later + 1]
            if spread > 0 and own.numel():
                facts["seen_own"] = float(own.square().mean().sqrt()) / spread
        return facts


def _by_row(target: torch.Tensor, size: int) -> torch.Tensor | None:
    """Return targets as (batch, time)."""
    if target.ndim == 2:
        return target if len(target) == size else None
    return target.view(size, -1) if target.numel() and target.numel() % size == 0 else None


def _logits(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor | None:
    """Return logits as (batch, time, classes)."""
    if logits.ndim == 3:
        return logits.transpose(1, 2) if logits.shape[2] == target.shape[1] else None
    is_flat = logits.ndim == 2 and len(logits) == target.numel()
    return logits.view(*target.shape, -1) if is_flat else None


def _agreement(
    tokens: torch.Tensor, target: torch.Tensor, counts: torch.Tensor, offset: int
) -> float:
    """Return the share of targets that are the token so many positions on."""
    width = min(target.shape[1], tokens.shape[1] - offset)
    kept = counts[:, :width]
    same = target[:, :width] == tokens[:, offset : offset + width]
    return float(same[kept].float().mean()) if bool(kept.any()) else 0.0
