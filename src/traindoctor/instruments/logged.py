"""Records the warnings that libraries give through their loggers."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

from traindoctor.instruments.dynamic import Part, State
from traindoctor.target.usercode import user_place
from traindoctor.trace import Place, WarningRow

LIBRARIES = ("transformers", "accelerate", "torch", "datasets", "lightning")
MOST_KINDS = 100


class Logged(Part):
    """Listens to every logger; what passes on is what would have passed."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.found: dict[tuple[str, Place], int] = {}  # to the row's index

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace the method that all records go through, for as long as it is open."""
        original = logging.Logger.handle

        @functools.wraps(original)
        def handle(logger: Any, record: Any) -> Any:
            if record.levelno >= logging.WARNING:
                self.safely(self._logged, record, sys._getframe(1))
            return original(logger, record)

        logging.Logger.handle = handle  # type: ignore[method-assign,assignment]  # taken back
        try:
            yield
        finally:
            logging.Logger.handle = original  # type: ignore[method-assign]

    def _logged(self, record: Any, frame: FrameType) -> None:
        if record.name.partition(".")[0] not in LIBRARIES:
            return
        rows = self.state.recorder.warnings
        key = (record.getMessage()[:1000], user_place(frame))
        if key in self.found:
            index = self.found[key]
            rows[index] = replace(rows[index], count=rows[index].count + 1)
        elif len(self.found) < MOST_KINDS:
            self.found[key] = len(rows)
            rows.append(WarningRow(category="logging", message=key[0], place=key[1]))


@contextmanager
def warned_again() -> Iterator[None]:
    """Let libraries give those warnings again that they give once a process."""
    import torch

    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    module: Any = sys.modules.get("transformers.utils.logging")
    for name in ("warning_once", "info_once"):
        forget = getattr(getattr(module, name, None), "cache_clear", None)
        if forget is not None:
            forget()
    try:
        yield
    finally:
        torch.set_warn_always(before)
