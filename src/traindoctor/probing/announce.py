"""Says what a loaded setup is and on what it runs: the head of every report."""

from __future__ import annotations

import platform
import sys
from typing import Any

from traindoctor.probing.events import TargetLoaded
from traindoctor.target.looking import attribute, length
from traindoctor.target.setup import TrainingSetup


def announce(setup: TrainingSetup) -> TargetLoaded:
    """Return the setup's facts. Nothing is run and no batch is fetched."""
    from torch.nn.parameter import is_lazy

    # A lazy parameter has no size before the first batch.
    parameters = [p for p in setup.model.parameters() if not is_lazy(p)]
    return TargetLoaded(
        reference=setup.reference,
        model_class=type(setup.model).__name__,
        num_parameters=sum(p.numel() for p in parameters),
        num_trainable=sum(p.numel() for p in parameters if p.requires_grad and p.is_leaf),
        data=_data(setup.loader),
        environment=environment(str(parameters[0].device) if parameters else "cpu"),
        location_file=setup.factory.file,
        location_line=setup.factory.line,
    )


def environment(device: str) -> dict[str, Any]:
    """Return versions and the machine, as the report records them."""
    import torch

    transformers = sys.modules.get("transformers")  # imported by the user, or not involved
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": getattr(transformers, "__version__", None),
        "platform": platform.platform(terse=True),
        "device": device,
        "threads": torch.get_num_threads(),
    }


def _data(loader: Any) -> dict[str, Any]:
    size = attribute(loader, "batch_size")
    return {
        "loader": type(loader).__name__,
        "batches": length(loader),
        "batch_size": size if isinstance(size, int) else None,
    }
