"""Every specimen of the zoo."""

from __future__ import annotations

from importlib.util import find_spec

from tests.zoo import audio, dense_vision, multimodal, reading, series, vision, writing
from tests.zoo.plain import feedforward, generative, recipes, selfsupervised, sequences
from tests.zoo.specimen import Specimen

SPECIMENS: tuple[Specimen, ...] = (
    feedforward.SPECIMENS
    + sequences.SPECIMENS
    + generative.SPECIMENS
    + selfsupervised.SPECIMENS
    + recipes.SPECIMENS
    + writing.SPECIMENS
    + reading.SPECIMENS
    + vision.SPECIMENS
    + dense_vision.SPECIMENS
    + audio.SPECIMENS
    + multimodal.SPECIMENS
    + series.SPECIMENS
)


def named(name: str) -> Specimen:
    """Return the specimen of that name.

    Raises:
        KeyError: there is none.
    """
    return {specimen.name: specimen for specimen in SPECIMENS}[name]


def missing(specimen: Specimen) -> tuple[str, ...]:
    """Return the modules that a specimen needs and that are not installed."""
    return tuple(module for module in specimen.needs if find_spec(module) is None)
