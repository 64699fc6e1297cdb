"""Reads the user's source files, so that a static rule is an ordinary probe."""

from __future__ import annotations

import linecache
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.trace import SourceRow, Trace

if TYPE_CHECKING:
    import torch


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
        from traindoctor.target.valueless import is_offloaded

        anatomy, start = lab.anatomy, lab.setup.factory.file
        return Trace(
            setup=anatomy.facts,
            parameters=anatomy.parameters,
            modules=(*anatomy.modules, *anatomy.unregistered),
            optimizers=anatomy.optimizer_rows,
            ties=ties_apart(lab.setup.model),
            facts={
                "fresh_statistics": _fresh_statistics(lab.setup.model),
                "is_offloaded": is_offloaded(lab.setup.model),
            },
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


def _fresh_statistics(model: torch.nn.Module) -> tuple[str, ...]:
    """Name the batch norms whose running statistics are the constructor's."""
    from torch.nn.modules.batchnorm import _BatchNorm

    found = []
    for path, module in model.named_modules():
        if not isinstance(module, _BatchNorm) or module.num_batches_tracked is None:
            continue
        mean, variance = module.running_mean, module.running_var
        if mean is None or variance is None or mean.is_meta or int(module.num_batches_tracked):
            continue
        if bool((mean == 0).all()) and bool((variance == 1).all()):
            found.append(path)
    return tuple(found)
