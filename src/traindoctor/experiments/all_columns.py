"""Gives a `transformers.Trainer` the columns back that it drops: does its loss need them?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from traindoctor.errors import told
from traindoctor.experiments.lab import Experiment, Lab, seed_everything
from traindoctor.experiments.loop import as_training_begins, device_of
from traindoctor.target.batches import copy_batch, to_device
from traindoctor.trace import EvaluationRow, Trace


@dataclass(frozen=True)
class AllColumns(Experiment):
    """The first batch twice, collated from the same samples with and without the dropped columns.

    Facts: `columns` of the data set, and those `dropped`; empty where nothing is. Evaluations:
    `as it is`, `with all`, and `without <column>` of all; the value is the loss, NaN where user
    code raised, and the detail says what.
    """

    name: ClassVar[str] = "all-columns"
    cost: ClassVar[int] = 1

    def run(self, lab: Lab) -> Trace:
        """Return the facts and the losses."""
        trainer, setup = lab.setup.trainer, lab.anatomy.facts
        columns = _columns(trainer) if trainer is not None else ()
        kept = _kept(trainer) if columns else set()
        dropped = tuple(name for name in columns if name not in kept)
        facts = {"columns": columns, "dropped": dropped}
        if not dropped:
            return Trace(setup=setup, facts=facts)
        as_training_begins(lab)
        rows = [_evaluated(lab, "as it is", ())]
        with _keeping_all(trainer):
            rows.append(_evaluated(lab, "with all", ()))
            if not rows[-1].detail:
                rows += [_evaluated(lab, f"without {name}", (name,)) for name in dropped]
        return Trace(setup=setup, facts=facts, evaluations=tuple(rows))


def _columns(trainer: Any) -> tuple[str, ...]:
    """Return the data set's columns, where dropping them is on and its samples are dicts."""
    if not trainer.args.remove_unused_columns:
        return ()
    named = getattr(trainer.train_dataset, "column_names", None)
    if named is not None:
        return tuple(named)
    try:
        sample = next(iter(trainer.train_dataset))
    except Exception:  # the user's data set may raise anything: what it raises is told elsewhere
        return ()
    return tuple(sample) if isinstance(sample, dict) else ()


def _kept(trainer: Any) -> set[str]:
    trainer._set_signature_columns_if_needed()
    return set(trainer._signature_columns)


@contextmanager
def _keeping_all(trainer: Any) -> Iterator[None]:
    trainer.args.remove_unused_columns = False
    try:
        yield
    finally:
        trainer.args.remove_unused_columns = True


def _evaluated(lab: Lab, label: str, without: tuple[str, ...]) -> EvaluationRow:
    """Return the loss of the first batch, from one seed."""
    setup = lab.setup
    seed_everything()
    try:
        batch = next(iter(setup.trainer.get_train_dataloader()))
        if isinstance(batch, Mapping):
            batch = {key: part for key, part in batch.items() if key not in without}
        batch = to_device(copy_batch(batch), device_of(setup))
        seed_everything()
        model = setup.model.train()
        loss = setup.trainer.compute_loss(model, setup.trainer._prepare_inputs(batch))
        return EvaluationRow(label=label, value=float(loss.detach()))
    except Exception as error:  # user code may raise anything
        first = told(error).splitlines()[0]
        return EvaluationRow(label=label, value=math.nan, detail=first[:200])
