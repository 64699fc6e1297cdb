"""Tries what is added to a matrix before its eigendecomposition: are the gradients finite then?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loop import Loop, as_training_begins, finished, instruments
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.recorder import Recorder
from traindoctor.trace import Trace

if TYPE_CHECKING:
    import torch

SHARE = 1e-5  # of a matrix's largest entry: what the identity, or a step of the ramp, is worth


@dataclass(frozen=True)
class PartEigenvalues(Experiment):
    """The short run up to one batch, its matrices made Hermitian and shifted before `eigh`.

    Attributes:
        batch: the last batch that is run.
        shift: what is added: a small multiple of the identity, or a ramp on the diagonal, whose
            elements all differ. It is `SHARE` of the matrix's largest entry.
    """

    batch: int = 0
    shift: str = "ramp"  # or identity

    name: ClassVar[str] = "part-eigenvalues"
    cost: ClassVar[int] = 6

    def run(self, lab: Lab) -> Trace:
        """Return backward passes, which count the gradients that are not finite."""
        recorder = Recorder(clock=lab.clock)
        as_training_begins(lab)
        with instruments(lab, recorder), _shifted(self.shift):
            if lab.setup.train_loop is not None and lab.setup.train_step is None:
                run_user_loop(lab, recorder, self.batch + 1)
            else:
                Loop(lab.setup, lab.optimizers(), recorder).run(lab.batches(self.batch + 1))
        return finished(lab, recorder)


@contextmanager
def _shifted(shift: str) -> Iterator[None]:
    """Let every `torch.linalg.eigh` have a shifted matrix."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Shifting(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]  # as torch has it
            if func is torch.linalg.eigh and args:
                args = (shifted(args[0], shift), *args[1:])
            return func(*args, **(kwargs or {}))

    with Shifting():
        yield


def shifted(matrix: torch.Tensor, shift: str) -> torch.Tensor:
    """Return the Hermitian part of matrices (…, n, n) plus a small diagonal."""
    import torch

    size = matrix.shape[-1]
    step = SHARE * matrix.detach().abs().amax()
    diagonal = torch.ones(size, device=matrix.device)
    if shift == "ramp":
        diagonal = torch.arange(1.0, size + 1, device=matrix.device)
    return 0.5 * (matrix + matrix.mH) + torch.diag(step * diagonal).to(matrix.dtype)
