"""Takes the first loss with noise on some parameters: do their values matter to it at all?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from traindoctor.experiments.lab import SEED, Experiment, Lab
from traindoctor.experiments.loop import Loop, as_training_begins, finished, instruments
from traindoctor.experiments.user_loop import run_user_loop
from traindoctor.instruments.recorder import Recorder
from traindoctor.trace import Trace


@dataclass(frozen=True)
class LossWithNoise(Experiment):
    """The loss of the first batch, from the seed of every other experiment.

    Gradients tell what the graph knows; this tells what the values do, past any cut.

    Attributes:
        parameters: names of those that get noise as large as they are; none for the plain loss.
    """

    parameters: tuple[str, ...] = ()

    name: ClassVar[str] = "loss-with-noise"
    cost: ClassVar[int] = 1

    def run(self, lab: Lab) -> Trace:
        """Return the losses and gradients of one batch."""
        recorder = Recorder(clock=lab.clock)
        as_training_begins(lab)
        self._disturb(lab)
        with instruments(lab, recorder):
            if lab.setup.train_loop is not None and lab.setup.train_step is None:
                run_user_loop(lab, recorder, 1)
            else:
                Loop(lab.setup, lab.optimizers(), recorder).run(lab.batches(1))
        return finished(lab, recorder)

    def _disturb(self, lab: Lab) -> None:
        import torch

        chosen = set(self.parameters)
        for name, p in lab.setup.model.named_parameters():
            if name not in chosen or p.is_meta:
                continue
            # Its own generator: dropout must draw what it would have drawn.
            generator = torch.Generator(p.device).manual_seed(SEED)
            noise = torch.randn(p.shape, generator=generator, device=p.device)
            scale = max(float(p.detach().float().square().mean().sqrt()), 0.1)
            with torch.no_grad():
                p.add_((scale * noise).to(p.dtype))
