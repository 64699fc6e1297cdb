"""Loaders, passes and workers written by hand, as the data probes read them."""

from __future__ import annotations

import itertools
from typing import Any

from tests.probes.asking import FACTORY

from traindoctor.trace import (
    BatchRow,
    LeafRow,
    LoaderRow,
    ModuleRow,
    PassRow,
    Place,
    PulseRow,
    SetupRow,
    Trace,
    WorkerRow,
)

LOADER = Place("/user/train.py", 50, "setup", "loader = DataLoader(data, batch_size=4)")
DATASET = Place("/user/data.py", 12, "Data.__getitem__", "def __getitem__(self, index):")
LOOP = Place("/user/train.py", 30, "train", "batch = next(iter(loader))")


def loader(**facts: Any) -> LoaderRow:
    """Return a loader of ten batches of four in order, over the user's data set with indices."""
    given = {
        "index": 0,
        "place": LOADER,
        "dataset_class": "Data",
        "dataset_is_users": True,
        "dataset_place": DATASET,
        "num_samples": 40,
        "num_batches": 10,
        "sampler_class": "SequentialSampler",
        "is_in_order": True,
        "batch_size": 4,
        "num_passes": 1,
        "num_fetched": 6,
    }
    return LoaderRow(**{**given, **facts})


def one_pass(*digests: str, **facts: Any) -> PassRow:
    """Return a pass that gave batches with these digests."""
    repeats = sum(a == b for a, b in itertools.pairwise(digests))
    given = {
        "index": 0,
        "place": LOOP,
        "is_by_user": True,
        "num_batches": len(digests),
        "num_samples": 4 * len(digests),
        "num_compared": max(len(digests) - 1, 0),
        "num_repeats": repeats,
        "digests": digests,
    }
    return PassRow(**{**given, **facts})


def worker(index: int, /, *states: str, **facts: Any) -> WorkerRow:
    """Return a generator in a worker, or the worker itself where no states are given."""
    given = {"generator": "dataset.rng", "kind": "numpy.random.Generator"} if states else {}
    return WorkerRow(worker=index, states=states, **{**given, **facts})


def labelled(index: int, *labels: float, epoch: int = 0, **facts: Any) -> BatchRow:
    """Return a batch of inputs and integer labels."""
    inputs = LeafRow(key="0", shape=(len(labels), 3), dtype="float32", digest=f"x{index}")
    given = {
        "dtype": "int64",
        "digest": f"y{labels}",
        "values": tuple(map(float, labels)),
        "minimum": min(labels),
        "maximum": max(labels),
    } | facts
    return BatchRow(
        index=index,
        epoch=epoch,
        kind="sequence",
        size=len(labels),
        leaves=(inputs, LeafRow(key="1", shape=(len(labels),), **given)),
        digest=f"b{index}",
    )


def run(
    *,
    loaders: Any = (),
    passes: Any = (),
    batches: Any = (),
    workers: Any = (),
    modules: Any = (),
    is_watched: bool = False,
    **more: Any,
) -> Trace:
    """Return a trace with these tables; further words are facts, or the setup's."""
    setup = {"factory": FACTORY, "epochs": more.pop("epochs", 10)}
    return Trace(
        setup=SetupRow(**setup),
        loaders=tuple(loaders),
        passes=tuple(passes),
        batches=tuple(batches),
        workers=tuple(workers),
        modules=tuple(modules),
        pulses=(PulseRow(),) if is_watched else (),
        facts=more,
    )


def embedding(padding_idx: int) -> ModuleRow:
    """Return a table of 100 tokens, one of which is padding."""
    attributes = {"padding_idx": padding_idx, "num_embeddings": 100}
    return ModuleRow(path="tokens", class_name="Embedding", attributes=attributes)
