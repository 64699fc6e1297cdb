from __future__ import annotations

import pytest

from traindoctor.errors import UsageError
from traindoctor.probing.rule import Rule, Severity
from traindoctor.selection import find_rule, select_rules

RULES = {
    code: Rule(
        code=code,
        name=name,
        severity=Severity.ERROR,
        title="",
        what="",
        why="",
        known_limits="",
    )
    for code, name in [
        ("TD201", "no-gradient"),
        ("TD202", "zero-gradient"),
        ("TD401", "parameters-not-in-optimizer"),
    ]
}


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        ({}, {"TD201", "TD202", "TD401"}),
        ({"select": ["TD201"]}, {"TD201"}),
        ({"select": ["td2"]}, {"TD201", "TD202"}),
        ({"select": ["no-gradient", "TD4"]}, {"TD201", "TD401"}),
        ({"select": ["ALL"], "ignore": ["TD2"]}, {"TD401"}),
        ({"ignore": ["zero-gradient"]}, {"TD201", "TD401"}),
        ({"select": ["TD4"], "extend_select": ["TD202"]}, {"TD202", "TD401"}),
        ({"select": ["TD201"], "ignore": ["TD2"]}, {"TD201"}),
        ({"select": ["TD2"], "ignore": ["TD201"]}, {"TD202"}),
        ({"select": ["TD2", "TD4"], "ignore": ["TD2"]}, {"TD401"}),
    ],
)
def test_the_more_exact_word_wins_and_ignoring_wins_a_tie(words, codes):
    assert select_rules(RULES, **words) == codes


@pytest.mark.parametrize(
    ("word", "hint"), [("TD203", "TD20"), ("no-gradiant", "'no-gradient'"), ("TD9", "; there is")]
)
def test_an_unknown_word_is_an_error_that_names_the_nearest(word, hint):
    with pytest.raises(UsageError, match=f"there is no rule '{word}'.*{hint}"):
        select_rules(RULES, ignore=[word])


def test_a_word_that_is_half_the_same_is_no_hint():
    with pytest.raises(UsageError, match="there is no rule 'TD299'; there is TD201"):
        select_rules(RULES, ignore=["TD299"])


def test_selecting_nothing_is_an_error():
    with pytest.raises(UsageError, match="no rule is selected"):
        select_rules(RULES, ignore=["ALL"])


def test_a_rule_is_found_by_code_or_name():
    assert find_rule(RULES, "td201") is find_rule(RULES, "no-gradient") is RULES["TD201"]
    with pytest.raises(UsageError, match="did you mean 'TD20"):
        find_rule(RULES, "TD200")
