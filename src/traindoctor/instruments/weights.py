"""Describes matrices row by row: are all rows alike, and are those at the end of another size?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from traindoctor.target.processes import part_of
from traindoctor.target.valueless import has_values
from traindoctor.trace import WeightRow

if TYPE_CHECKING:
    import torch

APART = 3.0  # rows within this factor of the last one belong to its block
FEWEST_BEFORE, FEWEST_IN_BLOCK = 8, 2
OUTLIERS = 0.02  # share of the rows before the block that may be as small or large as it
MEAN_ERROR = 0.1  # of the mean row's norm


def matrices(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter, Any]]:
    """Yield the trainable floating-point parameters of two rows or more, with their modules."""
    for name, p in model.named_parameters():
        path = name.rpartition(".")[0]
        is_readable = part_of(p) is p and has_values(p) and p.is_floating_point() and p.numel()
        if p.requires_grad and is_readable and len(_rows(p)) > 1:
            yield name, p, model.get_submodule(path)


def describe_matrix(name: str, p: torch.nn.Parameter, module: Any) -> WeightRow | None:
    """Return a matrix as a row; None where it holds NaN or infinity."""
    import torch

    rows = _rows(p.detach())
    sizes = torch.linalg.vector_norm(rows.float(), dim=1) / rows.shape[1] ** 0.5
    if not bool(torch.isfinite(sizes).all()):
        return None
    row = WeightRow(
        name=name,
        module_class=type(module).__name__,
        num_rows=rows.shape[0],
        num_columns=rows.shape[1],
        value=_value(rows),
        row_spread=row_spread(p),
        rms=float(sizes.median()),
    )
    return _with_block(row, rows, sizes, getattr(module, "padding_idx", None))


def row_spread(p: torch.Tensor) -> float:
    """Return the largest difference between an element and the one above it in the first row."""
    rows = _rows(p.detach())
    nearest = float((rows[1] - rows[0]).abs().max())  # most matrices are told apart by two rows
    return nearest or float((rows - rows[0]).abs().max())


@contextmanager
def gradients_by_row(chosen: dict[str, torch.nn.Parameter]) -> Iterator[dict[str, list[Any]]]:
    """Collect by name, one a backward pass, which rows got a gradient other than zero."""
    seen: dict[str, list[Any]] = {name: [] for name in chosen}

    def note(name: str) -> Any:
        def hook(p: torch.Tensor) -> None:
            if p.grad is not None:
                dense = p.grad.to_dense() if p.grad.is_sparse else p.grad
                seen[name].append((_rows(dense.detach()) != 0).any(1))

        return hook

    handles = [
        p.register_post_accumulate_grad_hook(note(name))  # type: ignore[no-untyped-call]  # torch's
        for name, p in chosen.items()
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def reached(row: WeightRow, passes: Sequence[Any]) -> WeightRow:
    """Return a row with what `gradients_by_row` collected for it."""
    if not passes:
        return row
    ever = passes[0]
    for these in passes[1:]:
        ever = ever | these
    in_block = 0 if row.block_start is None else int(ever[row.block_start :].sum())
    return replace(
        row,
        num_passes=len(passes),
        num_rows_reached=int(ever.sum()),
        num_block_rows_reached=in_block,
    )


def _rows(p: torch.Tensor) -> torch.Tensor:
    """Return a tensor as (rows, columns); leading axes of size 1, as of positions, are dropped."""
    while p.ndim > 2 and p.shape[0] == 1:
        p = p[0]
    return p.flatten(1) if p.ndim > 1 else p.reshape(1, -1)


def _value(rows: torch.Tensor) -> float | None:
    first = rows[0, 0]
    # Two equal elements are rare enough that the whole matrix is seldom looked at.
    same = bool((rows[0] == first).all()) and bool((rows == first).all())
    return float(first) if same else None


def _with_block(row: WeightRow, rows: Any, sizes: torch.Tensor, padding: int | None) -> WeightRow:
    """Add the block of rows at the end that are of another size than every row before it."""
    import torch

    last = sizes[-1] if padding != len(sizes) - 1 else sizes[-2]
    alike = (sizes <= APART * last) & (sizes * APART >= last)
    if padding is not None:
        alike[padding] = True
    others = (~alike).nonzero()
    start = int(others[-1]) + 1 if len(others) else 0
    if start < FEWEST_BEFORE or len(sizes) - start < FEWEST_IN_BLOCK:
        return row
    is_read = torch.ones(start, dtype=torch.bool, device=sizes.device)
    if padding is not None and padding < start:
        is_read[padding] = False
    if float(alike[:start][is_read].float().mean()) > OUTLIERS:
        return row
    block, rest = rows[start:], rows[:start]
    mean = rest.float().mean(0)
    off = (block.float().mean(0) - mean).norm()
    return replace(
        row,
        rms=float(sizes[:start][is_read].median()),
        block_start=start,
        block_rms=float(sizes[start:].median()),
        block_value=_value(block),
        block_is_mean=bool(off <= MEAN_ERROR * mean.norm()) and bool(mean.norm() > 0),
    )
