"""Rows of what is read: batches, loaders, passes over them and their workers."""

from __future__ import annotations

from dataclasses import dataclass

from traindoctor.trace.rows.model import EdgeRow
from traindoctor.trace.rows.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafRow:
    """One tensor of a batch."""

    key: str
    shape: tuple[int, ...]
    dtype: str
    device: str = "cpu"
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None
    num_nan: int = 0
    num_infinite: int = 0
    num_negative_infinite: int = 0  # of those, -inf, as in masks that are added to scores
    first_bad_sample: int | None = None
    lowest: float | None = None  # of integer leaves: the smallest value but -100
    sample_of_lowest: int | None = None  # the first sample that holds it
    sample_of_maximum: int | None = None
    num_distinct: int | None = None  # of integer leaves, and of scalars per sample
    share_ignored: float | None = None  # share of -100 among integers
    digest: str = ""
    sample_digests: tuple[str, ...] = ()
    values: tuple[float, ...] = ()  # flattened, when it is one small number a sample
    edges: tuple[EdgeRow, ...] = ()  # of integers (batch, time): the commonest at rows' ends


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """One batch as the loader gave it."""

    index: int
    epoch: int = 0  # the pass over its loader
    loader: int = 0
    kind: str = "mapping"  # mapping, sequence, tensor, dataclass or other
    class_name: str = "dict"
    class_place: Place = Place()  # where the user's code defines that class
    size: int | None = None
    leaves: tuple[LeafRow, ...] = ()
    other_keys: tuple[str, ...] = ()  # keys whose values hold no tensor
    protocols: tuple[str, ...] = ()  # of an own class: len, mapping, iteration, index, to
    fetch_seconds: float = 0.0
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderRow:
    """One loader, with what all passes over it came to.

    One that is built anew, on the same line and over the same kind of data, goes on as the one
    before. Passes without a backward pass, where others have some, evaluate and are counted apart.
    """

    index: int
    class_name: str = "DataLoader"
    is_dataloader: bool = True  # torch's, or a class made from it
    place: Place = Place()  # where the user's code builds it
    dataset_class: str = ""
    dataset_is_users: bool = False  # its class is defined in the user's project
    dataset_place: Place = Place()  # where that class defines `__getitem__` or `__iter__`
    is_iterable: bool = False  # a stream; else a data set with indices
    num_samples: int | None = None  # of a data set with indices
    num_batches: int | None = None  # of a pass over it
    sampler_class: str = ""  # what chooses the order; of batches, where that is no plain one
    is_in_order: bool = False  # by torch's own sequential sampler, or its distributed one
    needs_epoch: bool = False  # it shuffles by the epoch that its sampler is told
    is_one_index: bool = False  # a subset of one and the same sample
    batch_size: int | None = None
    drop_last: bool = False
    num_workers: int = 0
    is_persistent: bool = False  # its workers are kept from pass to pass
    has_worker_init: bool = False
    num_passes: int = 0
    num_evaluations: int = 0  # of these
    num_ended: int = 0  # passes that were read to their end
    num_fetched: int = 0  # batches, but for evaluation
    num_repeats: int = 0  # of these: seen to be equal to the batch before, in whatever pass
    fetch_seconds: float = 0.0  # waited for these


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRow:
    """One pass over a loader: from one call of `iter` to its end, or to where it was left.

    The first passes of a run and the last ones are kept. Digests are of a sample of each tensor.
    """

    index: int
    loader: int = 0
    number: int = 0  # of this loader's passes
    place: Place = Place()  # where the user's code iterates
    is_by_user: bool = False  # that line itself iterates, and no library's loop
    sampler_epoch: int | None = None  # that its sampler was told, where it needs one
    num_batches: int = 0
    num_samples: int | None = None  # in them; None where a batch's size is unknown
    last_batch: int | None = None  # number in the run of its last one, but for evaluation
    num_trained: int = 0  # backward passes that followed a batch of it
    is_evaluation: bool = False
    has_ended: bool = False
    is_left: bool = False  # given up before its end
    is_cut: bool = False  # by the experiment that watched
    num_asked_after_end: int = 0
    asked_place: Place = Place()
    first_seconds: float = 0.0  # waited for the first batch, in which workers start
    fetch_seconds: float = 0.0  # waited for all batches
    seconds: float = 0.0  # from asking for the first batch to what was seen last
    num_compared: int = 0  # batches that were compared with the one before in this pass
    num_repeats: int = 0  # of these: equal to it
    digests: tuple[str, ...] = ()  # of the first batches
    order: str = ""  # of all batches that were compared, in their order


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A random generator inside one worker of a loader, or the worker itself.

    `states` are digests: as the worker starts, after its first sample and after its second (after
    its first and second batch, where the data set is asked for whole batches).
    """

    loader: int = 0
    number: int = 0  # of the loader's passes
    worker: int = 0
    generator: str = ""  # dataset.rng, numpy.random, …; empty for the worker itself
    kind: str = ""  # numpy.random.Generator, torch.Generator, random.Random, …
    place: Place = Place()  # where the user's code makes the generator
    is_global: bool = False  # the process's own, which torch seeds for each worker
    states: tuple[str, ...] = ()
    asks_who_it_is: bool = False  # reads `get_worker_info()` before its second sample
    is_set_apart: bool = False  # `worker_init_fn` changes an attribute of the data set
