"""How a row of the tables in text.py, vision.py, … becomes a specimen."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tests.zoo.specimen import Specimen, Target
from tests.zoo.tiny import tiny

if TYPE_CHECKING:
    from torch.utils.data import DataLoader
    from transformers import PretrainedConfig

BATCH_SIZE = 4
NUM_SAMPLES = 40

Sample = dict[str, Any]
Data = Callable[["PretrainedConfig"], list[Sample]]


def herd(
    family: str,
    data: Data,
    models: Mapping[str, Mapping[str, Any]],
    *,
    common: Mapping[str, Any] = MappingProxyType({}),
    quick: Iterable[str] = (),
    lr: float | None = None,
    needs: tuple[str, ...] = (),
) -> tuple[Specimen, ...]:
    """Return one specimen per model class, all of them fed the same kind of data.

    Args:
        family: the family of every specimen.
        data: makes the samples for a model's configuration.
        models: names of model classes with the overrides of their tiny configurations; a name
            may carry a suffix after a colon to tell two variants of one class apart.
        common: overrides that all of them share.
        quick: the names that belong to the normal test run.
        lr: the rate of an AdamW handed over with the model; without it the doctor chooses.
        needs: modules that the models need beside transformers.
    """
    unknown = set(quick) - set(models)
    if unknown:
        raise ValueError(f"quick names no model of this family: {sorted(unknown)}")
    return tuple(
        Specimen(
            name=name.replace(":", "-"),
            family=family,
            build=partial(build, name.partition(":")[0], data, {**common, **overrides}, lr),
            slow=name not in quick,
            needs=needs,
        )
        for name, overrides in models.items()
    )


def build(model_name: str, data: Data, overrides: dict[str, Any], lr: float | None) -> Target:
    """Make the model from a tiny random configuration, and a shuffled loader over its data."""
    import torch
    import transformers

    torch.manual_seed(0)
    model_class = getattr(transformers, model_name)
    config = tiny(model_class.config_class, **overrides)
    model = model_class(config)
    accepted = set(inspect.signature(model.forward).parameters)
    samples = [
        {name: value for name, value in sample.items() if name in accepted}
        for sample in data(config)
    ]
    target = {"model": model, "loader": loader(samples)}
    if lr is not None:
        target["optimizer"] = torch.optim.AdamW(model.parameters(), lr=lr)
    return target


def loader(samples: list[Sample]) -> DataLoader[Sample]:
    """Return a shuffled loader of batches of four, as many times as the samples allow."""
    from torch.utils.data import DataLoader

    return DataLoader(samples, batch_size=BATCH_SIZE, shuffle=True, collate_fn=collate)


def collate(samples: list[Sample]) -> Sample:
    """Stack tensors; join lists of tensors (variable patches of images); keep one of a flag."""
    import torch

    batch: Sample = {}
    for name, first in samples[0].items():
        values = [sample[name] for sample in samples]
        if isinstance(first, torch.Tensor):
            batch[name] = torch.stack(values)
        elif isinstance(first, list):
            batch[name] = torch.cat([tensor for value in values for tensor in value])
        elif isinstance(first, dict):
            batch[name] = values
        else:
            batch[name] = first
    return batch
