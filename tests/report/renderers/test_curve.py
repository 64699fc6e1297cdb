from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from traindoctor.report.renderers.curve import draw

STEPS = list(range(50))


def test_a_falling_line_starts_top_left_and_ends_bottom_right():
    plot = draw(STEPS, [50.0 - step for step in STEPS], width=40, height=5, unicode=False)

    assert plot[0].startswith(" 50|*")
    assert plot[4].startswith("  1|")
    assert plot[4].endswith("*")
    assert plot[5].split() == ["step", "0", "49"]


def test_values_over_more_than_two_decades_get_a_logarithmic_axis():
    steep = draw(STEPS, [10.0 ** (-step / 10) for step in STEPS], width=40, height=5)
    flat = draw(STEPS, [1 + step for step in STEPS], width=40, height=5)

    assert "log scale" in steep[-1]
    assert "log scale" not in flat[-1]


def test_an_exponential_is_straight_on_a_logarithmic_axis():
    plot = draw(STEPS, [10.0 ** (-step / 10) for step in STEPS], width=29, height=5, unicode=False)

    columns = [line.index("*") for line in plot[:-1]]
    gaps = [after - before for before, after in pairwise(columns)]
    assert max(gaps) - min(gaps) <= 2


def test_the_floor_is_drawn_and_dashed():
    plot = draw(STEPS, [3.0] * 50, width=40, height=5, floor=1.0, unicode=False)

    assert "*  *  *" in plot[4]


def test_a_floor_of_zero_is_left_out_of_a_logarithmic_axis():
    values = [10.0 ** (-step / 10) for step in STEPS]

    assert draw(STEPS, values, width=40, height=5, floor=0.0) == draw(
        STEPS, values, width=40, height=5
    )


def test_points_that_are_not_finite_are_left_out():
    assert draw([0, 1], [math.nan, math.inf], width=40, height=5) == []
    assert len(draw([0, 1, 2], [1.0, math.nan, 2.0], width=40, height=5)) == 6


def test_a_span_beyond_the_range_of_a_float_is_drawn():
    plot = draw([0, 1, 2], [-1.7e308, 0.0, 1.7e308], width=40, height=5, unicode=False)

    assert plot[4].split("|")[1].startswith("*")
    assert plot[0].endswith("*")


@given(
    st.lists(st.floats(), min_size=1, max_size=20),
    st.none() | st.floats(),
    st.booleans(),
)
def test_anything_can_be_drawn_within_its_frame(values, floor, unicode):
    lines = draw(list(range(len(values))), values, width=60, height=6, floor=floor, unicode=unicode)

    assert len(lines) in (0, 7)
    assert all(len(line) <= 60 for line in lines)


def test_steps_that_are_not_in_order_stay_inside_the_picture():
    lines = draw([0.0, 1e300, 1.0], [1.0, 2.0, 3.0], width=30, height=4)

    assert len(lines) == 5
    assert max(map(len, lines)) <= 30
