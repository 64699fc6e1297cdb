"""What was written to a trace on disk is what is read."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from traindoctor.errors import TargetError
from traindoctor.trace import Trace
from traindoctor.trace.rows import LossRow, ModuleRow, Place, SetupRow
from traindoctor.trace.storage import StoredTraces, TraceFile

PLACE = Place("/user/train.py", 3, "main", "loss.backward()")
LOSSES = (
    LossRow(step=0, batch=0, value=0.5, place=PLACE),
    LossRow(step=1, batch=1, value=math.inf, shape=(2, 3)),
)
MODULE = ModuleRow(
    path="body", modes=(True, False), attributes={"p": 0.5}, input_shapes=((2, 3), ())
)


def test_rows_and_figures_come_back_as_they_were(tmp_path: Path) -> None:
    file = TraceFile(tmp_path / "run.trace")
    file.put("run", "losses", LOSSES[:1])
    file.put("run", "losses", LOSSES[1:], behind=1)
    file.put("run", "modules", [MODULE])
    file.put("run", "setup", [SetupRow(model_class="Net", epochs=None)])
    file.put_facts("run", {"moved": ("a", "b"), "seconds": math.nan, "places": [PLACE], "n": {2}})
    file.put_facts("run", {"moved": ("c",)})
    found = StoredTraces(tmp_path / "run.trace").trace("run")  # which is still open
    assert found is not None
    assert (found.losses, found.modules) == (LOSSES, (MODULE,))
    assert found.setup == SetupRow(model_class="Net", epochs=None)
    assert math.isnan(found.facts.pop("seconds"))
    assert found.facts == {"moved": ("c",), "places": (PLACE,), "n": (2,)}


def test_only_the_end_of_a_table_is_replaced(tmp_path: Path) -> None:
    file = TraceFile(tmp_path / "run.trace")
    first, second, third = (LossRow(step=n, batch=n, value=float(n)) for n in range(3))
    file.put("other", "losses", LOSSES)
    file.put("run", "losses", (first, second))
    file.put("run", "losses", (third,), behind=1)
    stored = StoredTraces(tmp_path / "run.trace")
    assert stored.trace("run") == Trace(losses=(first, third))
    assert stored.trace("other") == Trace(losses=LOSSES)


def test_single_figures_are_read_by_name(tmp_path: Path) -> None:
    TraceFile(tmp_path / "run.trace").put_facts("run", {"steps": 3, "passes": 4, "share": 0.5})
    stored = StoredTraces(tmp_path / "run.trace")
    assert stored.facts("run", ("steps", "share", "unknown")) == {"steps": 3, "share": 0.5}


def test_a_table_is_replaced_for_its_trace_alone(tmp_path: Path) -> None:
    file = TraceFile(tmp_path / "run.trace")
    file.put("one", "losses", LOSSES)
    file.put("other", "losses", LOSSES)
    file.put("one", "losses", ())
    stored = StoredTraces(tmp_path / "run.trace")
    assert stored.trace("one") is None
    assert stored.trace("other") == Trace(losses=LOSSES)


@pytest.mark.parametrize("content", [None, b"", b"no database at all, but long enough for one"])
def test_what_is_no_trace_is_refused_in_a_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "run.trace"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TargetError, match=r"run\.trace"):
        StoredTraces(path)
