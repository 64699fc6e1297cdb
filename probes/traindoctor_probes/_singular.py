"""Operations with a finite value and a derivative that is none: why, and what helps."""

from __future__ import annotations

import re

from traindoctor.probing import Evidence, Remedy
from traindoctor.probing.wording import counted
from traindoctor.trace import OperationRow

CURES = {
    "Sqrt": ("Add a small number under the root", "x.sqrt()", "(x + 1e-12).sqrt()"),
    "Rsqrt": ("Add a small number under the root", "x.rsqrt()", "(x + 1e-12).rsqrt()"),
    "Norm": (
        "Take the norm of something that is not zero",
        "x.norm()",
        "(x.square().sum() + 1e-12).sqrt()",
    ),
    "LinalgVectorNorm": (
        "Take the norm of something that is not zero",
        "torch.linalg.vector_norm(x)",
        "(x.square().sum() + 1e-12).sqrt()",
    ),
    "Pow": ("Keep the base away from zero", "x ** 0.5", "(x + 1e-12) ** 0.5"),
    "Log": ("Keep the argument away from zero", "x.log()", "x.clamp_min(1e-12).log()"),
    "Div": ("Keep the denominator away from zero", "a / b", "a / (b + 1e-12)"),
    "Reciprocal": ("Keep the denominator away from zero", "1 / b", "1 / (b + 1e-12)"),
    "Acos": ("Keep the argument inside (-1, 1)", "x.acos()", "x.clamp(-1 + 1e-6, 1 - 1e-6).acos()"),
    "Asin": ("Keep the argument inside (-1, 1)", "x.asin()", "x.clamp(-1 + 1e-6, 1 - 1e-6).asin()"),
    "Std": ("Take the variance over more than one value", "x.std()", "(x.var() + 1e-12).sqrt()"),
    "Atan2": (
        "Keep both arguments from being zero at once",
        "torch.atan2(y, x)",
        "torch.atan2(y, x + 1e-12)",
    ),
    "LinalgSvd": (
        "Use the singular values alone, or separate equal ones",
        "torch.linalg.svd(a)",
        "torch.linalg.svdvals(a)",
    ),
}
WHERE = (
    " `torch.where` does not help: the branch that is not taken is differentiated too, and zero "
    "times infinity is NaN."
)
ADDED = {"identity": "a multiple of the identity added", "ramp": "a ramp added"}


def range_of(origin: OperationRow) -> list[Evidence]:
    """Return the range of the operation's input, where it was kept."""
    if origin.input_minimum is None:
        return []
    what = origin.note or "input"
    return [
        Evidence(f"smallest {what} of {origin.operation}", origin.input_minimum),
        Evidence(f"largest {what} of {origin.operation}", origin.input_maximum),
    ]


def mechanism(origin: OperationRow) -> str:
    """Say how the gradient broke."""
    text = (
        f"{origin.operation} has a finite value here, but its derivative is not finite, or is "
        "multiplied by zero where it is infinite. Clipping does not help: the norm is not finite "
        "either."
    )
    if origin.operation == "LinalgEigh":
        text = (
            "The derivative of an eigenvector divides by the distance of its eigenvalue to every "
            "other one. Equal eigenvalues make that a division by zero: whole rows and columns of "
            "zeros in a matrix are enough for it."
        )
    return text + (WHERE if "where" in origin.place.text else "")


def cures(origin: OperationRow, parted: dict[str, tuple[int, int]]) -> list[Remedy]:
    """Return the remedies for one operation; none where only the rule's own are known.

    Args:
        origin: the operation.
        parted: how many gradients stay broken, of how many, with each diagonal that was tried.
    """
    if origin.operation == "LinalgEigh":
        return _parting(origin, parted)
    cure = CURES.get(origin.operation)
    if cure is None:
        return []
    title, before, after = cure
    return [Remedy(title, recommended=True, before=before, after=after)]


def _parting(origin: OperationRow, parted: dict[str, tuple[int, int]]) -> list[Remedy]:
    """Return the two diagonals as remedies, with what they did when they were tried."""
    line = origin.place.text
    call = re.search(r"\beigh\(\s*(\w+)", line)
    name = call[1] if call else "a"
    hermitian = f"{name} = 0.5 * ({name} + {name}.mH)\n"
    result = {
        shift: f"Tried: {number} of {counted(of, 'gradient')} not finite with it."
        for shift, (number, of) in parted.items()
    }
    heals = {shift: number == 0 for shift, (number, _) in parted.items()}
    ramp = Remedy(
        "Make the matrix Hermitian and add a ramp: a different amount to each diagonal element",
        recommended=heals.get("ramp", True),
        pros=f"It parts eigenvalues that are equal. {result.get('ramp', '')}".strip(),
        cons="Eigenvalues closer than the ramp's step are moved by as much as they are apart.",
        before=line,
        after=f"{hermitian}ramp = torch.arange(1.0, {name}.shape[-1] + 1, device={name}.device)\n"
        f"{name} = {name} + torch.diag(1e-5 * ramp)\n{line}",
    )
    identity = Remedy(
        "Make the matrix Hermitian and add a small multiple of the identity",
        recommended=heals.get("identity", False) and not ramp.recommended,
        cons="It moves equal eigenvalues by the same amount and leaves them equal. "
        f"{result.get('identity', '')}".strip(),
        after=f"{hermitian}{name} = {name} + 1e-6 * torch.eye({name}.shape[-1])\n{line}",
    )
    return [ramp, identity]
