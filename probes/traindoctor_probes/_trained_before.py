"""Which parts that no optimizer holds may be left alone on purpose: as extractors of features.

What a fresh part holds no loss has chosen, so that leaving it out is a slip. One that its author
keeps in eval mode while the rest trains is left alone on purpose; one that was trained before is of
use as it is, and may be meant to be trained on all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from traindoctor.trace import ParameterRow, Trace, TransferRow


def in_eval_mode(lost: Iterable[ParameterRow], run: Trace) -> set[str]:
    """Name the parameters, of those that nobody moves, of parts that are kept in eval mode."""
    parts = _parts(lost, run).items()
    return {row.name for path, rows in parts if _is_in_eval_mode(path, run) for row in rows}


def trained_before(
    lost: Iterable[ParameterRow], run: Trace, transfers: Collection[TransferRow]
) -> set[str]:
    """Name the parameters, of those that nobody moves, of parts that were trained before."""
    loaded, parts = _loaded(run, transfers), _parts(lost, run).items()
    return {
        row.name
        for path, rows in parts
        if all(row.name in loaded for row in rows) or _was_trained(path, run)
        for row in rows
    }


def _parts(lost: Iterable[ParameterRow], run: Trace) -> dict[str, list[ParameterRow]]:
    """Return the largest modules of which no optimizer holds anything, with their parameters."""
    moved = set(run.facts.get("moved") or ())
    held = [row.name for row in run.parameters if row.num_optimizers or row.name in moved]
    parts: dict[str, list[ParameterRow]] = {}
    for row in lost:
        parts.setdefault(_part(row.name, held), []).append(row)
    parts.pop("", None)  # of modules of which it holds something
    return parts


def _part(name: str, held: Collection[str]) -> str:
    """Return the largest module around a parameter of which no optimizer holds anything."""
    pieces = name.split(".")[:-1]
    paths = (".".join(pieces[:number]) for number in range(1, len(pieces) + 1))
    return next((path for path in paths if not any(_is_in(path, other) for other in held)), "")


def _is_in(path: str, name: str) -> bool:
    return name.startswith(f"{path}.")


def _loaded(run: Trace, transfers: Iterable[TransferRow]) -> set[str]:
    """Name the parameters that `load_state_dict` gave a value that they still have."""
    found: set[str] = set()
    for row in transfers:
        if row.num_taken:
            start = f"{row.path}." if row.path else ""
            own = {p.name for p in run.parameters if p.name.startswith(start)}
            found |= own - {start + name for name in (*row.missing, *row.overwritten)}
    return found


def _was_trained(path: str, run: Trace) -> bool:
    """Tell by a part's normalisations, whose every shift is the same until it is trained.

    Those without a shift are told by their scale.
    """
    norms: dict[str, ParameterRow] = {}
    for row in run.parameters:
        if "Norm" in row.module_class and _is_in(path, row.name):
            is_shift = row.name.endswith(".bias")
            norms[row.module] = row if is_shift else norms.get(row.module, row)
    return bool(norms) and all(row.is_varied for row in norms.values())


def _is_in_eval_mode(path: str, run: Trace) -> bool:
    """Tell a part that was never called in train mode, while the model was."""
    root = next((row for row in run.modules if not row.path), None)
    called = [row for row in run.modules if row.num_calls and _is_in(path, f"{row.path}.")]
    is_model_training = root is not None and root.num_calls_training > 0
    return is_model_training and bool(called) and not any(row.num_calls_training for row in called)
