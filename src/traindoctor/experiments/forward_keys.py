"""Which of a batch's keys does the forward take, and which of them matter to the loss?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.errors import words_of
from traindoctor.experiments.lab import Experiment, Lab, seed_everything
from traindoctor.experiments.loop import device_of
from traindoctor.instruments.anatomy import forward_signature
from traindoctor.target.batches import as_mapping, copy_batch, to_device
from traindoctor.target.calling import described_output, find_loss
from traindoctor.target.whole_batch import takes_whole
from traindoctor.trace import Trace

if TYPE_CHECKING:
    import torch

_UNEXPECTED = re.compile(r"unexpected keyword argument '([^']+)'")


@dataclass(frozen=True)
class ForwardKeys(Experiment):
    """The first batch passed again and again, a key taken away each time.

    Facts: `keys`; `rejected`: those that raise; `ignored`: those that the forward has no name
    for and without which the loss and every gradient are bit for bit the same; `left_out`: a key
    that the forward can do without and has to, because it raises on what is in it; `outputs`, what
    it returns for what it takes.
    """

    name: ClassVar[str] = "forward-keys"
    cost: ClassVar[int] = 3

    def run(self, lab: Lab) -> Trace:
        """Return the facts; no `keys` where the batch is not a mapping, or is passed whole."""
        import torch

        fetched = lab.batches(1)
        setup = lab.anatomy.facts
        if not fetched:
            return Trace(setup=setup)
        batch = as_mapping(to_device(copy_batch(fetched[0].batch), device_of(lab.setup)))
        if batch is None or takes_whole(lab.setup.model.forward, fetched[0].batch):
            return Trace(setup=setup, facts={"keys": ()})
        named, _ = forward_signature(lab.setup.model)
        facts: dict[str, Any] = {"keys": tuple(batch), "rejected": (), "ignored": ()}
        error, rejected = _rejected(lab, batch)
        facts |= {"rejected": tuple(rejected), "left_out": "", "outputs": ""}
        if error is not None:
            facts["left_out"] = _left_out(lab, batch, rejected)
        if error is None or facts["left_out"]:
            out = {*rejected, facts["left_out"]}
            kept = {key: value for key, value in batch.items() if key not in out}
            with torch.no_grad():
                facts["outputs"] = described_output(lab.setup.model(**copy_batch(kept)))
            whole = _outcome(lab, kept)
            facts["ignored"] = tuple(
                key
                for key in kept
                if key not in named
                and whole is not None
                and _same(whole, _outcome(lab, {k: v for k, v in kept.items() if k != key}))
            )
        return Trace(setup=setup, modules=lab.anatomy.modules, facts=facts)

    def measurements(self, trace: Trace) -> dict[str, Any]:
        """Return which keys are refused and which are ignored."""
        names = ("rejected", "ignored")
        return {"forward_keys": {name: list(trace.facts.get(name, ())) for name in names}}


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
            match = _UNEXPECTED.search(words_of(error))
            if match is None or match[1] not in left:
                return error, rejected
            rejected.append(match[1])
            del left[match[1]]
        except Exception as error:  # the forward's other troubles are another probe's
            return error, rejected
        else:
            return None, rejected


def _left_out(lab: Lab, batch: dict[str, Any], rejected: list[str]) -> str:
    """Return the one key without which the forward runs, or nothing."""
    named, _ = forward_signature(lab.setup.model)
    found = []
    for key in (key for key in batch if key in named):
        kept = {k: part for k, part in batch.items() if k != key and k not in rejected}
        if _rejected(lab, kept) == (None, []):
            found.append(key)
    return found[0] if len(found) == 1 else ""


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
