"""Many names read briefly."""

from __future__ import annotations

import pytest

from traindoctor.probing.wording import counted, figure, grouped


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["head.weight"], "head.weight"),
        (["layers.3.norm.bias"], "layers.3.norm.bias"),
        ([f"layers.{i}.norm.bias" for i in range(24)], "layers.*.norm.bias (24)"),
        (["a", "b", "c", "d", "e", "f"], "a, b, c, d and 2 more"),
        (["fc1.weight", "fc2.weight"], "fc1.weight, fc2.weight"),
        (["0.weight", "2.weight"], "0.weight, 2.weight"),  # of an nn.Sequential
        ([f"{i}.weight" for i in range(12)], "*.weight (12)"),
    ],
)
def test_names_that_differ_in_numbers_alone_are_one_group(names: list[str], text: str) -> None:
    assert grouped(names) == text
    assert grouped(iter(names)) == text


def test_counts_and_figures_read_as_people_write_them() -> None:
    assert (counted(1, "batch"), counted(2, "batch"), counted(0, "step")) == (
        "1 batch",
        "2 batches",
        "0 steps",
    )
    assert [figure(v) for v in (0.5, 1.2345e-7, float("nan"), None)] == [
        "0.5",
        "1.23e-07",
        "NaN",
        "unknown",
    ]
