"""Batches that are the same on several ranks."""

from __future__ import annotations

from tests.probes.asking import asks
from tests.probes.ranking import alone, both, rank

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import CollectiveRow, RankRow
from traindoctor_probes.rank_data import examine


def findings(*ranks: RankRow) -> list[Finding]:
    return list(examine(asks(compare_ranks=both(*ranks)), NoOptions()))


def test_equal_batches_on_two_ranks_are_an_error_at_the_loader() -> None:
    (finding,) = findings(rank(0), rank(1))
    assert (finding.code, finding.location.line) == ("TD901", 10)


def test_shares_of_their_own_are_healthy() -> None:
    assert findings(rank(0, digests="abcd"), rank(1, digests="efgh")) == []


def test_a_first_batch_in_common_is_healthy() -> None:
    assert findings(rank(0, digests="abcd"), rank(1, digests="aefg")) == []


def test_the_whole_data_set_in_one_batch_tells_nothing() -> None:
    assert findings(rank(0, digests="aaaa"), rank(1, digests="aaaa")) == []


def test_ranks_that_share_no_gradients_may_read_the_same() -> None:
    """As those do that divide one model among them."""
    inside = CollectiveRow(name="all_reduce", count=40, num_elements=64)
    assert findings(alone(rank(0), inside), alone(rank(1), inside)) == []


def test_gradients_that_are_averaged_by_hand_count_as_shared() -> None:
    mean = CollectiveRow(name="all_reduce", count=40, of="gradients")
    assert [f.code for f in findings(alone(rank(0), mean), alone(rank(1), mean))] == ["TD901"]
