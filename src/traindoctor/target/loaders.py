"""What a loader says of itself, read from its attributes: nothing of it is iterated."""

from __future__ import annotations

from typing import Any

from traindoctor.target.looking import attribute, length
from traindoctor.target.source import method_place
from traindoctor.target.usercode import is_user_class
from traindoctor.trace import LoaderRow, Place

__all__ = ["as_dataloader", "loader_row", "told_epoch"]

MOST_COMPARED = 256  # entries of a list


def as_dataloader(loader: Any) -> Any:
    """Return torch's DataLoader that a loader is or, by accelerate's hand, wraps; else None."""
    from torch.utils.data import DataLoader

    inner = attribute(loader, "base_dataloader") if not isinstance(loader, type) else None
    if isinstance(inner, DataLoader):
        return inner
    return loader if isinstance(loader, DataLoader) else None


def loader_row(loader: Any, index: int = 0, place: Place = Place()) -> LoaderRow:
    """Return a loader as a row, without anything that passes over it would show."""
    from torch.utils.data import IterableDataset

    inner = as_dataloader(loader)
    if inner is None:
        num_batches = length(loader)
        return LoaderRow(
            index=index,
            class_name=type(loader).__name__,
            is_dataloader=False,
            place=place,
            num_batches=num_batches,
            is_iterable=num_batches is None,
        )
    dataset = inner.dataset
    is_iterable = isinstance(dataset, IterableDataset)
    sampler, is_in_order = _sampler(inner)
    return LoaderRow(
        index=index,
        class_name=type(loader).__name__,
        place=place,
        dataset_class=type(dataset).__name__,
        dataset_is_users=is_user_class(type(dataset)),
        dataset_place=method_place(type(dataset), "__iter__" if is_iterable else "__getitem__"),
        is_iterable=is_iterable,
        # The length of a stream is not asked for: torch would warn when it comes out otherwise.
        num_samples=None if is_iterable else length(dataset),
        num_batches=None if is_iterable else length(inner),
        sampler_class=sampler,
        is_in_order=is_in_order and not is_iterable,
        needs_epoch=_shuffling(inner) is not None,
        is_one_index=_is_one_index(dataset),
        batch_size=inner.batch_size if isinstance(inner.batch_size, int) else None,
        drop_last=bool(inner.drop_last),
        num_workers=int(inner.num_workers),
        is_persistent=bool(inner.persistent_workers),
        has_worker_init=inner.worker_init_fn is not None,
    )


def _sampler(loader: Any) -> tuple[str, bool]:
    """Return the class of what chooses the order, and whether that is torch's, one by one."""
    from torch.utils.data import BatchSampler, DistributedSampler, SequentialSampler

    batches = loader.batch_sampler
    if batches is not None and type(batches) is not BatchSampler:
        return type(batches).__name__, False
    sampler = loader.sampler if batches is None else batches.sampler
    is_in_order = type(sampler) is SequentialSampler or (
        type(sampler) is DistributedSampler and not sampler.shuffle
    )
    return type(sampler).__name__, is_in_order


def told_epoch(loader: Any) -> int | None:
    """Return the epoch that a loader's sampler was told to shuffle by; None where it needs none."""
    sampler = _shuffling(as_dataloader(loader))
    return None if sampler is None else int(sampler.epoch)


def _shuffling(loader: Any) -> Any:
    """Return the DistributedSampler that shuffles what a loader reads; None where there is none."""
    from torch.utils.data import DistributedSampler

    batches = getattr(loader, "batch_sampler", None)
    sampler = getattr(loader if batches is None else batches, "sampler", None)
    return sampler if isinstance(sampler, DistributedSampler) and sampler.shuffle else None


def _is_one_index(dataset: Any) -> bool:
    """Tell a subset, or a list, of one sample over and over: somebody meant to have it so."""
    from torch.utils.data import Subset

    if isinstance(dataset, Subset):
        indices = list(dataset.indices[:MOST_COMPARED])
        return len(indices) > 1 and all(index == indices[0] for index in indices)
    if isinstance(dataset, list | tuple):
        return len(dataset) > 1 and all(item is dataset[0] for item in dataset[:MOST_COMPARED])
    return False
