"""Small helpers for what findings say: places, groups of names, counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from traindoctor.probing.finding import Location
from traindoctor.trace import Place


def location(place: Place, *, module: str | None = None, parameter: str | None = None) -> Location:
    """Return a place as a finding's location; module and parameter stand in where it is empty."""
    return Location(
        file=place.file,
        line=place.line,
        symbol=place.function,
        module=module or None,
        parameter=parameter,
    )


def first_location(places: Iterable[Place], *, module: str | None = None) -> Location:
    """Return the first place that is one."""
    return location(next((place for place in places if place), Place()), module=module)


def grouped(names: Iterable[str], most: int = 4) -> str:
    """Name many things briefly: `layers.*.norm.bias (24), head.weight and 3 more`.

    Names that differ in numbers alone are one group, in order of first sight. Where a number comes
    first, as in an `nn.Sequential`, it is all that tells a few of them apart.
    """
    names = list(names)
    if len(names) <= most and any(name[:1].isdigit() for name in names):
        return ", ".join(names)
    groups = Counter(re.sub(r"(?<![A-Za-z_])\d+(?![A-Za-z_])", "*", name) for name in names)
    shown = [
        f"{name} ({count})" if count > 1 else name for name, count in list(groups.items())[:most]
    ]
    single = {re.sub(r"(?<![A-Za-z_])\d+(?![A-Za-z_])", "*", n): n for n in names}
    shown = [single[text] if text in single and groups[text] == 1 else text for text in shown]
    more = len(groups) - most
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def counted(number: int, noun: str) -> str:
    """Return `1 batch`, `2 batches`, `3 parameters`."""
    if number == 1:
        return f"1 {noun}"
    is_hissing = noun.endswith(("ch", "sh", "s", "x")) and noun != "epoch"
    return f"{number} {noun}es" if is_hissing else f"{number} {noun}s"


def figure(value: float | None, digits: int = 3) -> str:
    """Return a number as people read it: `0.00123`, `1.2e-07`, `NaN`, `unknown`."""
    if value is None:
        return "unknown"
    if value != value:
        return "NaN"
    return f"{value:.{digits}g}"


def duration(seconds: float | None) -> str:
    """Return a time as people say it: `48 ms`, `60 s`, `4.2 min`, `2.1 h`, `3.5 days`."""
    if seconds is None:
        return "an unknown time"
    for limit, unit, size in (
        (1, "ms", 1e-3),
        (120, "s", 1),
        (7200, "min", 60),
        (172800, "h", 3600),
    ):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86400:.3g} days"
