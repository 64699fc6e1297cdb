"""Batches of any shape are rebuilt, moved, copied and described without loss."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from traindoctor.target.batches import (
    batch_size,
    copy_batch,
    describe,
    kind_of,
    leaves,
    map_tensors,
    split,
    to_device,
)

Pair = namedtuple("Pair", ["first", "second"])


@dataclass
class Sample:
    x: Any
    note: Any = "a note"


@dataclass(frozen=True, slots=True)
class Frozen:
    x: Any


class Encoding(UserDict):
    def __init__(self, data: dict[str, Any], made_by: str) -> None:
        super().__init__(data)
        self.made_by = made_by


class Images(list):
    pass


tensors = st.integers(0, 4).map(lambda n: torch.arange(n, dtype=torch.float32))
plain = st.none() | st.integers() | st.text(max_size=3) | st.booleans()
batches = st.recursive(
    tensors | plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.lists(inner, max_size=3).map(Images)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3).map(OrderedDict)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3).map(lambda d: Encoding(d, "me"))
        | st.tuples(inner, inner).map(lambda pair: Pair(*pair))
        | st.tuples(inner, inner).map(lambda pair: Sample(*pair))
        | inner.map(Frozen)
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Compare two batches the slow way: types, structure and bits."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, (dict, UserDict)):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (Sample, Frozen)):
        return all(same(getattr(one, name), getattr(other, name)) for name in one.__match_args__)
    return bool(one == other)


@given(batches)
@settings(deadline=None)
def test_a_copy_is_the_same_and_shares_no_tensor(batch: Any) -> None:
    twin = copy_batch(batch)
    assert same(batch, twin)
    assert not {id(t) for _, t in leaves(batch)} & {id(t) for _, t in leaves(twin)}
    for _, tensor in leaves(twin):
        tensor.fill_(-1)
    assert all((tensor >= 0).all() for _, tensor in leaves(batch))


@given(batches)
@settings(deadline=None)
def test_mapping_keeps_structure_and_visits_each_tensor(batch: Any) -> None:
    mapped = map_tensors(batch, lambda tensor: tensor + 1)
    assert same(map_tensors(mapped, lambda tensor: tensor - 1), batch)
    for (key, old), (same_key, new) in zip(leaves(batch), leaves(mapped), strict=True):
        assert key == same_key
        assert torch.equal(new, old + 1)


@given(batches)
@settings(deadline=None)
def test_any_batch_is_described(batch: Any) -> None:
    row = describe(batch, 3, 1, 0.5)
    assert (row.index, row.epoch, row.fetch_seconds, row.kind) == (3, 1, 0.5, kind_of(batch))
    assert [leaf.key for leaf in row.leaves] == [key for key, _ in leaves(batch)]
    assert describe(copy_batch(batch), 0, 0, 0.0).digest == row.digest


def test_popping_from_a_copy_leaves_the_batch_alone() -> None:
    batch = Encoding({"labels": torch.zeros(2), "x": torch.ones(2)}, "me")
    twin = copy_batch(batch)
    twin.pop("labels")
    assert list(batch) == ["labels", "x"]
    assert twin.made_by == "me"


def test_one_tensor_under_two_names_stays_one_in_the_copy() -> None:
    ids = torch.zeros(2)
    twin = copy_batch({"input_ids": ids, "labels": ids})
    assert twin["input_ids"] is twin["labels"]


def test_arrays_in_a_batch_are_copied_too() -> None:
    batch = {"boxes": np.zeros(2)}
    copy_batch(batch)["boxes"][0] = 1
    assert batch["boxes"][0] == 0


def test_a_copy_requires_grad_as_the_batch_did() -> None:
    assert copy_batch((torch.zeros(2, requires_grad=True),))[0].requires_grad


def test_a_model_output_keeps_its_type() -> None:
    from transformers.modeling_outputs import BaseModelOutput

    twin = copy_batch(BaseModelOutput(last_hidden_state=torch.ones(2)))
    assert isinstance(twin, BaseModelOutput)
    assert torch.equal(twin.last_hidden_state, torch.ones(2))


def test_a_batch_encoding_keeps_its_type_and_is_not_moved_in_place() -> None:
    from transformers import BatchEncoding

    batch = BatchEncoding({"input_ids": torch.ones(2)})
    moved = to_device(batch, "meta")
    assert isinstance(moved, BatchEncoding)
    assert moved["input_ids"].is_meta
    assert not batch["input_ids"].is_meta


def test_a_packed_sequence_is_moved_by_its_own_to() -> None:
    packed = pack_sequence([torch.ones(3), torch.ones(2)])
    moved = to_device((packed, torch.ones(2)), "meta")[0]
    assert isinstance(moved, PackedSequence)
    assert moved.data.is_meta
    assert not moved.batch_sizes.is_meta
    mapped = map_tensors(packed, lambda tensor: tensor * 2)
    assert mapped.data.sum() == 10
    assert mapped.batch_sizes.tolist() == packed.batch_sizes.tolist()
    twin = copy_batch(packed)
    twin.data.zero_()
    assert packed.data.sum() == 5


def test_a_read_only_mapping_becomes_a_dict() -> None:
    assert copy_batch(MappingProxyType({"x": 1})) == {"x": 1}


def test_without_a_device_a_batch_stays() -> None:
    batch = {"x": torch.ones(1)}
    assert to_device(batch, None) is batch


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        (torch.zeros(3, 2), 3),
        ((torch.zeros(3, 2), torch.zeros(3)), 3),
        ({"x": torch.zeros(5, 2), "scale": torch.tensor(1.0), "names": ["a"] * 5}, 5),
        (([torch.zeros(2, 4), torch.zeros(2)], torch.zeros(2)), 2),
        ((torch.zeros(3), torch.zeros(4)), None),
        ({"images": torch.zeros(9), "input_ids": torch.zeros(2), "labels": torch.zeros(2)}, 2),
        ({"images": torch.zeros(9), "labels": torch.zeros(2)}, None),
        ([torch.zeros(()), "x"], None),
        ({}, None),
        ("text", None),
    ],
)
def test_the_size_is_known_or_unknown_but_never_guessed(batch: Any, size: int | None) -> None:
    assert batch_size(batch) == size


def test_splitting_finds_the_targets() -> None:
    x, y = torch.zeros(2), torch.ones(2)
    assert split((x, y)) == (x, y)
    assert split([x]) == (x, None)
    assert split((x, x, y)) == ((x, x), y)
    assert split({"x": x, "label": y}) == ({"x": x}, y)
    assert split({"x": x}) == ({"x": x}, None)
    assert split(x) == (x, None)

    class Graph:
        y = torch.ones(1)

    graph = Graph()
    assert split(graph) == (graph, graph.y)


def leaf(tensor: torch.Tensor) -> Any:
    return describe(tensor, 0, 0, 0.0).leaves[0]


def test_statistics_are_those_of_the_finite_elements() -> None:
    values = [1.0, math.nan, 3.0, math.inf, -2.0, 0.5]
    row = leaf(torch.tensor(values).reshape(3, 2))
    finite = [value for value in values if math.isfinite(value)]
    mean = sum(finite) / len(finite)
    assert (row.minimum, row.maximum) == (min(finite), max(finite))
    assert row.mean == pytest.approx(mean)
    assert row.std == pytest.approx(math.sqrt(sum((v - mean) ** 2 for v in finite) / len(finite)))
    assert (row.num_nan, row.num_infinite, row.first_bad_sample) == (1, 1, 0)


def test_labels_are_counted_and_kept() -> None:
    row = leaf(torch.tensor([3, -100, 3, 7]))
    assert (row.num_distinct, row.share_ignored) == (3, 0.25)
    assert row.values == (3.0, -100.0, 3.0, 7.0)
    assert (row.minimum, row.maximum, row.dtype) == (-100, 7, "int64")


@pytest.mark.parametrize(
    ("values", "lowest", "sample"),
    [
        ([[5, -100], [2, 3]], 2, 1),
        ([[5, -100], [-100, -1]], -1, 1),
        ([[0, 3], [4, 5]], 0, 0),
        ([[-100, -100]], -100, 0),
    ],
)
def test_the_lowest_label_is_not_the_ignored_one(
    values: list[list[int]], lowest: int, sample: int
) -> None:
    row = leaf(torch.tensor(values))
    assert (row.lowest, row.sample_of_lowest) == (lowest, sample)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.uint64, torch.int16])
def test_integers_of_every_width_are_described(dtype: torch.dtype) -> None:
    row = leaf(torch.tensor([[5, 9], [2, 3]], dtype=dtype))
    assert (row.lowest, row.sample_of_lowest, row.sample_of_maximum) == (2, 1, 0)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randint(0, 50, (4, 100)),
        torch.tensor([2**60, -(2**60), 0]),
        torch.tensor([True, False, True]),
        torch.randint(0, 9, (30,), dtype=torch.uint8),
        torch.tensor([0.5, 0.5, 2.0]),
    ],
)
def test_distinct_values_are_counted_as_a_set_would(tensor: torch.Tensor) -> None:
    assert leaf(tensor).num_distinct == len(set(tensor.flatten().tolist()))


def test_sample_digests_tell_equal_samples() -> None:
    row = leaf(torch.tensor([[1, 2], [3, 4], [1, 2]]))
    first, second, third = row.sample_digests
    assert first == third != second
    octets = torch.tensor([1, 2]).numpy().tobytes()
    assert first == hashlib.blake2b(octets, digest_size=8).hexdigest()


def test_a_large_tensor_is_digested_by_a_sample_that_spans_it() -> None:
    large = torch.zeros(4, 1 << 20)
    assert leaf(large).digest == leaf(large.clone()).digest
    changed = large.clone()
    changed[2] = 1
    assert leaf(changed).digest != leaf(large).digest
    assert leaf(changed).sample_digests[2] != leaf(large).sample_digests[2]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(0, 3),
        torch.zeros(2, 3, device="meta"),
        torch.zeros(2, 3).to_sparse(),
        torch.zeros(2, dtype=torch.complex64),
        torch.zeros(2, 3, dtype=torch.bfloat16),
        torch.zeros(2, 3, dtype=torch.float16).t(),
        torch.full((2,), math.nan),
        torch.tensor(3),
        torch.zeros(2, 3, requires_grad=True),
        torch.zeros(3).expand(2, 3),
        torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
    ],
)
def test_odd_tensors_are_described_without_harm(tensor: torch.Tensor) -> None:
    row = leaf(tensor)
    assert row.dtype == str(tensor.dtype).removeprefix("torch.")


def test_keys_without_tensors_are_named() -> None:
    row = describe({"x": torch.zeros(1), "name": ["a"], "n": 3, "y": [torch.zeros(1)]}, 0, 0, 0.0)
    assert row.other_keys == ("name", "n")
    assert [item.key for item in row.leaves] == ["x", "y.0"]
    assert row.class_name == "dict"
