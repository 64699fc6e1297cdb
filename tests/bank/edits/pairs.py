"""Programs with two faults at once, neither of which hides the other."""

from __future__ import annotations

from tests.bank.build import FACTORIES, Edit
from tests.bank.edits import FAULTS


def planted(rule: str, program: str) -> Edit:
    """Return the first fault of a rule in a program."""
    return next(edit for edit in FAULTS if (edit.rule, edit.program) == (rule, program))


def both(program: str, *rules: str) -> Edit:
    """Plant the faults of two rules in one program, examined in the way that shows more of it."""
    first, second = (planted(rule, program) for rule in rules)
    return Edit(
        rule="+".join(rules),
        program=program,
        replace=(*first.replace, *second.replace),
        factory=max(first.factory, second.factory, key=FACTORIES.index),
        lines=(*first.lines, *second.lines) if first.lines and second.lines else (),
    )


PAIRS = (
    both("mlp", "TD201", "TD504"),
    both("mlp", "TD709", "TD806"),
    both("mlp", "TD401", "TD302"),
    both("mlp", "TD702", "TD208"),
    both("mlp", "TD410", "TD507"),
    both("cnn", "TD206", "TD302"),
    both("cnn", "TD401", "TD702"),
    both("cnn", "TD201", "TD508"),
    both("cnn", "TD709", "TD805"),
    both("gru", "TD201", "TD806"),
    both("gru", "TD401", "TD302"),
    both("gru", "TD210", "TD507"),
    both("transformer", "TD206", "TD806"),
    both("transformer", "TD201", "TD702"),
    both("transformer", "TD401", "TD305"),
    both("transformer", "TD408", "TD304"),
)
