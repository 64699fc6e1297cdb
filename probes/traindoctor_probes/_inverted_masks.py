"""Tells by the tokens alone that a mask keeps the padding: for runs that are only watched."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from traindoctor.experiments import OneStep, ShortRun
from traindoctor.probing import Ask
from traindoctor.probing.syntax import at, subtrees
from traindoctor.trace import BatchRow, ModuleRow, Place, SourceRow
from traindoctor_probes.padding import EQUAL, HOLES, KEEPS, is_tokens, name_of

FEWEST = 3  # batches
HALF = 0.02  # of the positions: where as many are padding as are not, nothing is told


def kept_padding(ask: Ask) -> tuple[str, list[float]] | None:
    """Return a mask's key and the shares of the batches' positions that it leaves out.

    None unless a library's model was called with it, and its ones stand, batch after batch, where
    the tokens are the padding of one of the model's embeddings.
    """
    model = next((row for row in ask(OneStep()).modules if row.path == ""), ModuleRow(path=""))
    if model.is_users:
        return None
    run = ask(ShortRun())
    pads = {row.attributes.get("padding_idx") for row in run.modules} - {None}
    for key in [key for key in KEEPS if key in model.keywords]:
        shares = [share for batch in run.batches if (share := padding_kept(batch, key, pads))]
        seen = [share for share in shares if abs(share - 0.5) > HALF]
        if len(seen) >= FEWEST and len(shares) == len(run.batches):
            return key, [1 - share for share in shares]
    return None


def padding_kept(batch: BatchRow, key: str, pads: set[object]) -> float | None:
    """Return the share of a batch that is padding, if a mask is one there and nowhere else."""
    masks = [leaf for leaf in batch.leaves if name_of(leaf) == key]
    for mask in masks:
        ones = next((edge for edge in mask.edges if edge.value == 1), None)
        if ones is None or ones.share_elsewhere > EQUAL or mask.minimum != 0 or mask.maximum != 1:
            continue
        for tokens in filter(is_tokens, batch.leaves):
            if tokens.shape == mask.shape and any(
                edge.value in pads
                and abs(edge.share - ones.share) <= EQUAL
                and edge.share_elsewhere <= HOLES
                for edge in tokens.edges
            ):
                return ones.share
    return None


def written_at(source: Sequence[SourceRow], key: str) -> Place:
    """Return the one line that puts a tensor into a batch under its key, if there is but one."""
    found = {at(row, node) for row in source for node in entries(row, key)}
    return found.pop() if len(found) == 1 else Place()


def entries(row: SourceRow, key: str) -> Iterator[ast.AST]:
    """Yield what a file puts into a mapping under a key."""
    for held in subtrees(row, ast.Dict):
        for name, value in zip(held.keys, held.values, strict=True):
            if isinstance(name, ast.Constant) and name.value == key:
                yield value
    for assigned in subtrees(row, ast.Assign):
        for target in assigned.targets:
            if isinstance(target, ast.Subscript) and ast.unparse(target.slice) == repr(key):
                yield assigned
