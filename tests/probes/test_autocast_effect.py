"""Autocast is at fault if it was asked for plainly and no layer computes in another precision."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.probes.asking import asks

from traindoctor.probing import Confidence, Finding, NoOptions, Severity
from traindoctor.trace import AutocastRow, Place, SourceRow, Trace
from traindoctor_probes.autocast_effect import examine

FILE = "/user/train.py"
CODE = """\
with torch.autocast("cpu", dtype=torch.bfloat16):
    loss = loss_fn(model(x), y)
with torch.autocast("cuda", enabled=use_amp):
    loss = loss_fn(model(x), y)
with torch.autocast("cuda", torch.float16, use_amp):
    loss = loss_fn(model(x), y)
with autocast(**settings):
    loss = loss_fn(model(x), y)
"""
PLAIN = AutocastRow(
    place=Place(FILE, 1), device_type="cpu", dtype="bfloat16", num_entries=3, device="cpu"
)
OUTSIDE = Place(FILE, 12, "train", "outputs = model(x)")


def found(*rows: AutocastRow, code: str = CODE) -> list[Finding]:
    source = Trace(source=(SourceRow(file=FILE, text=code),))
    return list(examine(asks(short_run=Trace(autocasts=rows), read_source=source), NoOptions()))


def test_layers_outside_of_it_in_float32_are_a_likely_fault_at_the_call() -> None:
    (finding,) = found(replace(PLAIN, num_outside=9, outside_place=OUTSIDE))
    assert (finding.code, finding.severity) == ("TD716", Severity.WARNING)
    assert (finding.confidence, finding.location.line) == (Confidence.LIKELY, 12)
    assert [place.line for place in finding.also_at] == [1]


def test_a_type_that_is_not_cast_to_switches_it_off() -> None:
    (finding,) = found(replace(PLAIN, dtype="float32", is_on=False, num_full=6))
    assert finding.severity is Severity.WARNING
    assert "it does not cast to float32" in finding.message


def test_another_device_than_the_layers_is_named_with_theirs() -> None:
    (finding,) = found(replace(PLAIN, device_type="cuda", device="cpu", num_full=6))
    assert "It is on for cuda, and the layers are on cpu" in finding.message


def test_a_device_that_this_machine_lacks_is_information() -> None:
    laptop = replace(PLAIN, device_type="cuda", is_on=False, num_full=6)
    (finding,) = found(laptop, code='with torch.autocast("cuda"):\n    loss = model(x)\n')
    assert finding.severity is Severity.INFO


def test_code_that_casts_on_this_device_elsewhere_meant_it_here() -> None:
    (finding,) = found(replace(PLAIN, device_type="cuda", is_on=False, num_full=6))
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize(
    "row",
    [
        replace(PLAIN, num_low=9),
        replace(PLAIN, num_low=6, num_full=3, num_outside=3),  # one part is kept in float32
        replace(PLAIN, num_entries=0, num_outside=9),  # not entered in these steps: validation
        replace(PLAIN, place=Place(FILE, 3), is_on=False, num_full=9),  # a flag
        replace(PLAIN, place=Place(FILE, 5), is_on=False, num_full=9),
        replace(PLAIN, place=Place(FILE, 7), is_on=False, num_full=9),
        replace(PLAIN, place=Place(FILE, 2), is_on=False, num_full=9),  # a library's own
        replace(PLAIN, num_outside=1),
    ],
)
def test_what_has_its_effect_or_is_switched_is_silent(row: AutocastRow) -> None:
    assert found(row) == []


def test_one_that_has_its_effect_speaks_for_the_others() -> None:
    assert found(replace(PLAIN, num_low=9), replace(PLAIN, num_full=4)) == []
