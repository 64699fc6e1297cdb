from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traindoctor.report.renderers.plots import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Curve,
    plot,
)


def elements(curve: Curve, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(plot(curve)).iter(name))


def points(curve: Curve) -> list[tuple[float, float]]:
    drawn = [line.get("points", "") for line in elements(curve, "polyline")]
    return [tuple(map(float, pair.split(","))) for part in drawn for pair in part.split()]


def test_the_first_point_is_left_and_the_greatest_on_top():
    first, middle, last = points(Curve("loss", [0, 1, 2], [4.0, 2.0, 3.0]))

    assert first == (LEFT, TOP)
    assert middle == ((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM)
    assert last == (WIDTH - RIGHT, (TOP + HEIGHT - BOTTOM) / 2)


def test_what_is_not_finite_is_a_cross_and_breaks_the_line():
    curve = Curve("loss", range(5), [1.0, 2.0, math.nan, 2.0, 1.0])

    assert len(elements(curve, "polyline")) == 2
    assert [e.text for e in elements(curve, "text") if e.get("class") == "lost"] == ["×"]


def test_decades_get_a_logarithmic_axis():
    heights = [y for _, y in points(Curve("loss", range(3), [1.0, 100.0, 10000.0]))]

    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)


def test_a_spike_survives_thinning():
    values = [1.0] * 10_000
    values[4321] = 5.0

    drawn = points(Curve("loss", range(10_000), values))

    assert len(drawn) < 1000
    assert min(y for _, y in drawn) == TOP


def test_ticks_have_the_digits_that_tell_them_apart():
    labels = [
        e.text
        for e in elements(Curve("loss", [0, 1], [1.5152, 1.5148]), "text")
        if e.get("text-anchor") == "end"
    ]

    assert labels[:3] == ["1.5148", "1.515", "1.5152"]


def test_a_curve_without_a_finite_value_says_so():
    assert "no finite value" in plot(Curve("loss", [0.0], [math.inf]))


def test_a_name_is_not_markup():
    assert "<b>" not in plot(Curve("<b>", [0.0, 1.0], [1.0, 2.0]))


@given(st.lists(st.floats(), min_size=1, max_size=20), st.booleans())
def test_any_numbers_give_a_picture_inside_its_frame(values, compared):
    curve = Curve("any", range(len(values)), values, floor=values[0])
    picture = plot(curve, Axis(-1.0, 1.0) if compared else None)

    numbers = [float(n) for n in re.findall(r' c?[xy][12]?="([^"]*)"', picture)]
    assert all(0 <= number <= max(WIDTH, HEIGHT) for number in numbers)
