"""A Lightning module with its data as a setup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traindoctor.errors import TargetError
from traindoctor.target.setup import TrainingSetup

__all__ = ["adapt", "is_module"]


def _is_a(thing: object, name: str) -> bool:
    """Tell a Lightning object by the names of its classes, so that nothing need be imported."""
    return any(
        kind.__name__ == name
        and kind.__module__.split(".")[0] in ("lightning", "pytorch_lightning")
        for kind in type(thing).__mro__
    )


def is_module(thing: object) -> bool:
    """Tell whether something is a LightningModule."""
    return _is_a(thing, "LightningModule")


def adapt(module: Any, data: Any, others: Mapping[str, Any]) -> TrainingSetup:
    """Assemble a setup; `others` are parts that the user gave by name and that win."""
    raise TargetError("Lightning modules are not supported yet")
