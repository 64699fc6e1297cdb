"""Which columns a Trainer had taken out is read off the frames of the exception."""

from __future__ import annotations

from typing import Any

from traindoctor.watching.columns import columns_on


class RemoveColumnsCollator:
    """As transformers' own, as far as it is read."""

    signature_columns = ("labels",)

    def __call__(self, features: list[dict[str, Any]]) -> Any:
        kept = [{k: v for k, v in f.items() if k in self.signature_columns} for f in features]
        return kept[0]["line"]


def fetch(collate: Any) -> Any:
    data = [{"line": "a", "labels": 1}]
    return collate(data)


def facts(collate: Any) -> dict[str, Any]:
    try:
        fetch(collate)
    except KeyError as error:
        return columns_on(error.__traceback__)
    raise AssertionError("nothing was raised")


def test_columns_and_what_was_dropped() -> None:
    assert facts(RemoveColumnsCollator()) == {"columns": ("line", "labels"), "dropped": ("line",)}


def test_a_collator_of_the_users_alone_dropped_nothing() -> None:
    assert facts(lambda data: data[0]["lines"]) == {}
