"""Reads losses out of what a program prints: `epoch 3: train loss 0.4213` says one."""

from __future__ import annotations

import re

# A whole number is a count, of batches or epochs.
_NUMBER = r"[-+]?(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|nan|inf)"
_SAID = re.compile(
    rf"((?:[A-Za-z]+[ _/-])*[A-Za-z]*loss(?:[ _/-][A-Za-z]+)*)['\")\]]*[\s:=|]{{1,4}}({_NUMBER})"
    r"(?![\w%/])",
    re.IGNORECASE,
)
_VALIDATION = re.compile("val|vali|valid|validation|test|testing|eval|evaluation|dev|holdout")
# Words that make it another loss than the one that is trained on, or one picked out of many.
_OTHER = re.compile(
    "val|vali|valid|validation|test|testing|eval|evaluation|dev|holdout|best|min|minimum|lowest|max"
    "|target|previous|prev|old"
)


def losses_said(text: str) -> list[tuple[str, float, float]]:
    """Return name, value and resolution of each loss that a text names and that may be trained on.

    The resolution is half a unit of the last digit: 0.00005 for `0.4213`.
    """
    return [
        (name.strip().lower(), float(number), resolution(number))
        for name, number in _SAID.findall(text)
        if may_be_trained(name)
    ]


def validations_said(text: str) -> list[tuple[str, float, float]]:
    """Return the same of each loss that a text names and that was validated."""
    return [
        (name.strip().lower(), float(number), resolution(number))
        for name, number in _SAID.findall(text)
        if is_validated(name)
    ]


def is_validated(name: str) -> bool:
    """Tell `val_loss` from `train_loss` and `best val loss`."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    other = [word for word in words if _OTHER.fullmatch(word)]
    return "loss" in words and bool(other) and all(map(_VALIDATION.fullmatch, other))


def may_be_trained(name: str) -> bool:
    """Tell `train_loss`, or one term of it, from `val_loss` and `best loss`."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    return "loss" in words and not any(_OTHER.fullmatch(word) for word in words)


def resolution(number: str) -> float:
    """Return half a unit of the last digit that a number was written with."""
    mantissa, _, exponent = number.lower().partition("e")
    if not mantissa.strip("+-")[:1].isdigit() and not mantissa.strip("+-").startswith("."):
        return 0.0  # nan, inf
    digits = len(mantissa.partition(".")[2])
    return 0.5 * 10.0 ** (int(exponent or 0) - digits)
