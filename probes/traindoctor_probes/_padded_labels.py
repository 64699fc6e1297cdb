"""Tells by what a loss function is given that labels at padding count in it."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass

from traindoctor.experiments import OneStep, ReadSource, ShortRun
from traindoctor.probing import Ask
from traindoctor.probing.syntax import at, setters
from traindoctor.trace import BatchRow, CriterionRow, Place, SourceRow
from traindoctor_probes._inverted_masks import entries
from traindoctor_probes._loaders import TARGET_NAMES, had
from traindoctor_probes.padding import name_of

FEWEST = 3  # batches
COUNTED = 0.05  # share of the labels that may stand at padding
NOWHERE = 1e-6  # of the positions: rounding


@dataclass(frozen=True, slots=True)
class Counted:
    """Labels at padding that a loss function counts."""

    row: CriterionRow
    share: float  # of the labels that count
    label: int
    place: Place  # where the labels are made


def counted_blanks(ask: Ask) -> Counted | None:
    """Return the blanks among the labels of a CTC loss, for which they can never stand."""
    step = had(ask, OneStep())
    found = [row for row in (step.criteria if step else ()) if row.share_blank >= COUNTED]
    if not found:
        return None
    row = max(found, key=lambda row: row.share_blank)
    return Counted(row, row.share_blank, row.blank or 0, made_at(ask(ReadSource()).source))


def counted_padding(ask: Ask) -> Counted | None:
    """Return the padding of an embedding that ends the labels of each batch that was seen.

    The loss tells as many classes apart as the embedding has rows, so that its labels are tokens.
    """
    step, run = had(ask, OneStep()), ask(ShortRun())
    tables = {
        int(row.attributes["padding_idx"]): row.attributes.get("num_embeddings")
        for row in run.modules
        if isinstance(row.attributes.get("padding_idx"), int)
        and row.attributes.get("num_embeddings")
    }
    for row in step.criteria if step else ():
        for pad, num_classes in tables.items():
            if row.function != "cross_entropy" or row.num_classes != num_classes:
                continue
            shares = [ending(batch, row, pad) for batch in run.batches]
            share = sum(shares) / max(len(shares), 1)
            is_seen = len(shares) >= FEWEST and all(shares) and share >= COUNTED
            if is_seen and row.share_ignored == 0:
                return Counted(row, share, pad, made_at(ask(ReadSource()).source))
    return None


def ending(batch: BatchRow, row: CriterionRow, pad: int) -> float:
    """Return the share of the labels that is padding at the rows' ends, and nowhere else."""
    per_row = math.prod(row.target_shape) // row.target_shape[0] if row.target_shape else 0
    for leaf in batch.leaves:
        is_target = name_of(leaf) in TARGET_NAMES and len(leaf.shape) == 2
        if not is_target or leaf.minimum is None or leaf.minimum < 0:
            continue
        is_flat = per_row == 1 and row.target_shape[0] % leaf.shape[0] == 0
        for edge in leaf.edges if is_flat or per_row > 1 else ():
            if edge.value == pad and edge.share_elsewhere < NOWHERE:
                return edge.share
    return 0.0


def made_at(source: Sequence[SourceRow]) -> Place:
    """Return the one line that makes what is put into a batch as its labels."""
    found: dict[Place, None] = {}
    for row in source:
        for key in TARGET_NAMES:
            for node in entries(row, key):
                place = at(row, node)
                lines = setters(source, place, node.id) if isinstance(node, ast.Name) else []
                found[lines[-1] if lines else place] = None
    return next(iter(found)) if len(found) == 1 else Place()
