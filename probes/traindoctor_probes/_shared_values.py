"""What two backward passes share: who keeps it, and in which words that is said."""

from __future__ import annotations

import ast
from dataclasses import replace

from traindoctor.probing import Evidence
from traindoctor.probing.syntax import carried, last_name, setters
from traindoctor.probing.wording import grouped
from traindoctor.trace import GraphRow, Place, SourceRow, Trace


def with_keeper(row: GraphRow, source: tuple[SourceRow, ...], raised: Place) -> GraphRow:
    """Return a row of a watched run, which saw no operation, with who keeps what is shared."""
    if row.place or row.is_same_loss or row.is_earlier_loss:
        return row
    names = [row.attribute] if row.attribute else carried(source, raised)
    if len(names) != 1:
        return row
    places = setters(source, raised, names[0].rpartition(".")[2])
    return replace(row, attribute=names[0], place=places[0] if places else row.place)


def origin(row: GraphRow, watched: Trace) -> list[Evidence]:
    """Return from which module's output it was computed, and whether that had gradients on."""
    module = next((m for m in watched.modules if row.module and m.path == row.module), None)
    if module is None:
        return []
    with_gradients = module.num_calls - module.num_calls_without_grad
    return [
        Evidence("computed from the output of", row.module),
        Evidence("its calls with gradients on", f"{with_gradients} of {module.num_calls}"),
    ]


def keeper(row: GraphRow) -> str:
    """Name who keeps the shared value."""
    if row.parameters:
        return grouped(row.parameters)
    return f"{row.holder}.{row.attribute}" if row.holder else row.attribute


def is_frozen(row: GraphRow, watched: Trace) -> bool:
    """Tell whether nothing is trained in the module that the shared value comes from."""
    module = next((m for m in watched.modules if m.path == row.module), None)
    return bool(row.module) and module is not None and not module.num_trainable


def cause(row: GraphRow, is_frozen: bool = False) -> tuple[str, str]:
    """Return which kind of sharing it is, and a sentence that says so."""
    if row.is_same_loss:
        kind = "one loss, twice"
        return kind, "It is the same loss, differentiated a second time."
    if row.is_earlier_loss:
        kind = "losses accumulated"
        return kind, "An earlier step's loss is part of this one: losses are added up as tensors."
    if row.parameters:
        names, how = grouped(row.parameters), "outside `no_grad`, before the first step"
        return (
            "weights copied with their graph",
            f"{names}: written to {how}. They carry the operations that made the values, and "
            "every step goes through those.",
        )
    whose = f", made by `{row.module}`" if row.module else ""
    whose += ", in which nothing is trained" if is_frozen else ""
    if row.is_from_before:
        made = f" by `{row.module}`" if row.module else ""
        kind = "computed outside the loop"
        return kind, f"It was computed{made} once, before the first step, and every step uses it."
    if row.attribute:
        kind = "output of a frozen module kept" if is_frozen else "state kept"
        return kind, f"`{keeper(row)}` keeps a tensor of an earlier step{whose}."
    made = f" by `{row.module}`" if row.module else ""
    return "state kept", f"It was computed{made} in an earlier step and kept."


def detached(line: str, operation: str) -> str:
    """Return a line with the one call in it that made a node detached; nothing if it is unclear."""
    try:
        tree = ast.parse(line)
    except SyntaxError:  # a statement over several lines
        return ""
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and last_name(node.func).strip("_") == operation.lower()
    ]
    if len(found) != 1:
        return ""
    end = found[0].end_col_offset or 0
    octets = line.encode()
    return (octets[:end] + b".detach()" + octets[end:]).decode()
