"""What the zoo keeps: small healthy setups, each built on demand and always the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Target = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Specimen:
    """One healthy setup on which traindoctor must stay silent.

    Attributes:
        name: unique among all specimens, a valid part of a test's id.
        family: what kind of training it is, such as `causal-lm` or `vision`.
        build: makes a fresh target, the same one at every call.
        slow: left to the full sweep.
        needs: modules beside torch and transformers without which it cannot be built.
    """

    name: str
    family: str
    build: Callable[[], Target]
    slow: bool = True
    needs: tuple[str, ...] = ()
