"""Looks at batches as the loader gives them, without the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import loader_exception
from traindoctor.target.looking import attribute, length
from traindoctor.trace import Trace


@dataclass(frozen=True)
class ReadBatches(Experiment):
    """The first batches described: shapes, ranges, digests, label counts.

    Ends early after `max_seconds`, so that a slow loader is not waited for.
    """

    num_batches: int = 16
    max_seconds: float = 5.0

    name: ClassVar[str] = "read-batches"
    cost: ClassVar[int] = 1

    def run(self, lab: Lab) -> Trace:
        """Return batches, and what the loader says of itself."""
        from traindoctor.target.batches import describe

        rows, start = [], lab.clock()
        for number in range(1, self.num_batches + 1):
            fetched = lab.batches(number)
            if len(fetched) < number:
                break
            last = fetched[-1]
            rows.append(describe(last.batch, last.index, 0, last.seconds))
            lab.on_progress(number, self.num_batches, "batches read")
            if lab.clock() - start > self.max_seconds:
                break
        raised = loader_exception(lab)
        return Trace(
            setup=lab.anatomy.facts,
            modules=lab.anatomy.modules,
            parameters=lab.anatomy.parameters,
            batches=tuple(rows),
            exceptions=(raised,) if raised else (),
            facts=loader_facts(lab.setup.loader)
            | {"ended": len(lab.batches(len(rows) + 1)) <= len(rows)},
        )

    def measurements(self, trace: Trace) -> dict[str, Any]:
        """Return what the report says of the data."""
        from traindoctor.experiments.contract import contract

        first = trace.batches[0] if trace.batches else None
        return {
            "data": {
                "batches": trace.setup.num_batches,
                "batch_size": first.size if first else None,
                "samples": trace.facts.get("num_samples"),
                "fetch_seconds": sum(row.fetch_seconds for row in trace.batches),
                "batches_read": len(trace.batches),
            },
            "contract": contract(trace.setup, first) if first else None,
        }


def loader_facts(loader: Any) -> dict[str, Any]:
    """Return what a loader says of itself; a key is absent where it says nothing."""
    facts: dict[str, Any] = {"loader_class": type(loader).__name__}
    for fact, name in (("batch_size", "batch_size"), ("drop_last", "drop_last")):
        value = attribute(loader, name)
        if isinstance(value, int | bool):
            facts[fact] = value
    for fact, held in (("num_samples", "dataset"), ("num_sampled", "sampler")):
        number = length(attribute(loader, held))
        if number is not None:
            facts[fact] = number
    return facts
