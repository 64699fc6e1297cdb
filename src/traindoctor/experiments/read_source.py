"""Reads the user's source files, so that a static rule is an ordinary probe."""

from __future__ import annotations

import linecache
from dataclasses import dataclass
from typing import ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.trace import SourceRow, Trace


@dataclass(frozen=True)
class ReadSource(Experiment):
    """The text of the user's files, and the setup's parts as they are.

    With a factory: its file and what that imports; else every file of the user's in the process.
    """

    name: ClassVar[str] = "read-source"
    cost: ClassVar[int] = 0

    def run(self, lab: Lab) -> Trace:
        """Return source, modules (with those in plain lists), parameters, optimizers and loads."""
        from traindoctor.instruments.ties import ties_apart
        from traindoctor.target.source import reachable_files, user_files
        from traindoctor.target.transfers import transfer_rows

        anatomy, start = lab.anatomy, lab.setup.factory.file
        return Trace(
            setup=anatomy.facts,
            parameters=anatomy.parameters,
            modules=(*anatomy.modules, *anatomy.unregistered),
            optimizers=anatomy.optimizer_rows,
            ties=ties_apart(lab.setup.model),
            transfers=transfer_rows(lab.setup),
            source=tuple(
                SourceRow(
                    file=file,
                    text="".join(linecache.getlines(file)),
                    is_factory=file == lab.setup.factory.file,
                )
                for file in (reachable_files(start) if start else user_files())
            ),
        )
