"""Parameters that are trained and that no optimizer holds, from the start or from some step on."""

from __future__ import annotations

from tests.probes.running import USERS

from traindoctor.trace import GradientRow, ParameterRow, Trace
from traindoctor_probes.optimizer_membership import outside, unfrozen


def parameter(name: str, *, trained: bool = True, num_optimizers: int = 0) -> ParameterRow:
    return ParameterRow(
        name=name, shape=(4,), num_elements=4, requires_grad=trained, num_optimizers=num_optimizers
    )


def run(*parameters: ParameterRow, reached: tuple[str, ...]) -> Trace:
    gradients = tuple(GradientRow(step=0, parameter=name, rms=1.0) for name in reached)
    return Trace(parameters=parameters, gradients=gradients, optimizers=(USERS,))


LATER = Trace(facts={"unheld_later": {"late": (16, 64)}})


def test_what_is_unfrozen_on_the_way_is_told() -> None:
    seen = run(parameter("held", num_optimizers=1), parameter("late", trained=False), reached=())
    (finding,) = unfrozen(LATER, seen)
    assert finding.code == "TD401"
    assert "before step 16" in finding.message


def test_what_no_optimizer_held_from_the_start_is_one_fault_with_what_had_a_gradient_then() -> None:
    seen = run(parameter("early"), parameter("late"), reached=("early",))
    assert len(list(outside(seen))) == 1
    assert list(unfrozen(LATER, seen)) == []


def test_what_had_no_gradient_at_first_is_told_where_nothing_else_is() -> None:
    assert len(list(unfrozen(LATER, run(parameter("late"), reached=())))) == 1
