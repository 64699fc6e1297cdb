"""Rows that were added to a table of weights: which they are, whether they are used, where from."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from traindoctor.experiments import OneStep, ReadSource
from traindoctor.probing import Ask
from traindoctor.probing.syntax import at, calls, subtrees
from traindoctor.trace import Place, SourceRow, WeightRow

TOO_SMALL, TOO_LARGE = 1 / 30, 10.0  # size of new rows relative to the others
Start = tuple[str | None, int, int]  # file, line and column
_FILLERS = ("zeros_", "zero_", "ones_", "constant_", "fill_")


def is_out_of_scale(row: WeightRow) -> bool:
    """Tell whether a table's last rows are far longer or shorter than those before."""
    if row.block_start is None or row.block_is_mean or not row.rms:
        return False
    return not TOO_SMALL < row.block_rms / row.rms < TOO_LARGE


def used(ask: Ask, blocks: list[WeightRow]) -> list[WeightRow]:
    """Keep the tables whose new rows this data uses: as inputs, or as targets of a head."""
    if not blocks:
        return []
    targets = [row for row in ask(OneStep()).criteria if row.num_classes is not None]
    return [
        row
        for row in blocks
        if ("Embedding" in row.module_class and row.num_block_rows_reached)
        or any(
            target.num_classes == row.num_rows and (target.target_maximum or 0) >= row.block_start
            for target in targets
            if row.block_start is not None
        )
    ]


def places(ask: Ask, rows: list[WeightRow]) -> list[Place]:
    """Return where the user's code builds them."""
    known = ask(ReadSource())
    built = {p.name: p.place for p in known.parameters}
    return [*(built.get(row.name, Place()) for row in rows), known.setup.factory]


def filled_at(ask: Ask, rows: list[WeightRow]) -> Place:
    """Return the user's line that gives weights one value, if there is no doubt which it is.

    Where several do, it is the line that fills two of one module, for these can keep each other's
    gradient at zero; else the line of the first.
    """
    if all(row.value is None and row.block_value is None for row in rows):
        return Place()
    source = ask(ReadSource()).source
    loops = dict(_loops(source))
    found = [
        (place, set(text.split(".")))
        for place, call in calls(source, *_FILLERS)
        if not (text := _filled(call, loops.get(_start(place.file, call), {}))).endswith("bias")
    ]
    filled: dict[Place, Counter[str]] = {}  # for each line, the modules it says, and how many of it
    for row in rows:
        path = row.name.split(".")[:-1]
        named = [(place, words) for place, words in found if words & set(path)]
        if len(named) == 1:
            place, words = named[0]
            last = max(n for n, word in enumerate(path) if word in words)
            filled.setdefault(place, Counter())[".".join(path[: last + 1])] += 1
    if filled:
        several = (place for place, modules in filled.items() if max(modules.values()) > 1)
        return next(several, next(iter(filled)))
    return found[0][0] if len({place.line for place, _ in found}) == 1 else Place()


def _loops(source: Iterable[SourceRow]) -> Iterator[tuple[Start, dict[str, str]]]:
    """Yield for each call in a loop, by its start, what the loop's variables go through."""
    for row in source:
        loops: list[ast.For | ast.ListComp] = [
            *subtrees(row, ast.For),
            *subtrees(row, ast.ListComp),
        ]
        for loop in loops:
            heads = loop.generators if isinstance(loop, ast.ListComp) else [loop]
            names = {
                name.id: ast.unparse(head.iter)
                for head in heads
                for name in ast.walk(head.target)
                if isinstance(name, ast.Name)
            }
            inside = (node for node in ast.walk(loop) if isinstance(node, ast.Call))
            yield from ((_start(row.file, node), names) for node in inside)


def _start(file: str | None, call: ast.Call) -> Start:
    return file, call.lineno, call.col_offset


def _filled(call: ast.Call, loops: Mapping[str, str]) -> str:
    """Return what a call fills, as written: `layer.weight`; of a loop's variable, what it is of."""
    is_method = isinstance(call.func, ast.Attribute) and not call.args
    if is_method or (isinstance(call.func, ast.Attribute) and call.func.attr == "fill_"):
        text = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    else:
        text = ast.unparse(call.args[0]) if call.args else ""
    first, dot, rest = text.partition(".")
    return loops.get(first, first) + dot + rest


def sliced_at(ask: Ask) -> Place:
    """Return the line that fills or copies rows of a table up to, or from, one of them on."""
    source = ask(ReadSource()).source
    resized = [place for place, _ in calls(source, "resize_token_embeddings")]
    sliced = [
        (at(row, node), node.slice.lower is not None)
        for row in source
        for node in subtrees(row, ast.Subscript)
        if isinstance(node.slice, ast.Slice)
        and (node.slice.lower is None) != (node.slice.upper is None)
        and _is_weights(row, node.value)
    ]
    opened = [place for place, is_open in sliced if is_open]
    return next(iter([*opened, *resized, *(place for place, _ in sliced)]), Place())


def _is_weights(row: SourceRow, value: ast.expr) -> bool:
    """Tell whether an expression is a module's weight, or a name that one was given."""
    if ".weight" in ast.unparse(value):
        return True
    return isinstance(value, ast.Name) and any(
        isinstance(target, ast.Name) and target.id == value.id
        for node in subtrees(row, ast.Assign)
        if ".weight" in ast.unparse(node.value)
        for target in node.targets
    )
