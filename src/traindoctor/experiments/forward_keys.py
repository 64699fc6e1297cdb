"""Which of a batch's keys does the forward take, and which of them matter to the loss?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab, seed_everything
from traindoctor.experiments.loop import device_of
from traindoctor.instruments.anatomy import forward_signature
from traindoctor.target.batches import copy_batch, to_device
from traindoctor.target.calling import find_loss
from traindoctor.trace import Trace

if TYPE_CHECKING:
    import torch

_UNEXPECTED = re.compile(r"unexpected keyword argument '([^']+)'")


@dataclass(frozen=True)
class ForwardKeys(Experiment):
    """The first batch passed again and again, a key taken away each time.

    Facts: `keys`; `rejected`: those that raise; `ignored`: those that the forward has no name
    for and without which the loss and every gradient are bit for bit the same.
    """

    name: ClassVar[str] = "forward-keys"
    cost: ClassVar[int] = 3

    def run(self, lab: Lab) -> Trace:
        """Return the facts; no `keys` where the batch is not a mapping."""
        fetched = lab.batches(1)
        setup = lab.anatomy.facts
        if not fetched:
            return Trace(setup=setup)
        batch = _mapping(to_device(copy_batch(fetched[0].batch), device_of(lab.setup)))
        if batch is None:
            return Trace(setup=setup, facts={"keys": ()})
        named, _ = forward_signature(lab.setup.model)
        facts: dict[str, Any] = {"keys": tuple(batch), "rejected": (), "ignored": ()}
        error, rejected = _rejected(lab, batch)
        facts["rejected"] = tuple(rejected)
        if error is None:
            kept = {key: value for key, value in batch.items() if key not in rejected}
            whole = _outcome(lab, kept)
            facts["ignored"] = tuple(
                key
                for key in kept
                if key not in named
                and whole is not None
                and _same(whole, _outcome(lab, {k: v for k, v in kept.items() if k != key}))
            )
        return Trace(setup=setup, modules=lab.anatomy.modules, facts=facts)


def _mapping(batch: Any) -> dict[str, Any] | None:
    if isinstance(batch, Mapping):
        return {str(key): value for key, value in batch.items()}
    if is_dataclass(batch) and not isinstance(batch, type):
        return dict(vars(batch))
    return None


def _rejected(lab: Lab, batch: dict[str, Any]) -> tuple[Exception | None, list[str]]:
    """Call the forward without each key that it refuses, until it refuses none."""
    import torch

    left = dict(batch)
    rejected: list[str] = []
    while True:
        try:
            with torch.no_grad():
                lab.setup.model(**copy_batch(left))
        except TypeError as error:
            match = _UNEXPECTED.search(str(error))
            if match is None or match[1] not in left:
                return error, rejected
            rejected.append(match[1])
            del left[match[1]]
        except Exception as error:  # the forward's other troubles are another probe's
            return error, rejected
        else:
            return None, rejected


def _outcome(lab: Lab, batch: dict[str, Any]) -> list[torch.Tensor] | None:
    """Return the loss and every gradient, from one seed; None where there is no such thing."""
    model = lab.setup.model
    model.zero_grad(set_to_none=True)
    seed_everything()
    try:
        loss, _ = find_loss(lab.setup, model(**copy_batch(batch)), batch)
        loss.backward()
    except Exception:  # whatever it is, this key cannot be called ignored
        return None
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return [loss.detach(), *(gradient.clone() for gradient in gradients)]


def _same(whole: list[torch.Tensor], without: list[torch.Tensor] | None) -> bool:
    import torch

    if without is None or len(whole) != len(without):
        return False
    return all(torch.equal(a, b) for a, b in zip(whole, without, strict=True))
