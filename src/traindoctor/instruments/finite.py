"""Finds the operation that made a non-finite value: forwards by outputs, backwards by nodes."""

from __future__ import annotations

import re
import weakref
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.backward import graph_nodes
from traindoctor.instruments.flow import _tensors as tensors_in
from traindoctor.instruments.recorder import Recorder, here
from traindoctor.target.usercode import is_user_file
from traindoctor.trace import OperationRow, Place

if TYPE_CHECKING:
    import torch

# -inf on purpose: masks are filled with it, and softmax takes it away again.
MASKS = {"masked_fill", "masked_fill_", "full", "full_like", "where", "triu", "tril", "new_full"}
FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')


class FirstNonFinite:
    """A listener of `Flow` that keeps the operation a NaN goes back to.

    An infinity alone is not at fault (a masked score is -inf); one that a NaN was later made
    from is, and then the operation that made the infinity is the origin.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.infinite: dict[int, tuple[Any, OperationRow | None]] = {}
        self.origin: OperationRow | None = None
        self.last_infinite: OperationRow | None = None

    def __call__(self, name: str, _: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Take in one operation."""
        if self.origin is not None:
            return
        inputs = [t for t in tensors_in((args, kwargs)) if t.is_floating_point() and not t.is_meta]
        for tensor in tensors_in(output):
            if not tensor.is_floating_point() or tensor.is_meta or bool(tensor.isfinite().all()):
                continue
            has_nan = bool(tensor.isnan().any())
            if any(bool(t.isnan().any()) for t in inputs):
                continue  # it only passes a NaN on; that one came from outside torch's sight
            source = self._source(inputs)
            row = self._row(name, inputs, "nan" if has_nan else "inf")
            if has_nan:
                self.origin = source or row
            else:
                began_here = name not in MASKS and all(bool(t.isfinite().all()) for t in inputs)
                kept = source or (row if began_here else None)
                self.infinite[id(tensor)] = (weakref.ref(tensor), kept)
                self.last_infinite = kept or self.last_infinite

    def _source(self, inputs: list[torch.Tensor]) -> OperationRow | None:
        for tensor in inputs:
            reference, row = self.infinite.get(id(tensor), (None, None))
            if reference is not None and reference() is tensor and row is not None:
                return row
        return None

    def _row(self, name: str, inputs: list[torch.Tensor], kind: str) -> OperationRow:
        values = [t.detach().float() for t in inputs if t.numel()]
        running = self.recorder.running
        return OperationRow(
            operation=name,
            kind=kind,
            module=running[-1]["module"] if running else "",
            place=here(),
            input_minimum=min((float(v.min()) for v in values), default=None),
            input_maximum=max((float(v.max()) for v in values), default=None),
            input_shapes=tuple(tuple(t.shape) for t in inputs),
            batch=max(self.recorder.batch, 0),
        )


def watch_nodes(recorder: Recorder, loss: torch.Tensor, rows: list[OperationRow]) -> None:
    """Hook the nodes behind a loss; `rows` gets the first one that breaks a gradient.

    That is the first to turn finite gradients into non-finite ones during backward. The
    forward pass must have run under `lines_kept`.
    """

    def hook_of(node: Any) -> Any:
        def hook(gradients_in: Any, gradients_out: Any) -> None:
            if rows or not _bad(gradients_in) or _bad(gradients_out):
                return
            rows.append(
                OperationRow(
                    operation=re.sub(r"Backward\d*$", "", node.name()),
                    direction="backward",
                    place=node_place(node),
                    kind="nan" if any(_has_nan(g) for g in gradients_in) else "inf",
                    batch=max(recorder.batch, 0),
                    **(gaps.get(node) or saved_range(node)),
                )
            )

        return hook

    gaps: dict[Any, dict[str, Any]] = {}  # what is freed by the time that the other hook runs
    for node in graph_nodes(loss.grad_fn):
        if getattr(node, "variable", None) is None:
            node.register_hook(hook_of(node))
        if hasattr(node, "_saved_eigenvalues"):
            node.register_prehook(lambda _, node=node: gaps.update({node: eigenvalue_gaps(node)}))


def node_place(node: Any) -> Place:
    """Return the user's line that made a graph node, from the traceback it remembers."""
    import linecache

    found = Place()
    for entry in node.metadata.get("traceback_", []):
        match = FRAME.search(entry)
        if match and is_user_file(match[1]):
            text = linecache.getline(match[1], int(match[2])).strip()
            found = Place(match[1], int(match[2]), match[3], text)
    return found


def _bad(gradients: Any) -> bool:
    return any(g is not None and not bool(g.isfinite().all()) for g in gradients)


def _has_nan(gradient: Any) -> bool:
    return gradient is not None and bool(gradient.isnan().any())


def eigenvalue_gaps(node: Any) -> dict[str, Any]:
    """Return the range of the distances between neighbouring eigenvalues that a node keeps."""
    values = node._saved_eigenvalues.detach().double()  # (…, n), ascending
    gaps = values.diff(dim=-1)
    if not gaps.numel():
        return {}
    return {
        "input_minimum": float(gaps.min()),
        "input_maximum": float(gaps.max()),
        "input_shapes": (tuple(values.shape),),
        "note": "distance of two eigenvalues",
    }


def saved_range(node: Any) -> dict[str, Any]:
    """Return the range of what the node had kept from its forward pass."""
    import torch

    for name in ("_saved_self", "_saved_result", "_saved_input", "_saved_other", "_raw_saved_self"):
        try:
            value = getattr(node, name, None)
        except RuntimeError:  # freed by now
            continue
        if isinstance(value, torch.Tensor) and value.numel() and not value.is_complex():
            value = value.detach().float()
            return {
                "input_minimum": float(value.min()),
                "input_maximum": float(value.max()),
                "input_shapes": (tuple(value.shape),),
                "note": "result" if name == "_saved_result" else "input",
            }
    return {}
