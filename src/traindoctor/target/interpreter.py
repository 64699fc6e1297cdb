"""The process-wide state that training code touches: random generators and settings."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["InterpreterState"]


@dataclass(frozen=True)
class InterpreterState:
    """Random generators of python, numpy and torch, and torch's global settings.

    Holds pairs of a setter and what it is to be given.
    """

    settings: tuple[tuple[Callable[[Any], Any], Any], ...]

    @classmethod
    def read(cls) -> InterpreterState:
        """Remember the state of this process."""
        return cls((*_generators(), *_torch_settings(), (_set_filters, list(warnings.filters))))

    def restore(self) -> None:
        """Set everything back."""
        for setter, value in self.settings:
            setter(value)


def _generators() -> list[tuple[Callable[[Any], Any], Any]]:
    import numpy as np
    import torch

    states: list[tuple[Callable[[Any], Any], Any]] = [
        (random.setstate, random.getstate()),
        (np.random.set_state, np.random.get_state()),
        (torch.set_rng_state, torch.get_rng_state()),
    ]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states.append((torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
    return states


def _torch_settings() -> list[tuple[Callable[[Any], Any], Any]]:
    import torch
    from torch.backends import cudnn

    return [
        (torch.set_grad_enabled, torch.is_grad_enabled()),
        (torch.set_default_dtype, torch.get_default_dtype()),
        (torch.set_num_threads, torch.get_num_threads()),
        (torch.set_float32_matmul_precision, torch.get_float32_matmul_precision()),
        (_set_deterministic, _deterministic()),
        (_set_anomaly, (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())),
        (lambda on: setattr(cudnn, "benchmark", on), cudnn.benchmark),
        (lambda on: setattr(cudnn, "deterministic", on), cudnn.deterministic),
    ]


def _deterministic() -> tuple[bool, bool]:
    import torch

    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_deterministic(state: tuple[bool, bool]) -> None:
    import torch

    torch.use_deterministic_algorithms(state[0], warn_only=state[1])


def _set_anomaly(state: tuple[bool, bool]) -> None:
    import torch

    torch.autograd.set_detect_anomaly(*state)


def _set_filters(filters: list[Any]) -> None:
    if list(warnings.filters) != filters:
        warnings.resetwarnings()  # tells the interpreter that its cache of filters is stale
        warnings.filters.extend(filters)  # type: ignore[attr-defined]  # typed as a Sequence
