"""What is sent and does not arrive."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.ranking import NAMES, both, rank, step
from tests.probes.running import line

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import CollectiveRow, DigestRow, ExchangeRow
from traindoctor_probes.lost_transfers import examine

SUM, SEND = line(30, "dist.all_reduce(gradient)"), line(31, "dist.send(x, 1)")


def copied(number: int, **facts: Any) -> ExchangeRow:
    """Return a rank's side of a sum over copies of its gradients, which stay as they are."""
    given: dict[str, Any] = {
        "name": "all_reduce",
        "place": SUM,
        "queue": "0",
        "turn": 1,
        "of": "gradients",
        "originals": NAMES,
        "original_bits": (number, 7),
        "is_copy": True,
        "is_waited": True,
        "is_changed": True,
        "is_still": True,
    }
    return ExchangeRow(**given | facts)


def findings(
    *sides: ExchangeRow, digests: tuple[DigestRow, ...] = (), **facts: Any
) -> list[Finding]:
    ranks = [
        replace(rank(number), wrappers=(), exchanges=(side,), **facts)
        for number, side in enumerate(sides)
    ]
    return list(examine(asks(compare_ranks=both(*ranks, digests=digests)), NoOptions()))


STEPS = (step(1, of=0), step(1, of=1))


def test_a_sum_over_copies_of_gradients_is_told_at_its_line() -> None:
    (finding,) = findings(copied(1), copied(2), digests=STEPS)
    assert (finding.code, finding.location.line) == ("TD908", SUM.line)
    assert finding.title == (
        "What all_reduce brings does not arrive: the gradients stay as they are"
    )
    assert finding.message.startswith("It is given a copy of the gradients of body.weight")


def test_a_sum_that_was_not_waited_for_is_told() -> None:
    facts = {"is_copy": False, "is_waited": False, "is_changed": False}
    (finding,) = findings(copied(1, **facts), copied(2, **facts), digests=STEPS)
    assert "not waited for" in finding.message


@pytest.mark.parametrize(
    "facts",
    [
        {"is_still": False},  # written back
        {"is_changed": False},  # the others sent nothing else
        {"is_copy": False},  # in place, and waited for
        {"original_bits": (1, 7)},  # equal on all ranks already, as under a wrapper
        {"original_bits": (None, None)},  # sparse
    ],
)
def test_what_does_no_harm_is_left_alone(facts: dict[str, Any]) -> None:
    assert findings(copied(1, **facts), copied(2, **facts), digests=STEPS) == []


def test_trainings_of_their_own_may_look_at_the_mean_gradient() -> None:
    apart = (step(1, of=0), step(1, of=1, before=(8, 9)))
    assert findings(copied(1), copied(2), digests=apart) == []


def test_a_script_that_averages_weights_is_left_alone() -> None:
    average = CollectiveRow(name="all_reduce", of="weights", count=9, num_later=8)
    assert findings(copied(1), copied(2), digests=STEPS, collectives=(average,)) == []


def test_weights_that_are_broadcast_into_a_copy_are_told() -> None:
    apart = (step(1, of=0), step(1, of=1, before=(8, 9)))
    facts = {"name": "broadcast", "of": "weights"}
    sides = copied(1, is_changed=False, **facts), copied(2, **facts)
    (finding,) = findings(*sides, digests=apart)
    assert "rank 1 they are as they were" in finding.message


def gathered(sent: int | None, distinct: int) -> ExchangeRow:
    return ExchangeRow(
        name="all_gather", queue="0", turn=1, sent=sent, num_outputs=2, num_distinct=distinct
    )


def test_a_gathering_into_one_tensor_is_told() -> None:
    (finding,) = findings(gathered(1, 1), gathered(2, 1))
    assert "the memory of 1" in finding.message


@pytest.mark.parametrize(("sent", "distinct"), [((1, 2), 2), ((1, 1), 1), ((None, 2), 1)])
def test_a_gathering_that_loses_nothing_is_left_alone(sent: Any, distinct: int) -> None:
    assert findings(*(gathered(one, distinct) for one in sent)) == []


def messages(sizes: tuple[int, ...], received: int) -> list[Finding]:
    """Return the findings on messages of these sizes, received in tensors of one size."""
    common: dict[str, Any] = {"queue": "0:0>1"}
    sent = tuple(
        ExchangeRow(name="send", place=SEND, turn=n, num_bytes=size, peer=1, **common)
        for n, size in enumerate(sizes, start=1)
    )
    got = tuple(replace(row, name="recv", place=SUM, num_bytes=received, peer=0) for row in sent)
    ranks = replace(rank(0), exchanges=sent), replace(rank(1), exchanges=got)
    return list(examine(asks(compare_ranks=both(*ranks)), NoOptions()))


def test_messages_that_are_always_too_short_are_told_once() -> None:
    (finding,) = messages((16, 16, 16), 32)
    assert "The last 16 bytes stay as they were" in finding.message


@pytest.mark.parametrize("sizes", [(32, 32), (16, 24, 32), (16,)])
def test_a_buffer_for_messages_of_any_length_is_left_alone(sizes: tuple[int, ...]) -> None:
    assert messages(sizes, 32) == []
