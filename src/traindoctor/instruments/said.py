"""Reads losses out of what a program prints: `epoch 3: train loss 0.4213` says one."""

from __future__ import annotations

import re

_NUMBER = r"[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?|[-+]?nan|[-+]?inf"
_SAID = re.compile(
    rf"((?:[A-Za-z]+[ _/-])*[A-Za-z]*loss(?:[ _/-][A-Za-z]+)*)['\")\]]*[\s:=|]{{1,4}}({_NUMBER})"
    r"(?![\w%/])",
    re.IGNORECASE,
)
# Words with which a loss is still the one that is trained on. `total` may be a sum, `val` another.
_PLAIN = re.compile(
    "loss|train(ing)?|trn|avg|average|mean|epoch|batch|step|running|iter(ation)?|current|the|per"
    "|last|final|is"
)


def losses_said(text: str) -> list[tuple[str, float, float]]:
    """Return name, value and resolution of each training loss that a text names.

    The resolution is half a unit of the last digit: 0.00005 for `0.4213`.
    """
    return [
        (name.strip().lower(), float(number), resolution(number))
        for name, number in _SAID.findall(text)
        if is_plain(name)
    ]


def is_plain(name: str) -> bool:
    """Tell `train_loss` from `val_loss`, `kl_loss` and `total loss`."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    return "loss" in words and all(_PLAIN.fullmatch(word) for word in words)


def resolution(number: str) -> float:
    """Return half a unit of the last digit that a number was written with."""
    mantissa, _, exponent = number.lower().partition("e")
    if not mantissa.strip("+-")[:1].isdigit() and not mantissa.strip("+-").startswith("."):
        return 0.0  # nan, inf
    digits = len(mantissa.partition(".")[2])
    return 0.5 * 10.0 ** (int(exponent or 0) - digits)
