"""Reads a few samples from all over a data set with indices, in the order of their indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.target.batches import describe
from traindoctor.target.loaders import as_dataloader
from traindoctor.trace import Trace


@dataclass(frozen=True)
class SpreadSamples(Experiment):
    """`num_samples` of the data set, spread evenly over it, collated as the loader would.

    Empty where there is no such data set, or a sample cannot be had.
    """

    num_samples: int = 96
    max_seconds: float = 3.0

    name: ClassVar[str] = "spread-samples"
    cost: ClassVar[int] = 4

    def run(self, lab: Lab) -> Trace:
        """Return batches of one sample each; `facts["num_samples"]` is the data set's length."""
        loader: Any = as_dataloader(lab.setup.loader)
        facts = lab.anatomy.facts
        if loader is None:
            return Trace(setup=facts)
        rows, start = [], lab.clock()
        try:
            dataset, length = loader.dataset, len(loader.dataset)
            number = min(self.num_samples, length)
            for index in range(number):
                sample = dataset[index * length // number]
                rows.append(describe(loader.collate_fn([sample]), index))
                if lab.clock() - start > self.max_seconds:
                    return Trace(setup=facts)  # the first part of it says nothing
        except Exception:  # the user's code may raise anything; nothing is known then
            return Trace(setup=facts)
        return Trace(setup=facts, batches=tuple(rows), facts={"num_samples": length})
