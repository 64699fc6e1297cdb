"""Short runs written by hand: the tables of a few steps, as the gradient probes read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traindoctor.trace import (
    BackwardRow,
    BatchRow,
    GradientRow,
    LossRow,
    ModuleRow,
    OptimizerRow,
    ParameterRow,
    Place,
    SetupRow,
    SourceRow,
    StepRow,
    Trace,
)

FILE = "/user/train.py"
USERS = OptimizerRow(index=0, class_name="AdamW", place=Place(FILE, 30, "setup", "optimizer = ..."))


def line(number: int, text: str = "") -> Place:
    """Return a line of the user's file."""
    return Place(FILE, number, "train_step", text)


def source(text: str) -> tuple[SourceRow, ...]:
    """Return the user's file as source."""
    return (SourceRow(file=FILE, text=text, is_factory=True),)


def parameter(name: str, **facts: Any) -> ParameterRow:
    """Return a trainable matrix that the user's optimizer holds."""
    given = {
        "module": name.rpartition(".")[0],
        "shape": (4, 4),
        "num_elements": 16,
        "num_optimizers": 1,
        "num_groups": 1,
    }
    return ParameterRow(name=name, **{**given, **facts})


def module(path: str, **facts: Any) -> ModuleRow:
    """Return a module that was called once a step."""
    given = {"class_name": "Linear", "num_calls": 6, "num_calls_training": 6, "order": 0}
    return ModuleRow(path=path, **{**given, **facts})


def gradients(name: str, rms: float | None, num_steps: int = 6, **facts: Any) -> list[GradientRow]:
    """Return the same gradient at every step; None where there is none."""
    given = {"is_none": rms is None, "rms": rms or 0.0, "share_zero": float(rms == 0)}
    return [
        GradientRow(step=step, parameter=name, **{**given, **facts}) for step in range(num_steps)
    ]


def run(
    *,
    parameters: Sequence[ParameterRow] = (),
    modules: Sequence[ModuleRow] = (),
    rows: Sequence[GradientRow] = (),
    step: dict[str, Any] | None = None,
    num_steps: int = 6,
    setup: dict[str, Any] | None = None,
    **tables: Any,
) -> Trace:
    """Return a short run of the user's own loop: a batch, a backward pass and a step each."""
    taken = {
        "num_gradients": 4,
        "num_held": 4,
        "num_changed": 4,
        "learning_rates": (1e-3,),
        "num_backwards": 1,
        "place": line(20, "optimizer.step()"),
    } | (step or {})
    given = {"trains_by_hand": True, "has_train_loop": True} | (setup or {})
    return Trace(
        **{
            "setup": SetupRow(**given),
            "parameters": tuple(parameters),
            "modules": tuple(modules),
            "optimizers": (USERS,),
            "batches": tuple(BatchRow(index=index) for index in range(6)),
            "losses": tuple(LossRow(step=index, batch=index, value=1.0) for index in range(6)),
            "backwards": tuple(
                BackwardRow(index=index, step=index, batch=index, loss=1.0, place=line(18))
                for index in range(6)
            ),
            "steps": tuple(
                StepRow(index=index, batch=index, **taken) for index in range(num_steps)
            ),
            "gradients": tuple(rows),
            **tables,
        }
    )
