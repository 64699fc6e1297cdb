"""Work on many specimens in fresh processes, one torch thread each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

Row = dict[str, Any]


def in_pool(work: Callable[[str], Row], names: Iterable[str], jobs: int) -> Iterator[Row]:
    """Yield `work(name)` for every name, in the order in which they finish.

    Workers are spawned: a forked child that computes after its parent did may hang.
    """
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_quiet) as pool:
        for future in as_completed([pool.submit(work, name) for name in names]):
            yield future.result()


def _quiet() -> None:
    import warnings

    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
