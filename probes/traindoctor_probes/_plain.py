"""Sets a network of none of the user's code beside a model that does not learn: is it the data?"""

from __future__ import annotations

from collections.abc import Sequence

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import PlainNetwork
from traindoctor.probing import Ask, Evidence, Series
from traindoctor.probing.wording import figure
from traindoctor.trace import Trace

NAMES = ("a plain network", "a plain network, labels permuted")


def plain_runs(ask: Ask) -> list[Trace]:
    """Return a run with the labels as they are and one with them permuted; none if it cannot be."""
    try:
        return [ask(PlainNetwork()), ask(PlainNetwork(permuted=True))]
    except ExperimentFailed:
        return []


def said_of_plain(runs: Sequence[Trace]) -> str:
    """Say whether the data can be learned, as a sentence that follows others."""
    if not runs:
        return ""
    facts, permuted = (run.facts["plain"] for run in runs)
    went = (
        f"a network of {facts['width']} units on the same inputs and labels, from "
        f"{figure(facts['start'])} to {figure(facts['end'])} in {facts['steps']} steps "
        f"(labels permuted: {figure(permuted['end'])} after {permuted['steps']})"
    )
    if facts["learned"]:
        return f" The data can be learned: {went}. What fails lies between inputs and loss."
    return f" The data may be at fault: not even {went}."


def plain_evidence(runs: Sequence[Trace]) -> list[Evidence]:
    """Return how far it came."""
    return [
        Evidence(f"end of the loss, {name}", run.facts["plain"]["end"])
        for name, run in zip(NAMES, runs, strict=False)
    ]


def plain_curves(runs: Sequence[Trace]) -> list[Series]:
    """Return its losses, as they are plotted."""
    return [
        Series(name, tuple(range(len(run.losses))), tuple(row.value for row in run.losses))
        for name, run in zip(NAMES, runs, strict=False)
    ]
