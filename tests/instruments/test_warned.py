"""A warning of a function that is called for the program names the program's line."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.nn import functional as F

from traindoctor.instruments.flow import Flow
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.warned import warnings_overheard


def shown(number: int) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Return where warnings of two lines stand, each run so often, bare and watched."""
    found: list[list[tuple[str, int]]] = []

    def show(message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
        found[-1].append((filename, lineno))

    def work() -> None:
        globals().pop("__warningregistry__", None)
        for _ in range(number):
            F.mse_loss(torch.ones(4, 1), torch.ones(4))
            F.l1_loss(torch.ones(4, 1), torch.ones(4))

    recorder = Recorder()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = show
        found.append([])
        work()
        found.append([])
        with warnings_overheard(recorder), Flow(recorder, {}, ()).watching():
            work()
    assert sum(row.count for row in recorder.warnings) == 2
    return found[0], found[1]


def test_it_stands_where_it_would_without_us_and_as_often() -> None:
    bare, watched = shown(3)
    assert watched == bare
    assert [file for file, _ in bare] == [__file__, __file__]
