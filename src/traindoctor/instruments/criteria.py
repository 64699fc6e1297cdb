"""Records calls of loss functions: what they were given, and which way the loss pulls."""

from __future__ import annotations

import dataclasses
import weakref
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.clamps import Clamps
from traindoctor.instruments.cosines import Cosines
from traindoctor.instruments.given import (
    arguments,
    blank_facts,
    input_facts,
    prediction_and_target,
    target_facts,
)
from traindoctor.instruments.pairs import Pairs
from traindoctor.instruments.recorder import Recorder, here
from traindoctor.trace import CriterionRow, Place

if TYPE_CHECKING:
    import torch

CRITERIA = {
    "cross_entropy",
    "nll_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "kl_div",
    "poisson_nll_loss",
    "gaussian_nll_loss",
    "multi_margin_loss",
    "soft_margin_loss",
    "multilabel_soft_margin_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "triplet_margin_loss",
    "cosine_embedding_loss",
    "ctc_loss",
}
DIFFERENCES = {"sub", "__sub__", "__rsub__", "rsub", "subtract"}
# Of opposites, as the two sides of a quantile's loss are: bounded by zero, and by nothing beyond.
EXTREMES = {
    "minimum": "opposed_minimum",
    "min": "opposed_minimum",
    "maximum": "opposed_maximum",
    "max": "opposed_maximum",
}
ACTIVATIONS = {
    "softmax",
    "log_softmax",
    "sigmoid",
    "logsigmoid",
    "relu",
    "relu_",
    "leaky_relu",
    "gelu",
    "tanh",
    "clamp",
    "clamp_",
    "clip",
    "softmin",
    "hardtanh",
    "elu",
    "silu",
    "normalize",
    "dropout",
}
CLAMPS = {"clamp", "clip", "hardtanh"}
# What changes the shape or the type of a tensor, not what made it.
SHAPES = frozenset(
    [
        "view",
        "reshape",
        "transpose",
        "permute",
        "flatten",
        "squeeze",
        "unsqueeze",
        "contiguous",
        "float",
        "half",
        "bfloat16",
        "to",
        "t",
        "__getitem__",
        "type_as",
        "double",
        "swapaxes",
        "movedim",
        "select",
        "expand",
        "cast",
        "clone",
    ]
)


class Criteria:
    """A listener of `Flow`; its rows go to the recorder, completed by `finish`."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.made: dict[int, tuple[Any, str, Place, int | None, str]] = {}
        self.pairs = Pairs()
        self.clamps = Clamps()
        self.cosines = Cosines()
        self.signs: list[list[float]] = []
        self.rows: list[CriterionRow] = []

    def __call__(self, name: str, function: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Take in one operation."""
        import torch

        if isinstance(output, torch.Tensor):
            self._remember(name, args, kwargs, output)
            if name in CRITERIA:
                self._add(name, function, args, kwargs, output)
            elif self.pairs.normalizer(name, args) == "logcumsumexp" and output.numel() > 1:
                self._add_bounded("partial_likelihood", args, output)
            elif name in DIFFERENCES and output.requires_grad:
                self._add_difference(name, args, output)
            elif name in EXTREMES and are_opposites(args):
                self._add_bounded(EXTREMES[name], args, output)
            elif name == "gather" or (name == "__getitem__" and _by_tensor(args[1])):
                self._add_likelihood(args, output)

    def finish(self) -> list[CriterionRow]:
        """Return the rows with the signs of the gradients that came back, after backward."""
        for number, reduction in self.pairs.reduced.items():
            self.rows[number] = dataclasses.replace(self.rows[number], reduction=reduction)
        signed = []
        for row, sign in zip(self.rows, self.signs, strict=True):
            total = sum(sign)
            direction = None if not sign else (total > 0) - (total < 0)
            signed.append(dataclasses.replace(row, gradient_sign=direction))
        return signed

    def _remember(self, name: str, args: Any, kwargs: Any, output: torch.Tensor) -> None:
        import torch

        self.pairs.carry(name, args, output)
        self.cosines.saw(name, args)
        if self.pairs.normalizer(name, args) == "logsumexp":  # `logits - logits.logsumexp(...)`
            self.made[id(output)] = (weakref.ref(output), "log_softmax", here(), None, "")
        if name in ACTIVATIONS:
            axis = kwargs.get(
                "dim", args[1] if len(args) > 1 and isinstance(args[1], int) else None
            )
            axis = axis % output.dim() if isinstance(axis, int) and output.dim() else None
            running = self.recorder.running
            module = running[-1]["module"] if running else ""
            made = (weakref.ref(output), name.rstrip("_"), here(), axis, module)
            self.made[id(output)] = made
            if name in CLAMPS and args and isinstance(args[0], torch.Tensor):
                self._note_clamp(args[0], output)
        elif name in SHAPES and args:
            self.clamps.carry(args[0], output)
            before = self.made.get(id(args[0]))
            if before is not None and before[0]() is args[0]:
                self.made[id(output)] = (weakref.ref(output), *before[1:])

    def _note_clamp(self, before: torch.Tensor, after: torch.Tensor) -> None:
        """Take in a clamp, and where it lowers the value of a loss function say so in its row."""
        lowered = self.clamps.note(before, after)
        if lowered is not None:
            number, share = lowered
            self.rows[number] = dataclasses.replace(
                self.rows[number], value_share_clamped=share, clamp_place=here()
            )

    def _origin(self, tensor: torch.Tensor) -> tuple[str, Place, int | None, str]:
        made = self.made.get(id(tensor))
        return made[1:] if made is not None and made[0]() is tensor else ("", Place(), None, "")

    def _add(self, name: str, function: Any, args: Any, kwargs: Any, output: torch.Tensor) -> None:
        import torch

        given = arguments(function, args, kwargs)
        first, target = prediction_and_target(given)
        if not isinstance(first, torch.Tensor):
            return
        operation, place, _, module = self._origin(first)
        row = CriterionRow(
            function=name,
            place=here(),
            batch=max(self.recorder.batch, 0),
            input_shape=tuple(first.shape),
            input_dtype=str(first.dtype).removeprefix("torch."),
            input_operation=operation,
            input_place=place,
            input_module=module,
            input_has_cosines=name == "cross_entropy" and self.cosines.last(),
            input_share_clamped=self.clamps.share(first),
            clamp_place=place if self.clamps.share(first) else Place(),
            ignore_index=given.get("ignore_index"),
            label_smoothing=float(given.get("label_smoothing") or 0.0),
            has_weight=given.get("weight") is not None or given.get("pos_weight") is not None,
            reduction=str(given.get("reduction", "mean")),
            value=float(output.detach()) if output.numel() == 1 else float(output.detach().mean()),
        )
        row = dataclasses.replace(row, **input_facts(first.detach(), name))
        if isinstance(target, torch.Tensor):
            row = dataclasses.replace(row, **target_facts(target.detach(), row.ignore_index))
        if name == "ctc_loss":
            row = dataclasses.replace(row, **blank_facts(given))
        self._append(row, output)

    def _add_difference(self, name: str, args: Any, output: torch.Tensor) -> None:
        """Keep a hand-written `prediction - target` whose shapes differ, for it may broadcast."""
        import torch

        pair = [a for a in args[:2] if isinstance(a, torch.Tensor)]
        if len(pair) != 2 or pair[0].shape == pair[1].shape:
            return
        first, target = pair if pair[0].requires_grad else pair[::-1]
        if target.requires_grad or min(first.numel(), target.numel()) < 2:
            return
        row = CriterionRow(
            function=name.strip("_"),
            place=here(),
            batch=max(self.recorder.batch, 0),
            input_shape=tuple(first.shape),
            input_dtype=str(first.dtype).removeprefix("torch."),
            input_operation="linear" if self.pairs.is_column(first) else "",
            reduction="none",
            **target_facts(target.detach(), None),
        )
        self.pairs.is_difference(output, len(self.rows))
        self._append(row, None)

    def _add_likelihood(self, args: Any, output: torch.Tensor) -> None:
        """Keep a hand-written log-likelihood: one log-probability picked out of each row."""
        operation, place, *_ = self._origin(args[0])
        rows = args[0].numel() // max(args[0].shape[-1], 1) if args[0].dim() else 0
        if operation != "log_softmax" or output.numel() != rows or rows == args[0].numel():
            return
        row = CriterionRow(
            function="log_likelihood",
            place=here(),
            batch=max(self.recorder.batch, 0),
            input_shape=tuple(args[0].shape),
            input_dtype=str(args[0].dtype).removeprefix("torch."),
            input_operation=operation,
            input_place=place,
            num_classes=args[0].shape[-1],
            reduction="none",
            value=float(output.detach().mean()),
        )
        self._append(row, output)

    def _add_bounded(self, function: str, args: Any, output: torch.Tensor) -> None:
        """Keep a hand-written objective that is bounded by zero on the side where it is best."""
        row = CriterionRow(
            function=function,
            place=here(),
            batch=max(self.recorder.batch, 0),
            input_shape=tuple(args[0].shape),
            input_dtype=str(args[0].dtype).removeprefix("torch."),
            reduction="none",
            value=float(output.detach().mean()),
        )
        self._append(row, output)

    def _append(self, row: CriterionRow, output: torch.Tensor | None) -> None:
        signs: list[float] = []
        if output is not None:
            self.clamps.is_value(output, len(self.rows))
        if output is not None and output.requires_grad:
            output.register_hook(  # type: ignore[no-untyped-call]  # torch leaves it untyped
                lambda gradient: signs.append(_pull(gradient))
            )
        self.rows.append(row)
        self.signs.append(signs)


def _pull(gradient: torch.Tensor | None) -> float:
    """Return the pull on a loss function's value, or 0 where its elements are pulled unevenly.

    Weights such as a policy's advantages make some likelihoods rise and others fall on purpose.
    None is what a function of its own class may pass back.
    """
    if gradient is None:
        return 0.0
    gradient = gradient.detach()
    pulled = gradient[gradient != 0]
    if not pulled.numel():
        return 0.0
    low, high = float(pulled.min()), float(pulled.max())
    return high if high - low <= 1e-2 * abs(high) else 0.0


def are_opposites(args: Any) -> bool:
    """Tell two computed tensors no two elements of which have the same sign."""
    import torch

    pair = [arg for arg in args[:2] if isinstance(arg, torch.Tensor) and arg.requires_grad]
    if len(pair) != 2 or pair[0].shape != pair[1].shape or pair[0].numel() < 2:
        return False
    product = pair[0].detach() * pair[1].detach()
    return bool((product <= 0).all() and (product < 0).any())


def _by_tensor(index: Any) -> bool:
    """Tell `x[rows, labels]` from a slice."""
    import torch

    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, torch.Tensor) and part.dtype == torch.long for part in parts)
