"""How often samples of equal inputs have equal labels, and how often they would by chance."""

from __future__ import annotations

import random
from collections import Counter
from statistics import fmean, pstdev

NUM_SHUFFLES = 24


def agreements(samples: list[tuple[str, ...]], labels: list[float]) -> tuple[float, float, float]:
    """Return how many pairs of equal inputs agree in their label.

    As a share; with the mean and the standard deviation of that share with the labels shuffled.
    """
    generator = random.Random(0)
    shuffled = [
        agreement(samples, generator.sample(labels, len(labels))) for _ in range(NUM_SHUFFLES)
    ]
    return agreement(samples, labels), fmean(shuffled), pstdev(shuffled)


def agreement(samples: list[tuple[str, ...]], labels: list[float]) -> float:
    """Return the share of the pairs of samples of the same input that have the same label."""
    pairs = sum(n * (n - 1) for n in Counter(samples).values())
    alike = sum(n * (n - 1) for n in Counter(zip(samples, labels, strict=True)).values())
    return alike / pairs
