from __future__ import annotations

from tests.report.sample import FLOW, blocked

from traindoctor.report.renderers import render
from traindoctor.report.renderers.flow_rows import folded
from traindoctor.report.renderers.look import Look


def stack(num_layers: int, **odd: dict) -> list[dict]:
    """Return rows of a stack of layers; `odd` replaces fields of single modules."""
    layer = ("attention.query", "attention.value", "mlp.up", "mlp.down", "norm")
    rows = [
        FLOW[1] | {"module": f"model.layers.{number}.{name}", "parameters": 64}
        for number in range(num_layers)
        for name in layer
    ]
    return [FLOW[0], *rows, FLOW[4]]


def test_layers_of_one_structure_become_one_line_in_forward_order():
    names = [line.name for line in folded(stack(300))]

    assert names[0] == "embed"
    assert names[1] == "model.layers.*.attention.query"
    assert names[-1] == "head"
    assert len(names) == 7


def test_a_small_model_is_not_folded():
    assert [line.name for line in folded(FLOW)] == [row["module"] for row in FLOW]


def test_unfolding_shows_every_module():
    assert len(folded(stack(300), unfold=True)) == 1502


def test_a_module_without_gradient_stays_visible_among_its_like():
    rows = stack(300)
    sick = next(row for row in rows if row["module"] == "model.layers.17.norm")
    sick.update(none=2, gradient_rms=None)

    assert "model.layers.17.norm" in [line.name for line in folded(rows)]


def test_a_module_with_a_far_smaller_gradient_stays_visible():
    rows = stack(300)
    sick = next(row for row in rows if row["module"] == "model.layers.200.mlp.up")
    sick.update(gradient_rms=1e-9)

    assert "model.layers.200.mlp.up" in [line.name for line in folded(rows)]


def test_a_folded_line_holds_the_range_and_the_sums():
    rows = stack(10)
    for number, row in enumerate(row for row in rows if row["module"].endswith("norm")):
        row["gradient_rms"] = 1e-3 * (1 + number / 10)

    line = next(line for line in folded(rows) if line.name.endswith("norm"))

    assert (line.num_modules, line.parameters) == (10, 640)
    assert (min(line.gradients), max(line.gradients)) == (1e-3, 1.9e-3)


def test_three_hundred_layers_fit_one_screen():
    report = blocked(
        "traindoctor gradflow t", measurements={"gradient_flow": stack(300)}, findings=()
    )

    assert len(render(report, "text", Look()).splitlines()) < 24


def test_modules_without_gradient_and_without_finding_are_not_left_unsaid():
    report = blocked("traindoctor gradflow t", findings=(), verdict="inconclusive")

    text = render(report, "text", Look())

    assert "\n3 modules get no usable gradient; `traindoctor check` looks for the reason.\n" in text
