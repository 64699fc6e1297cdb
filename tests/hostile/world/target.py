"""A target as its ingredients: what `setup` makes of them is what somebody wants examined."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from hypothesis import strategies as st
from tests.hostile.world.batches import BATCHES
from tests.hostile.world.deeds import DEEDS
from tests.hostile.world.loaders import LOADERS
from tests.hostile.world.models import MODELS, Does
from tests.hostile.world.trainings import LOSSES, OPTIMIZERS, RETURNS

MOST_ODD = 3  # parts of one target: the plain ones let the odd ones be reached


@dataclass(frozen=True)
class Recipe:
    """Names of parts; `deed` is done by the model at every forward."""

    model: str = "plain"
    batch: str = "plain"
    loader: str = "plain"
    loss: str = "plain"
    optimizer: str = "plain"
    returned: str = "plain"
    deed: str = ""

    def __str__(self) -> str:
        odd = {name: part for name, part in asdict(self).items() if part not in ("plain", "")}
        return json.dumps(odd)


PARTS: dict[str, Any] = {
    "model": MODELS,
    "batch": BATCHES,
    "loader": LOADERS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "returned": RETURNS,
    "deed": DEEDS,
}


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Draw a target with one to three odd parts."""
    names = [item.name for item in fields(Recipe)]
    odd = draw(st.lists(st.sampled_from(names), min_size=1, max_size=MOST_ODD, unique=True))
    return Recipe(**{name: draw(st.sampled_from(sorted(PARTS[name]))) for name in odd})


made: list[Any] = []
"""What `setup` has returned last, for whoever looks whether it came back as it was."""


def setup(recipe: str) -> Any:
    """Return what a factory would."""
    parts = Recipe(**json.loads(recipe))
    torch.manual_seed(0)
    model = Does(DEEDS[parts.deed]) if parts.deed else MODELS[parts.model]()
    parameters = list(model.parameters()) if _lists(model) else []
    parameters = parameters or [torch.nn.Parameter(torch.zeros(1))]  # no optimizer is empty

    def batch(number: int) -> Any:
        generator = torch.Generator().manual_seed(number)
        x = torch.randn(8, 4, generator=generator)
        return BATCHES[parts.batch](x, (x.sum(1) > 0).long())

    found = {
        "model": model,
        "loader": LOADERS[parts.loader](batch),
        "optimizer": OPTIMIZERS[parts.optimizer](parameters),
        "loss_fn": LOSSES[parts.loss],
    }
    made[:] = [found]
    return RETURNS[parts.returned](found)


def _lists(model: Any) -> bool:
    """Tell whether a model's parameters can be listed: an optimizer takes them."""
    try:
        return isinstance(model, torch.nn.Module) and all(
            torch.is_tensor(parameter) for parameter in model.parameters()
        )
    except RuntimeError:
        return False
