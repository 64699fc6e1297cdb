"""Questions to the user's source are answered with the lines a reader would point at."""

from __future__ import annotations

import pytest

from traindoctor.probing.syntax import assigned, calls, carried, function_at, guards, setters, uses
from traindoctor.trace import Place, SourceRow

TEXT = """\
class Net(nn.Module):
    def __init__(self):
        self.head = nn.Linear(4, 4)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        x = self.stem(x)
        x = self.aux(x) if self.training else x
        for layer in self.layers[1:]:
            x = layer(x)
        return self.heads[self.task](x)


def train(loader):
    for index, batch in enumerate(loader):
        try:
            loss.backward()
            if index % 4 == 0:
                optimizer.step()
            else:
                wait()
        except ValueError:
            skip()
    model.requires_grad = False
"""
SOURCE = (SourceRow(file="/user/train.py", text=TEXT),)


def kinds(line: int) -> list[str]:
    return [guard.kind for guard in guards(SOURCE, Place("/user/train.py", line))]


@pytest.mark.parametrize(
    ("line", "around"),
    [
        (19, ["for", "try", "if"]),
        (21, ["for", "try", "else"]),
        (23, ["for", "except"]),
        (24, []),
    ],
)
def test_the_statements_around_a_line_come_from_the_outside_in(
    line: int, around: list[str]
) -> None:
    assert kinds(line) == around


def test_a_condition_is_given_as_written() -> None:
    guard = guards(SOURCE, Place("/user/train.py", 19))[-1]
    assert (guard.test, guard.place.line) == ("index % 4 == 0", 18)


def test_calls_are_found_by_their_last_name() -> None:
    assert [place.line for place, _ in calls(SOURCE, "step", "backward")] == [17, 19]


def test_assignments_to_an_attribute_are_found() -> None:
    assert [place.line for place, _ in assigned(SOURCE, "requires_grad")] == [24]


def test_a_line_knows_its_function() -> None:
    inner = function_at(SOURCE, Place("/user/train.py", 19))
    assert inner is not None
    assert inner.name == "train"
    assert function_at(SOURCE, Place("/user/other.py", 19)) is None


@pytest.mark.parametrize(
    ("attribute", "found"),
    [
        ("head", []),  # what a constructor does with it is no use
        ("stem", [False]),
        ("aux", [True]),
        ("layers", [False]),
        ("heads", [True]),
    ],
)
def test_uses_of_an_attribute_tell_whether_something_decides_on_them(
    attribute: str, found: list[bool]
) -> None:
    assert [use.is_conditional for use in uses(SOURCE, attribute)] == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("getattr(this, name)(x)", [True]),
        ("getattr(this, 'head')(x)", [False]),
        ("getattr(this, 'tail')(x)", []),
        ("this.head(x)", [False]),  # the first argument may have any name
        ("other.head(x)", []),
    ],
)
def test_attributes_read_by_name_count_as_uses(body: str, found: list[bool]) -> None:
    text = f"class Net:\n    def forward(this, x, name):\n        return {body}\n"
    source = (SourceRow(file="/user/net.py", text=text),)
    assert [use.is_conditional for use in uses(source, "head")] == found


def test_source_that_does_not_parse_has_nothing_to_say() -> None:
    assert calls((SourceRow(file="/user/note.ipynb", text="%matplotlib inline"),), "step") == []


LOOP = """\
total = 0
for epoch in range(3):
    hidden = start()
    for batch in loader:
        out, hidden = net(batch, hidden)
        probs[t], values[t] = out
        total += loss.item()
        state = model(batch)
        batch = flip(batch)
    state = reset(state)
"""


def test_what_a_loop_hands_from_round_to_round_is_of_that_loop_alone() -> None:
    source = (SourceRow(file="/user/loop.py", text=LOOP),)
    assert carried(source, Place("/user/loop.py", 7)) == ["hidden"]
    assert carried(source, Place("/user/loop.py", 10)) == []  # both are made anew in a round
    assert carried(source, Place("/user/loop.py", 1)) == []


def test_lines_that_add_to_a_variable_come_before_those_that_set_it() -> None:
    source = (SourceRow(file="/user/loop.py", text=LOOP),)
    where = Place("/user/loop.py", 7)
    assert [place.line for place in setters(source, where, "values")] == [6]
    assert [place.line for place in setters(source, where, "hidden")] == [5, 3, 5]
    assert setters(source, Place("/user/other.py", 1), "hidden") == []
