"""The bank's programs do what they are kept for: the base learns, each planted fault shows."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from tests.bank import watch
from tests.bank.build import FACTORIES, PROGRAMS, Edit, build
from tests.bank.edits import FAULTS, NEAR_MISSES
from tests.bank.sense import FEWEST, MAKES_SENSE_FOR
from tests.bank.watch import Seen

from traindoctor.probing.registry import all_rules

NAMES = ("mlp", "cnn", "gru", "transformer")
NUM_CLASSES = {"mlp": 3, "cnn": 3, "gru": 128, "transformer": 30}
LATE = {"TD205"}  # what they show comes in the third epoch
ON_ONE_BATCH = {"TD408", "TD409", "TD601"}  # what they show needs a batch that is repeated
SLOW = [name for name in NAMES if name != "mlp"]


def raises(*kinds: type[Exception], text: str = "") -> Callable[[Seen], bool]:
    """Expect the program to end with such an error."""
    return lambda seen: isinstance(seen.error, kinds) and text in str(seen.error)


def is_stuck(seen: Seen) -> bool:
    """Tell whether the loss of the last batches is that of the first."""
    first, last = sum(seen.losses[:6]), sum(seen.losses[-6:])
    return abs(last / first - 1) < 0.1


def gradients(seen: Seen) -> list[float]:
    """Return each parameter's largest gradient element, where it has a gradient."""
    return [value for value in seen.gradients.values() if value is not None]


def are_finite(values: list[float]) -> bool:
    return all(math.isfinite(value) for value in values)


def num_moved(seen: Seen) -> int:
    return len(seen.moved)


def goes_on(seen: Seen) -> bool:
    """Tell a program that trains as ever: its fault costs memory, time or the truth of a log."""
    return seen.error is None and seen.num_steps > 0 and num_moved(seen) > 0


SHOWS: dict[str, Callable[[Seen], bool]] = {
    "TD001": raises(TypeError, text="unexpected keyword"),
    "TD002": lambda seen: seen.error is None and seen.losses[-1] < 0.8 * seen.losses[0],
    "TD003": raises(RuntimeError, ValueError),
    "TD004": raises(TypeError),
    "TD005": raises(RuntimeError),
    "TD006": raises(RuntimeError, text="device"),
    "TD007": raises(IndexError),
    "TD008": lambda seen: seen.error is None and seen.losses[-1] < 0.8 * seen.losses[0],
    # A model that gives no loss of its own ends with a plain Trainer.
    "TD010": lambda seen: seen.error is not None or seen.losses[-1] < 0.8 * seen.losses[0],
    "TD009": lambda seen: all(math.isnan(loss) for loss in seen.losses),
    "TD011": raises(TypeError, IndexError, NotImplementedError),
    "TD012": lambda seen: any("different to the input size" in text for text in seen.warnings),
    "TD013": lambda seen: seen.num_batches == 0,
    "TD014": raises(ValueError, text="batch_size"),
    "TD101": raises(RuntimeError, text="does not require grad"),
    "TD102": lambda seen: not math.isfinite(seen.losses[0]),
    "TD115": lambda seen: seen.error is None and max(seen.losses) > 100,
    "TD215": lambda seen: goes_on(seen) and num_moved(seen) == len(seen.gradients),
    "TD306": lambda seen: goes_on(seen) and None in seen.gradients.values(),
    "TD103": lambda seen: set(seen.losses) == {0.0},
    "TD106": lambda seen: seen.losses[-1] < 2 * min(seen.losses[0], 0) or seen.losses[-1] > 10,
    "TD201": lambda seen: None in seen.gradients.values(),
    "TD202": lambda seen: 0.0 in gradients(seen) and None not in seen.gradients.values(),
    "TD203": lambda seen: math.isfinite(seen.losses[0]) and not are_finite(gradients(seen)),
    "TD204": lambda seen: min(gradients(seen)) < 1e-6 * max(gradients(seen)),
    "TD205": lambda seen: seen.error is None and max(seen.norms) > 100 * median(seen.norms),
    "TD206": lambda seen: None in seen.gradients.values(),
    "TD208": lambda seen: seen.num_stale == len(seen.losses) - 1,
    "TD209": lambda seen: seen.num_steps == len(seen.losses) and is_stuck(seen),
    "TD210": lambda seen: max(seen.norms) < 2e-3,
    "TD211": lambda seen: max(seen.norms) > 2 * 0.05,
    "TD212": raises(RuntimeError, text="does not require grad"),
    **dict.fromkeys(
        ("TD015", "TD109", "TD110", "TD111", "TD112", "TD113", "TD511", "TD602"), goes_on
    ),
    "TD108": lambda seen: goes_on(seen) and seen.losses[-1] > 0.3 * seen.losses[0],
    **dict.fromkeys(("TD216", "TD302", "TD305", "TD702", "TD716", "TD807"), goes_on),
    **dict.fromkeys(
        ("TD207", "TD213", "TD214", "TD707", "TD708", "TD710", "TD711", "TD713", "TD714"), goes_on
    ),
    **dict.fromkeys(("TD712", "TD715", "TD717", "TD718", "TD719"), goes_on),
    "TD806": lambda seen: seen.losses[-1] < seen.losses[0] and seen.weights_are_finite,
    "TD304": lambda seen: seen.error is None and num_moved(seen) == len(seen.gradients),
    "TD401": lambda seen: 0 < num_moved(seen) < len(gradients(seen)),
    "TD402": lambda seen: num_moved(seen) < len(gradients(seen)),
    "TD403": lambda seen: seen.num_steps == 0 and num_moved(seen) == 0 < len(seen.losses),
    "TD404": lambda seen: 0 < seen.num_steps <= len(seen.losses) / 2,
    "TD405": lambda seen: seen.num_steps == len(seen.losses) and num_moved(seen) == 0,
    "TD406": lambda seen: min(seen.rates) < 1e-3 * max(seen.rates),
    "TD407": lambda seen: len(set(seen.rates)) == 2,
    "TD408": lambda seen: max(seen.losses) > 2 * seen.losses[0] and seen.losses[-1] > 1,
    "TD409": lambda seen: is_stuck(seen) and num_moved(seen) == len(gradients(seen)),
    "TD410": lambda seen: seen.error is None and seen.num_held_twice > 0,
    "TD411": lambda seen: seen.num_steps == len(seen.losses) and is_stuck(seen),
    "TD412": lambda seen: num_moved(seen) > 0 and not seen.losses[-1] < 0.4 * seen.losses[0],
    "TD413": lambda seen: is_stuck(seen) and num_moved(seen) > 0,
    "TD414": lambda seen: max(seen.norms) > 1e3,
    "TD415": lambda seen: seen.num_steps == len(seen.losses),
    "TD416": lambda seen: 3 * seen.num_steps < seen.num_batches,
    "TD418": lambda seen: are_finite(gradients(seen)) and not seen.weights_are_finite,
    "TD503": lambda seen: seen.losses[-1] < 0.7 * seen.losses[0],
    "TD504": lambda seen: seen.error is None and seen.num_steps == seen.num_batches,
    **dict.fromkeys(("TD417", "TD501", "TD509", "TD510", "TD512"), goes_on),
    "TD105": lambda seen: max(seen.rates) > 2 * seen.rates[0] and goes_on(seen),
    "TD301": raises(RuntimeError, text="second time"),
    "TD303": raises(RuntimeError, text="inplace operation"),
    "TD502": lambda seen: 0 < seen.num_steps < 0.8 * seen.num_batches,
    "TD513": lambda seen: 0 < seen.num_batches == seen.num_steps <= 12,
    "TD505": lambda seen: not seen.weights_are_finite,
    "TD507": lambda seen: seen.losses[-1] < 0.05,
    "TD508": lambda seen: seen.error is None and seen.num_steps == seen.num_batches,
    "TD116": goes_on,
    "TD114": lambda seen: seen.error is None and seen.losses[-1] > 0.8,
    "TD506": lambda seen: seen.error is None and seen.losses[-1] > 0.5,
    "TD601": lambda seen: seen.losses[-1] > 0.15 * seen.losses[0],
    "TD701": lambda seen: not seen.is_training,
    "TD703": raises(ValueError, text="more than 1 value per channel"),
    "TD704": lambda seen: 0.0 in gradients(seen),
    "TD705": lambda seen: seen.error is None and num_moved(seen) == len(seen.gradients),
    "TD706": lambda seen: seen.losses[0] > 100,
    "TD801": lambda seen: seen.error is None and seen.num_steps < seen.num_batches,
    "TD802": raises(AttributeError),
    "TD803": lambda seen: seen.error is None and seen.num_steps == seen.num_batches,
    "TD804": lambda seen: seen.error is None and seen.num_steps == seen.num_batches,
    "TD805": lambda seen: 0 < seen.num_steps <= len(seen.losses) / 4,
    "TD808": lambda seen: seen.num_steps == 2 < len(seen.losses),
    "TD809": lambda seen: seen.num_batches <= 2,
}


def parameters(edits: tuple[Edit, ...]) -> list[object]:
    """Make one test of each edit; all but the quickest program's are slow."""
    marks = {True: [pytest.mark.slow], False: []}
    return [pytest.param(edit, id=edit.name, marks=marks[edit.program in SLOW]) for edit in edits]


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("name", NAMES)
def test_a_base_program_learns_a_batch_whichever_way_it_is_handed_over(name, factory):
    seen = watch.run(watch.load(PROGRAMS / f"{name}.py", factory), same_batch=100)

    assert seen.error is None
    assert seen.losses[-1] < 0.15 * seen.losses[0]
    assert seen.num_stale == 0
    assert seen.num_held_twice == 0
    assert num_moved(seen) == len(seen.gradients)


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate")
@pytest.mark.parametrize("edit", parameters(FAULTS))
def test_a_planted_fault_shows_when_the_program_runs(edit, tmp_path):
    seen = observe(edit, tmp_path)

    if edit.rule == "TD104":
        assert seen.losses[0] > 3 * math.log(NUM_CLASSES[edit.program])
        assert seen.losses[-1] < 0.5 * seen.losses[0]
    elif edit.rule == "TD107":  # the loss of probabilities cannot exceed that of a blind guess
        assert max(seen.losses) < math.log(NUM_CLASSES[edit.program]) + 0.02
    elif edit.rule == "TD709":
        base = watch.load(PROGRAMS / f"{edit.program}.py", "setup")
        assert len(seen.gradients) < len(list(base["model"].parameters()))
    else:
        assert SHOWS[edit.rule](seen), seen


@pytest.mark.parametrize("edit", parameters(NEAR_MISSES))
def test_a_near_miss_learns(edit, tmp_path):
    built = build(edit, tmp_path)
    seen = watch.run(watch.load(built.file, edit.factory), same_batch=100)

    assert seen.error is None
    if edit.rule == "TD808":  # one step, when the epoch is over
        assert seen.num_steps == 1
        return
    slowly = edit.rule == "TD805"  # a step at every fourth batch
    assert seen.losses[-1] < (0.9 if slowly else 0.5) * seen.losses[0]


def observe(edit: Edit, folder: Path) -> Seen:
    """Run an edited program in the way that lets its fault show."""
    target = watch.load(build(edit, folder).file, edit.factory)
    same_batch = 60 if edit.rule in ON_ONE_BATCH else 0
    return watch.run(target, epochs=3 if edit.rule in LATE else 2, same_batch=same_batch)


def test_every_rule_is_planted_in_three_models_where_it_makes_sense():
    # Programs of several processes are no bank's: tests/watching runs theirs.
    rules = [rule for rule in all_rules() if not rule.startswith("TD9")]
    models: dict[str, set[str]] = {rule: set() for rule in rules}
    for edit in FAULTS:
        models[edit.rule].add(edit.program)
    fewer = {rule: found for rule, found in models.items() if len(found) < FEWEST}
    assert sorted(fewer) == sorted(MAKES_SENSE_FOR)
    assert all(fewer.values())
