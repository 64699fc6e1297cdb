"""Traces of a batch with one thing changed, written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.probes.asking import SETUP

from traindoctor.trace import EvaluationRow, OptimizerRow, Place, Trace

LOSS_LINE = Place("/user/train.py", 20, "loss_fn", "return F.cross_entropy(logits, labels)")


def changed(
    losses: Mapping[str, float],
    *,
    same: tuple[str, ...] = (),
    optimizer: str = "AdamW",
    again: float | None = None,
    **facts: Any,
) -> Trace:
    """Return losses by what was changed; the plain one is 2. `same` leave the gradients alone."""
    rows = {"plain": 2.0, "plain again": 2.0 if again is None else again, **losses}
    given = {
        "same_gradients": ("plain", *same),
        "gradient_norm": 0.5,
        "padding": None,
        "sight": None,
        "label_uses": (),
        "label_keys": ("labels",),
        "wants_labels": "",
        "loss_place": LOSS_LINE,
    }
    return Trace(
        setup=SETUP,
        optimizers=(OptimizerRow(index=0, class_name=optimizer),),
        evaluations=tuple(EvaluationRow(label=k, value=value) for k, value in rows.items()),
        facts=given | facts,
    )
