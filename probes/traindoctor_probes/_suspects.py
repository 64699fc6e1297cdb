"""What of a setup may keep a batch from being learned: read off a short run, likely ones first."""

from __future__ import annotations

import ast
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from traindoctor.probing.syntax import calls
from traindoctor.probing.values import freezing_line, keyword_places
from traindoctor.probing.wording import figure, grouped
from traindoctor.trace import ParameterRow, Place, SourceRow, Trace

LOW = ("float16", "bfloat16")
A_LOT = 0.02  # of the weights, shrunk away at each step
DROPOUTS = ("p", "dropout", "attention_dropout", "drop_prob", "dropout_p")


@dataclass(frozen=True, slots=True)
class Suspect:
    """Something that can be taken away.

    Attributes:
        change: what `OverfitBatch.without` calls it.
        what: the same with its measure.
        strength: from 0, hardly to be blamed, to 1.
        places: where the user's code asks for it.
        rules: codes of the rules that report it by itself.
    """

    change: str
    what: str
    strength: float
    places: tuple[Place, ...] = ()
    rules: tuple[str, ...] = ()


def suspects(run: Trace, source: Sequence[SourceRow]) -> list[Suspect]:
    """Return what a short run shows of each, the most suspicious first."""
    found = (
        *_dropout(run, source),
        *_clipping(run, source),
        *_decay(run),
        *_omission(run),
        *_freezing(run, source),
        *_precision(run, source),
        *_autocast(run),
        *_scaler(run),
    )
    return sorted(found, key=lambda suspect: -suspect.strength)


def _dropout(run: Trace, source: Sequence[SourceRow]) -> Iterator[Suspect]:
    by_module = [
        (float(value), row.place)
        for row in run.modules
        for name, value in row.attributes.items()
        if name in DROPOUTS and isinstance(value, float) and 0 < value < 1
    ]
    called = [
        (_probability(call), place)
        for place, call in calls(source, "dropout", "dropout2d", "alpha_dropout")
        if not ast.unparse(call.func).startswith("self.")
    ]
    strongest, place = max([*by_module, *called], key=lambda one: one[0], default=(0.0, Place()))
    if strongest > 0:
        rate = figure(strongest)
        yield Suspect("dropout", f"dropout of {rate}", strongest, (place,))


def _probability(call: ast.Call) -> float:
    """Return the constant probability that a call of `F.dropout` is given; 0.5 if it has none."""
    given = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "p")]
    constants = [node.value for node in given if isinstance(node, ast.Constant)]
    return float(next((v for v in constants if isinstance(v, int | float)), 0.5))


def _clipping(run: Trace, source: Sequence[SourceRow]) -> Iterator[Suspect]:
    for row in run.clips:
        pairs = zip(row.norms, row.limits, strict=False)
        left = [min(1.0, limit / norm) for norm, limit in pairs if norm > 0 and limit < math.inf]
        limit = min(row.limits, default=math.inf)
        coefficient = statistics.median(left) if left else 1.0
        if coefficient < 1 or row.kind == "value":
            declared = keyword_places(source, "max_grad_norm")
            yield Suspect(
                "clipping",
                f"gradients clipped to {figure(limit)}",
                1 - coefficient,
                (row.place, *declared),
                ("TD210", "TD211"),
            )


def _decay(run: Trace) -> Iterator[Suspect]:
    for row in run.optimizers:
        decay, rate = max(row.weight_decays, default=0.0), max(row.learning_rates, default=0.0)
        if decay <= 0:
            continue
        strength = min(1.0, decay * rate / A_LOT)
        yield Suspect(
            "weight decay", f"weight decay of {figure(decay)}", strength, (row.place,), ("TD412",)
        )


def _omission(run: Trace) -> Iterator[Suspect]:
    trainable = [row for row in run.parameters if row.requires_grad and row.in_model]
    outside = [row for row in trainable if not row.num_optimizers]
    if outside:
        yield Suspect(
            "leaving parameters out",
            f"{grouped(row.name for row in outside)} in no optimizer",
            _share(outside, trainable),
            tuple(row.place for row in run.optimizers),
            ("TD401", "TD402"),
        )


def _freezing(run: Trace, source: Sequence[SourceRow]) -> Iterator[Suspect]:
    own = [row for row in run.parameters if row.in_model]
    frozen = [row for row in own if not row.requires_grad]
    if frozen:
        yield Suspect(
            "freezing",
            f"{grouped(row.name for row in frozen)} frozen",
            _share(frozen, own),
            (freezing_line(source),),
            ("TD212", "TD216"),
        )


def _precision(run: Trace, source: Sequence[SourceRow]) -> Iterator[Suspect]:
    low = [row for row in run.parameters if row.dtype in LOW and row.requires_grad]
    if low:
        cast = [place for place, _ in calls(source, "half", "bfloat16")]
        yield Suspect(
            "low precision", f"weights in {low[0].dtype}", 1.0, tuple(cast), ("TD413", "TD711")
        )


def _autocast(run: Trace) -> Iterator[Suspect]:
    for row in run.autocasts:
        if row.is_on and row.num_low:
            yield Suspect("autocast", f"autocast to {row.dtype}", 0.2, (row.place,), ("TD711",))


def _scaler(run: Trace) -> Iterator[Suspect]:
    if run.setup.has_scaler:
        yield Suspect("the scaler", "a gradient scaler", 0.2, (), ("TD414",))


def _share(some: Sequence[ParameterRow], of: Sequence[ParameterRow]) -> float:
    return sum(row.num_elements for row in some) / max(sum(row.num_elements for row in of), 1)
