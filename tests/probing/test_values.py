"""Where the user's source takes settings, rates and counters from."""

from __future__ import annotations

import pytest
from tests.probes.running import source

from traindoctor.probing.values import (
    in_place_writes,
    keyword_places,
    resumed_counters,
    written_rates,
)


def test_a_setting_is_a_keyword_or_a_key() -> None:
    text = (
        'Args(\n    max_grad_norm=1.0)\nsetup = {\n    "max_grad_norm": 2.0}\nmax_grad_norm = 3.0\n'
    )
    assert [place.line for place in keyword_places(source(text), "max_grad_norm")] == [2, 4]


def test_rates_are_set_in_groups() -> None:
    text = 'group["lr"] = 1e-3\nfor g in groups:\n    g["lr"] *= 0.9\nlr = g["lr"]\n'
    assert [place.line for place in written_rates(source(text))] == [1, 3]


@pytest.mark.parametrize(
    "text",
    [
        "for epoch in range(saved['epoch'], 9): pass",
        "train(start_epoch=saved['epoch'])",
        "first = saved['epoch'] + 1\nfor epoch in range(first, 9): pass",
        "self.step = saved.get('epoch')\nself.step += 1",
        "step = saved.pop('epoch')\nwhile step < 9: pass",
    ],
)
def test_a_count_goes_on_from_what_was_read(text: str) -> None:
    assert resumed_counters(source(text)) == ["epoch"]


@pytest.mark.parametrize(
    "text",
    ["print(saved['epoch'])", "epoch = saved['epoch']\nprint(epoch)", "saved['epoch'] = 3"],
)
def test_what_is_only_told_does_not_count(text: str) -> None:
    assert resumed_counters(source(text)) == []


def test_weights_are_written_in_place_outside_of_initialisers() -> None:
    text = (
        "def init_weights(m):\n    m.weight.normal_()\n"
        "def fit():\n    p.lerp_(q, 0.1)\n    p.data = q\n    clip_grad_norm_(ps, 1.0)\n"
        "    model.load_state_dict(best)\n    p.requires_grad_(False)\n    optimizer.step()\n"
    )
    assert [place.line for place in in_place_writes(source(text))] == [4, 5, 7]
