"""Does validation see samples that training sees too?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from traindoctor.errors import ExperimentFailed, words_of
from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.target.batches import describe, leaves, split
from traindoctor.target.loaders import as_dataloader
from traindoctor.trace import Trace


@dataclass(frozen=True)
class CompareData(Experiment):
    """The samples of the training data set looked for in the validation data set, bit for bit.

    Two views of one data set are compared by their indices; otherwise samples are read from all
    over both, collated as each loader would, and their inputs compared.

    Facts: `num_train` and `num_validation` samples, `num_train_read` and `num_validation_read`;
    `num_shared`, those of the latter that were found; `num_repeated`, training samples whose like
    was read before; `pairs`, a few indices of the same sample in both; `how`, "loader", "indices"
    or "values".
    """

    num_train: int = 4000
    num_validation: int = 1000
    max_seconds: float = 2.0  # for each of the two

    name: ClassVar[str] = "compare-data"
    cost: ClassVar[int] = 4

    def run(self, lab: Lab) -> Trace:
        """Return the facts.

        Raises:
            ExperimentFailed: a data set has no indices.
        """
        if lab.setup.validation_loader is None:
            return Trace(setup=lab.anatomy.facts)
        loaders = [as_dataloader(lab.setup.loader), as_dataloader(lab.setup.validation_loader)]
        views = [_view(loader) for loader in loaders]
        if any(view is None for view in views):
            raise ExperimentFailed("training or validation data cannot be read by index")
        (base, train), (other, validation) = views  # type: ignore[misc]  # None was excluded
        facts: dict[str, Any] = {"num_train": len(train), "num_validation": len(validation)}
        if base is other:
            facts |= _by_index(train, validation)
            facts["how"] = "loader" if loaders[0] is loaders[1] else "indices"
        else:
            known = self._digests(lab, base, train, loaders[0].collate_fn, self.num_train)
            looked = self._digests(
                lab, other, validation, loaders[1].collate_fn, self.num_validation
            )
            facts |= _by_value(known, looked)
        return Trace(setup=lab.anatomy.facts, facts=facts)

    def _digests(
        self, lab: Lab, dataset: Any, indices: list[int], collate: Any, most: int
    ) -> list[tuple[int, tuple[str, ...]]]:
        """Return indices spread over the data, each with the digests of its inputs."""
        number, start, found = min(most, len(indices)), lab.clock(), []
        order = [indices[i * len(indices) // number] for i in range(number)]
        for index in sorted(order, key=lambda index: index % 7):  # spread, if time runs out
            try:
                inputs, _ = split(collate([dataset[index]]))
            except Exception as error:  # the user's code may raise anything
                raise ExperimentFailed(
                    f"sample {index} cannot be read: {words_of(error)}"
                ) from error
            rows = describe(dict(leaves(inputs)), index).leaves
            found.append((index, tuple(row.digest for row in rows)))
            if lab.clock() - start > self.max_seconds:
                break
        return found


def _view(loader: Any) -> tuple[Any, list[int]] | None:
    """Return the data set below all subsets, and which of its indices the loader serves."""
    from torch.utils.data import IterableDataset, Subset, SubsetRandomSampler

    dataset = getattr(loader, "dataset", None)
    if dataset is None or isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        return None
    sampler = getattr(loader, "sampler", None)
    indices = list(range(len(dataset)))
    if isinstance(sampler, SubsetRandomSampler):
        indices = [int(index) for index in sampler.indices]
    while isinstance(dataset, Subset):
        below = dataset.indices
        indices, dataset = [int(below[index]) for index in indices], dataset.dataset
    return (dataset, indices) if indices else None


def _by_index(train: list[int], validation: list[int]) -> dict[str, Any]:
    shared = sorted(set(train) & set(validation))
    return {
        "num_train_read": len(train),
        "num_validation_read": len(validation),
        "num_shared": len(shared),
        "num_repeated": 0,
        "pairs": tuple((index, index) for index in shared[:3]),
    }


def _by_value(
    train: list[tuple[int, tuple[str, ...]]], validation: list[tuple[int, tuple[str, ...]]]
) -> dict[str, Any]:
    known: dict[tuple[str, ...], int] = {}
    num_repeated = 0
    for index, digests in train:
        num_repeated += digests in known
        known.setdefault(digests, index)
    pairs = [(index, known[digests]) for index, digests in validation if digests in known]
    return {
        "num_train_read": len(train),
        "num_validation_read": len(validation),
        "num_shared": len(pairs),
        "num_repeated": num_repeated,
        "pairs": tuple(pairs[:3]),
        "how": "values",
    }
