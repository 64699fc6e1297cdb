"""What does each term of a loss that is a sum pull with, at the start and some steps later?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import Loop, as_training_begins, finished, instruments
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.backward import before_each
from traindoctor.instruments.finite import node_place
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.terms import largest_beside, term_gradients, terms_of
from traindoctor.target.batches import copy_batch
from traindoctor.target.history import lines_kept
from traindoctor.trace import TermRow, Trace

MEASURED = (0, 4, 8, 12)  # backward passes


@dataclass(frozen=True)
class LossTerms(Experiment):
    """Training steps, at some of which each term of the loss is differentiated by itself.

    It ends early where no term is drowned by another, as `least_share` says.

    Attributes:
        least_share: of the norm of two terms' gradients; one below it is drowned.
    """

    least_share: float = 0.01

    name: ClassVar[str] = "loss-terms"
    cost: ClassVar[int] = 30

    def run(self, lab: Lab) -> Trace:
        """Return the terms at each pass that was measured."""
        import torch

        recorder, rows = Recorder(clock=lab.clock), list[TermRow]()
        differentiate = torch.autograd.grad
        as_training_begins(lab)

        def measure(loss: Any) -> None:
            number = len(recorder.backwards)
            if number in MEASURED and loss.numel() == 1 and not self._is_settled(rows):
                rows.extend(_rows(loss, number, lab.anatomy.trainable, differentiate))

        def batches() -> Iterator[Any]:
            for count in range(MEASURED[-1] + 1):
                fetched = lab.batches(count + 1)[count:]
                if not fetched or (self._is_settled(rows) and recorder.backwards):
                    return
                yield fetched[0]

        with instruments(lab, recorder, detail=False), lines_kept(), before_each(measure):
            if lab.setup.train_loop is not None and lab.setup.train_step is None:
                served = (copy_batch(item.batch) for item in batches())
                run_user_loop(lab, recorder, MEASURED[-1] + 1, instead=served)
            else:
                Loop(lab.setup, lab.optimizers(), recorder).run(batches())
        return replace(finished(lab, recorder), terms=tuple(rows))

    def _is_settled(self, rows: list[TermRow]) -> bool:
        """Tell that no term was below the least share at every pass so far."""
        by_term: dict[int, list[TermRow]] = {}
        for row in rows:
            by_term.setdefault(row.term, []).append(row)
        return bool(rows) and not any(
            all(share(row) < self.least_share for row in own) for own in by_term.values()
        )


def share(row: TermRow) -> float:
    """Return a term's part of the norms of its gradient and of the largest beside it."""
    whole = row.gradient_norm + row.largest_norm
    return row.gradient_norm / whole if whole and math.isfinite(whole) else 1.0


def _rows(loss: Any, backward: int, parameters: Any, differentiate: Any) -> list[TermRow]:
    terms = terms_of(loss.grad_fn)
    if len(terms) < 2:
        return []
    try:
        sizes = term_gradients(loss, terms, parameters, differentiate)
    except RuntimeError:  # re-entrant checkpoints, and second derivatives that there are not
        return []
    rows = []
    for number, term in enumerate(terms):
        largest, largest_norm = largest_beside(sizes, number)
        rows.append(
            TermRow(
                backward=backward,
                term=number,
                operation=term.operation,
                is_supervised=term.is_supervised,
                weight=term.weight,
                gradient_norm=math.hypot(*sizes[number]),
                largest=largest,
                largest_norm=largest_norm,
                place=node_place(term.made_by) or node_place(term.node),
            )
        )
    return rows
