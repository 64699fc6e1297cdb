"""Digests of tensors against the slowest way to get them."""

from __future__ import annotations

import struct

import pytest
import torch

from traindoctor.instruments.bits import bits
from traindoctor.instruments.ranks import is_compared

LETTERS = {torch.float32: ("f", "i"), torch.float64: ("d", "q"), torch.float16: ("e", "h")}


def sum_of_bits(tensor: torch.Tensor) -> int:
    out, back = LETTERS[tensor.dtype]
    numbers = (struct.unpack(back, struct.pack(out, v))[0] for v in tensor.flatten().tolist())
    return (sum(numbers) + 2**63) % 2**64 - 2**63  # as a sum of int64 runs over


@pytest.mark.parametrize("dtype", LETTERS)
def test_a_digest_is_the_sum_of_the_bits(dtype: torch.dtype) -> None:
    tensors = [
        torch.randn(3, 5).to(dtype),
        torch.randn(4, 6).to(dtype).t(),
        torch.ones((), dtype=dtype),
    ]
    assert bits(tensors) == tuple(sum_of_bits(tensor) for tensor in tensors)


def test_one_bit_of_one_element_is_seen() -> None:
    tensor = torch.randn(1000)
    other = tensor.clone()
    other[500] = torch.nextafter(other[500], torch.tensor(float("inf")))
    assert bits([tensor]) != bits([other])


def test_what_cannot_be_read_is_none() -> None:
    sparse = torch.eye(3).to_sparse()
    meta = torch.zeros(3, device="meta")
    assert bits([None, sparse, meta, torch.zeros(0)]) == (None, None, None, 0)


def test_complex_and_half_tensors_are_read() -> None:
    assert None not in bits([torch.ones(2, dtype=torch.complex64), torch.ones(2).bfloat16()])


def test_the_steps_that_are_compared_grow_in_number_as_their_digits() -> None:
    assert [n for n in range(1, 300) if is_compared(n)] == [1, 2, 5, 10, 20, 50, 100, 200]
