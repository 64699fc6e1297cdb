"""A batch with one thing changed: its labels, its inputs, its padding, its later tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traindoctor.experiments.padded import IGNORED, find_padding, find_tokens, is_integer, only
from traindoctor.target.batches import batch_size, leaves, map_tensors, split

if TYPE_CHECKING:
    import torch
    from torch import nn

NUM_MORE = 8  # positions of padding that are added to each row

PLAIN, AGAIN = "plain", "plain again"
LABELS_PERMUTED = "labels permuted"
LABELS_OF_ONE = "labels of one sample"
INPUTS_PERMUTED = "inputs permuted"
INPUTS_OF_ONE = "inputs of one sample"
DOUBLED = "every sample twice"
PAD_LABELS_CHANGED = "labels at padding changed"
PAD_UNLABELLED = "no labels at padding"
PAD_CHANGED = "no labels at padding, tokens there changed"
PAD_LONGER = "no labels at padding, more of it"
LATER_CHANGED = "later tokens changed"


@dataclass(frozen=True, slots=True)
class Change:
    """A batch with what was changed in it."""

    label: str
    batch: Any


class Changes:
    """What can be changed in a batch.

    Attributes:
        tokens: the token ids (batch, time) among its inputs, or None.
        later: from this position on the later tokens are changed.
        padding: `mask`, the key of the mask that tells of it, empty where the model's own padding
            token does; `tokens`, the key of the tokens; `share` of the positions; `value`, the
            token there, and `label`, the label there, where each is but one; `label_share`, the
            share of padding among the positions whose label counts; `is_inverted`, the mask keeps
            what is padding. None where nothing tells.
    """

    def __init__(self, batch: Any, model: nn.Module) -> None:
        self.batch = map_tensors(batch, lambda t: t.clone())
        inputs, targets = split(self.batch)
        self.targets = {id(tensor) for _, tensor in leaves(targets)}
        self.inputs = {id(t) for _, t in leaves(inputs)} - self.targets
        self.size = batch_size(batch)
        given = [(key, t) for key, t in self._leaves() if id(t) in self.inputs]
        self.tokens, self.token_key = find_tokens(given)
        self.later = self.tokens.shape[1] // 2 if self.tokens is not None else 0
        self.padded, self.mask_key = find_padding(self._leaves(), self.tokens, model)
        self.label = self._found_label()
        self.padding = self._described()

    @property
    def label_keys(self) -> list[str]:
        """The keys of the batch's targets."""
        return [key for key, tensor in self._leaves() if id(tensor) in self.targets]

    @property
    def labels(self) -> list[torch.Tensor]:
        """The batch's targets."""
        return [tensor for _, tensor in self._leaves() if id(tensor) in self.targets]

    def made(self) -> Iterator[Change]:
        """Yield every change that can be made."""
        yield from self._of_samples()
        yield from self._of_tokens()

    def _of_samples(self) -> Iterator[Change]:
        import torch

        size = self.size
        if size is None or size < 2 or any(t.ndim and len(t) != size for _, t in self._leaves()):
            return
        order = torch.randperm(size, generator=torch.Generator().manual_seed(1))
        yield Change(DOUBLED, self._changed(None, lambda t: torch.cat([t, t]) if t.ndim else t))
        if self._differ(self.targets, order) and self._differ(self.inputs, order):
            for labels, inputs, change in (
                (LABELS_PERMUTED, INPUTS_PERMUTED, lambda t: t[order] if t.ndim else t),
                (LABELS_OF_ONE, INPUTS_OF_ONE, lambda t: t[:1].expand_as(t).clone()),
            ):
                yield Change(labels, self._changed(self.targets, change))
                yield Change(inputs, self._changed(self.inputs, change))

    def _of_tokens(self) -> Iterator[Change]:
        tokens, padded, label = self.tokens, self.padded, self.label
        if tokens is None:
            return
        changed = tokens.clone()
        changed[:, self.later :] = _others(tokens)[:, self.later :]
        yield Change(LATER_CHANGED, self._with({id(tokens): changed}))
        if padded is None:
            return
        if label is not None:
            other = label.clone()
            other[padded & (label != IGNORED)] = _another(label, padded)
            yield Change(PAD_LABELS_CHANGED, self._with({id(label): other}))
        unlabelled = {}
        if label is not None and self.padding and not self.padding["is_inverted"]:
            unlabelled = {id(label): label.masked_fill(padded, IGNORED)}
        yield Change(PAD_UNLABELLED, self._with(unlabelled))
        kept, filled = tokens[~padded], tokens.clone()
        there = padded & ~padded.all(1, keepdim=True)  # what keeps nothing has to look somewhere
        filled[there] = kept[: int(there.sum())] if len(kept) >= there.sum() else kept[0]
        yield Change(PAD_CHANGED, self._with({**unlabelled, id(tokens): filled}))
        if only(tokens[padded]) is not None:
            yield Change(PAD_LONGER, self._longer(tokens, padded))

    def _longer(self, tokens: torch.Tensor, padded: torch.Tensor) -> Any:
        """Return the batch with more padding at the end of the rows that has some already."""
        import torch

        at_end = bool(padded[:, -1].any())
        mask = next((t for key, t in self._leaves() if key == self.mask_key), None)
        fill = {id(tokens): tokens[padded][0]}
        if self.label is not None:
            fill[id(self.label)] = torch.tensor(IGNORED)
        if mask is not None:
            fill[id(mask)] = mask[padded][0]

        def longer(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.ndim < 2 or tensor.shape[:2] != tokens.shape:
                return tensor
            edge = tensor[:, -1:] if at_end else tensor[:, :1]
            more = edge.expand(-1, NUM_MORE, *tensor.shape[2:]).clone()
            if id(tensor) in fill:
                more[:] = fill[id(tensor)]
            if id(tensor) == id(self.label):
                tensor = tensor.masked_fill(padded, IGNORED)
            return torch.cat([tensor, more] if at_end else [more, tensor], dim=1)

        return map_tensors(self.batch, longer)

    def _leaves(self) -> list[tuple[str, torch.Tensor]]:
        return list(leaves(self.batch))

    def _changed(self, chosen: set[int] | None, change: Callable[[Any], Any]) -> Any:
        return map_tensors(
            self.batch, lambda t: change(t) if chosen is None or id(t) in chosen else t
        )

    def _with(self, others: dict[int, torch.Tensor]) -> Any:
        return map_tensors(self.batch, lambda t: others.get(id(t), t))

    def _differ(self, chosen: set[int], order: torch.Tensor) -> bool:
        """Tell whether some of the tensors change with the order, and with one sample for all."""
        found = [t for _, t in self._leaves() if id(t) in chosen and t.ndim]
        return any(bool((t[order] != t).any() and (t[:1] != t).any()) for t in found)

    def _found_label(self) -> torch.Tensor | None:
        """Return the labels (batch, time) that padding has a part in."""
        padded = self.padded
        for _, tensor in self._leaves():
            is_label = id(tensor) in self.targets and is_integer(tensor)
            if padded is not None and is_label and tensor.shape == padded.shape:
                return tensor
        return None

    def _described(self) -> dict[str, Any] | None:
        tokens, padded, label = self.tokens, self.padded, self.label
        if tokens is None or padded is None:
            return None
        facts = {
            "mask": self.mask_key,
            "tokens": self.token_key,
            "share": float(padded.float().mean()),
            "value": only(tokens[padded]),
            # A mask the wrong way round keeps one and the same token, and drops the others.
            "is_inverted": only(tokens[~padded]) is not None and only(tokens[padded]) is None,
            "label": None,
            "label_share": 0.0,
        }
        if label is not None:
            counted = label != IGNORED
            facts["label"] = only(label[padded])
            facts["label_share"] = int((counted & padded).sum()) / max(int(counted.sum()), 1)
        return facts


def _others(tokens: torch.Tensor) -> torch.Tensor:
    """Return tokens of the batch in place of others, every one another where that can be."""
    import torch

    known = torch.unique(tokens)
    place = torch.searchsorted(known, tokens)
    others: torch.Tensor = known[(place + max(1, len(known) // 2)) % len(known)]
    return others


def _another(label: torch.Tensor, padded: torch.Tensor) -> int:
    """Return a label of the batch that does not stand at padding."""
    import torch

    there = only(label[padded])
    known = torch.unique(label[label != IGNORED])
    return int(next((value for value in known if value != there), known[0]))
