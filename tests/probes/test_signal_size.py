"""Signals that grow or shrink with depth."""

from __future__ import annotations

from collections.abc import Sequence

from tests.probes.asking import asks
from tests.probes.running import line, module, source

from traindoctor.probing import Finding
from traindoctor.trace import SignalRow, Trace
from traindoctor_probes.signal_size import Options, examine

BUILT = line(6, "self.layers = nn.ModuleList(...)")


def findings(
    sizes: Sequence[float], spreads: Sequence[float] | None = None, text: str = "", batch: int = 0
) -> list[Finding]:
    rows = tuple(
        SignalRow(
            order=index,
            operation="linear",
            module=f"layers.{index}",
            place=line(9, "x = layer(x)"),
            num_units=8,
            rms=size,
            spread=spread,
            batch=0 if index < 3 else batch,
        )
        for index, (size, spread) in enumerate(zip(sizes, spreads or sizes, strict=True))
    )
    modules = tuple(module(f"layers.{index}", place=BUILT) for index in range(len(rows)))
    run = Trace(signals=rows, modules=modules)
    return list(examine(asks(watch_signals=run, read_source=Trace(source=source(text))), Options()))


GROWS = [4.0**index for index in range(8)]


def test_growth_is_told_by_its_factor_a_layer() -> None:
    (finding,) = findings(GROWS)
    assert (finding.code, finding.location.line) == ("TD706", 6)
    assert "a factor of 4 a layer" in finding.message


def test_the_one_line_that_draws_the_weights_is_the_place() -> None:
    text = "nn.init.normal_(layer.bias)\nnn.init.normal_(layer.weight)\n"
    (finding,) = findings(GROWS, text=text)
    assert finding.location.line == 2
    assert [place.line for place in finding.also_at] == [6]


def test_a_signal_that_drowns_in_its_biases_shrinks_between_samples_alone() -> None:
    (finding,) = findings([1.0] * 8, [5.0**-index for index in range(8)])
    assert "shrinks" in finding.title


def test_growth_that_biases_alone_make_is_none() -> None:
    assert findings([1.0] * 8) == []


def test_a_signal_that_goes_up_and_down_is_not_exponential_in_depth() -> None:
    assert findings([1.0, 900.0, 0.1, 5000.0, 2.0, 8000.0, 9000.0, 1.0]) == []


def test_the_head_may_be_small() -> None:
    assert findings([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1e-6]) == []


def test_few_layers_and_layers_of_another_batch_are_no_depth() -> None:
    assert findings(GROWS[:6]) == []
    assert findings(GROWS, batch=1) == []


def test_a_zero_or_an_infinity_is_not_judged() -> None:
    assert findings([*GROWS[:6], 0.0, 1.0]) == []
    assert findings([*GROWS[:6], float("inf"), 1.0]) == []
