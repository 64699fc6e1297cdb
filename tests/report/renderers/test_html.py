"""What the page shows: places, lines, plots, and what got no gradient."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from tests.report.sample import FLOW, OVERFIT, SWALLOWED, blocked

from traindoctor.probing.finding import Series
from traindoctor.report.renderers import render
from traindoctor.report.renderers.html import code, curves, flow, multiples, phases
from traindoctor.report.renderers.look import Look

LOSSES = {"x": [0, 1, 2], "y": [3.0, 2.0, 1.0]}


def page(**more: Any) -> str:
    return render(blocked(**more), "html", Look())


def text(html: str) -> str:
    """Return the words of a page, spaces folded."""
    return " ".join(re.sub(r"<[^>]+>", " ", html.partition("<body>")[2]).split())


def test_the_sick_line_is_marked_and_its_neighbours_are_not():
    shown = re.findall(r'<span class="line( sick)?"><span class="number">(\d+)</span>', page())

    assert shown == [("", "39"), ("", "40"), (" sick", "41"), ("", "42")]


def test_the_parts_of_a_bug_report_are_there_in_order():
    words = text(page())

    parts = ["Training is blocked", "TD801", "batches fetched 64", "What follows from it"]
    parts += ["Ways out", "Expected result", "Verification", "What was measured", "Known remaining"]
    assert [words.index(part) for part in parts] == sorted(words.index(part) for part in parts)


def test_modules_without_a_usable_gradient_are_marked():
    rows = {row["line"].name: [mark for _, mark in row["marks"]] for row in flow(FLOW)}

    assert rows["trunk.dead"] == ["None"]
    assert rows["trunk.quiet"] == ["zero"]
    assert rows["head"] == ["not finite 50%"]
    assert rows["embed"] == []


def test_a_run_without_a_backward_pass_has_no_table_of_gradients():
    nothing = {"gradient_rms": None, "update_ratio": None, "none": 0, "zero": 0, "not_finite": 0}

    assert flow([row | nothing for row in FLOW]) == []


def test_bars_are_logarithmic_and_within_their_track():
    shown = flow(FLOW)
    spans = [row["gradients"] for row in shown if row["gradients"]]

    assert [span["text"] for span in spans] == ["1.3e-05", "2.0e-03", "4.0e-01"]
    assert all(span["from"] >= 0 and span["from"] + span["size"] <= 100.1 for span in spans)
    sizes = [span["size"] for span in spans]
    assert sizes == sorted(sizes)


def test_the_loss_the_norms_and_one_batch_are_drawn():
    measured = {"loss_curve": LOSSES, "gradient_norms": [1.0, 2.0], "overfit": OVERFIT}

    names = [curve.name for curve in curves(measured)]

    assert names == ["loss by batch", "gradient norm by step", "loss on one batch"]
    assert curves(measured)[2].floor == 0.0


def test_of_a_watched_run_the_whole_run_is_drawn():
    run = {"x": [0, 1, 2, 4], "loss": [3.0, 2.0, 1.0, None], "gradient_norm": [None] * 4}

    drawn = curves({"loss_curve": LOSSES, "run_curve": run})

    assert [(curve.name, list(curve.x)) for curve in drawn] == [("loss by step", [0, 1, 2, 4])]


def test_the_phases_of_a_step_share_its_time():
    shown = phases({"fetch": 0.001, "backward": 0.002, "step": 0.0, "rest": 0.005})

    assert [(key, share) for key, _, share, _ in shown] == [
        ("fetch", 12.5),
        ("backward", 25.0),
        ("rest", 62.5),
    ]
    assert phases(None) == []


@pytest.mark.parametrize(
    ("ends", "is_common"),
    [((1.0, 2.0), True), ((1.0, 2e-9), False)],  # the second would be a flat line
)
def test_differential_experiments_share_an_axis_where_each_shows_something(ends, is_common):
    series = tuple(
        Series(f"rate {number}", (0.0, 1.0, 2.0), (1.1 * end, 1.05 * end, end))
        for number, end in enumerate(ends)
    )

    drawn = multiples(replace(SWALLOWED, series=series))

    tops = [re.findall(r'class="tick"[^>]*>([^<]*)<', picture)[2] for _, picture in drawn]
    assert (len(set(tops)) == 1) == is_common


def test_a_curve_that_does_not_move_is_flat_beside_one_that_does():
    steps = (0.0, 1.0, 2.0)
    series = (
        Series("a", steps, (1.52, 1.51, 1.51)),
        Series("healed", steps, (1.52, 0.8, 0)),
    )

    (_, flat), (_, falling) = multiples(replace(SWALLOWED, series=series))

    first, _, last = re.findall(r",([\d.]+)", re.search(r'points="([^"]*)"', flat)[1])
    assert float(last) - float(first) < 2  # of 144
    assert re.findall(r'class="tick"[^>]*>[^<]*<', flat) == re.findall(
        r'class="tick"[^>]*>[^<]*<', falling
    )


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a `b` c", "a <code>b</code> c"),
        ("`<b>`", "<code>&lt;b&gt;</code>"),
        ("one ` alone", "one ` alone"),
        ("`a` and ` alone", "<code>a</code> and ` alone"),
    ],
)
def test_backticks_mark_code_and_nothing_else_is_markup(said, shown):
    assert str(code(said)) == shown


def test_a_healthy_page_is_short_and_has_no_checklist():
    calm = page(findings=(), verdict="healthy", measurements={}, suppressed=())

    assert "Nothing wrong was found" in calm
    assert "Verification" not in text(calm)
