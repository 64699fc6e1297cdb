"""Which rules may speak: codes, prefixes, names and `ALL`, as the user lists them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from traindoctor.errors import UsageError, nearest
from traindoctor.probing.rule import Rule


def select_rules(
    rules: Mapping[str, Rule],
    *,
    select: Iterable[str] = ("ALL",),
    extend_select: Iterable[str] = (),
    ignore: Iterable[str] = (),
) -> frozenset[str]:
    """Return the codes of the rules that may report.

    What is ignored is silent, whoever selected it; the more exact word wins, so
    `--select TD201 --ignore TD2` keeps TD201.

    Args:
        rules: every rule there is, by code.
        select: codes, prefixes such as `TD2`, names, or `ALL`.
        extend_select: more of the same.
        ignore: what to leave out.

    Raises:
        UsageError: a word names no rule, or nothing is left.
    """
    chosen = _exactness(rules, [*select, *extend_select])
    ignored = _exactness(rules, ignore)
    codes = frozenset(code for code, exact in chosen.items() if exact > ignored.get(code, -1))
    if not codes:
        raise UsageError("no rule is selected; `traindoctor rules` lists those there are")
    return codes


def find_rule(rules: Mapping[str, Rule], word: str) -> Rule:
    """Return the rule with this code or name.

    Raises:
        UsageError: there is none.
    """
    for rule in rules.values():
        if word.lower() in (rule.code.lower(), rule.name):
            return rule
    raise _unknown(rules, word)


def _exactness(rules: Mapping[str, Rule], words: Iterable[str]) -> dict[str, int]:
    """Map each code that a word means to how exactly it was meant: letters of the code given."""
    found: dict[str, int] = {}
    for word in words:
        for code, exact in _meant(rules, word).items():
            found[code] = max(exact, found.get(code, 0))
    return found


def _meant(rules: Mapping[str, Rule], word: str) -> dict[str, int]:
    if word.upper() == "ALL":
        return dict.fromkeys(rules, 0)
    named = {rule.code: len(rule.code) for rule in rules.values() if rule.name == word.lower()}
    prefixed = {code: len(word) for code in rules if word and code.startswith(word.upper())}
    if not named and not prefixed:
        raise _unknown(rules, word)
    return named or prefixed


def _unknown(rules: Mapping[str, Rule], word: str) -> UsageError:
    known = [*rules, *(rule.name for rule in rules.values())]
    hint = nearest(word.upper() if word.upper().startswith("TD") else word.lower(), known)
    return UsageError(f"there is no rule {word!r}{hint}")
