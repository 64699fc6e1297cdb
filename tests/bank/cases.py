"""What the scoreboard examines: planted faults and their healthy twins by seed, and the zoo."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tests.bank.build import Edit, edited
from tests.bank.edits import FAULTS
from tests.bank.edits.pairs import PAIRS
from tests.bank.run import HEALTHY
from tests.zoo.catalog import SPECIMENS, missing

SEED = "manual_seed(1337)"  # as it stands in every program of the bank
SEEDS = (1337, 1, 2)


@dataclass(frozen=True, slots=True)
class Case:
    """One program to be examined.

    Attributes:
        kind: fault, pair, twin (healthy, and close to a fault) or sweep (healthy, of the zoo).
        name: stable; it decides whether the program is held out.
        rule: what is planted, or only seems to be; empty in the zoo.
        model: the program that was edited, or the specimen's name.
        seed: of its data and its initialisation.
        text: what runs; empty in the zoo.
        factory: what the doctor is given.
        lines: text of the lines that a finding may point at.
        options: what the doctor is told beside the program.
    """

    kind: str
    name: str
    rule: str = ""
    model: str = ""
    seed: int = SEEDS[0]
    text: str = ""
    factory: str = ""
    lines: tuple[str, ...] = ()
    options: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What tells it from every other case, as long as its text stays."""
        digest = hashlib.sha256(self.text.encode()).hexdigest()[:12]
        return f"{self.kind} {self.name} {self.seed} {digest}"

    @property
    def is_held_out(self) -> bool:
        """Whether it belongs to the third that no threshold is set by, under every seed."""
        return hashlib.sha256(self.name.encode()).digest()[0] % 3 == 0


def cases() -> Iterator[Case]:
    """Yield every case, the first seed of all programs first."""
    planted = [("fault", FAULTS), ("pair", PAIRS), ("twin", HEALTHY)]
    first = [of_edit(kind, edit) for kind, edits in planted for edit in edits]
    yield from first
    for specimen in SPECIMENS:
        if not missing(specimen):
            yield Case("sweep", specimen.name, model=specimen.name)
    for seed in SEEDS[1:]:
        yield from (reseeded(case, seed) for case in first)


def of_edit(kind: str, edit: Edit) -> Case:
    """Return the case of an edited program."""
    return Case(
        kind=kind,
        name=f"{edit.name}-{edit.factory}",
        rule=edit.rule,
        model=edit.program,
        text=edited(edit),
        factory=edit.factory,
        lines=edit.lines,
        options=edit.options,
    )


def reseeded(case: Case, seed: int) -> Case:
    """Return the same program with other data and another initialisation."""
    return replace(case, seed=seed, text=case.text.replace(SEED, f"manual_seed({seed})"))
