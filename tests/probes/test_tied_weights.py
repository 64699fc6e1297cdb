"""Ties that do not hold."""

from __future__ import annotations

from typing import Any

from tests.probes.asking import asks
from tests.probes.running import line, source

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import TieRow, Trace
from traindoctor_probes.tied_weights import examine

TIE = line(2, "self.head.weight = self.table.weight")
TEXT = "self.head = nn.Linear(4, 6)\nself.head.weight = self.table.weight\n"


def findings(text: str = TEXT, **facts: Any) -> list[Finding]:
    given = {"said_by": TIE.text, "place": TIE, "num_elements": 24, "difference": 0.3}
    row = TieRow(name="head.weight", other="table.weight", **given | facts)
    return list(examine(asks(read_source=Trace(ties=(row,), source=source(text))), NoOptions()))


def test_the_line_that_builds_the_head_anew_is_the_place() -> None:
    (finding,) = findings(TEXT + "self.head = nn.Linear(4, 6)\n")
    assert (finding.code, finding.severity, finding.location.line) == ("TD213", Severity.ERROR, 3)
    assert [place.line for place in finding.also_at] == [2]


def test_without_such_a_line_the_tie_is() -> None:
    (finding,) = findings()
    assert finding.location.line == 2


def test_two_parameters_in_one_memory_are_a_warning() -> None:
    (finding,) = findings(
        "self.head.weight.data = self.table.weight.data\n",
        place=line(0),
        is_one_memory=True,
        difference=0.0,
        said_by="their memory",
    )
    assert finding.severity is Severity.WARNING
    assert ".data" not in finding.remedies[0].after


def test_no_tie_no_finding() -> None:
    assert list(examine(asks(read_source=Trace()), NoOptions())) == []
