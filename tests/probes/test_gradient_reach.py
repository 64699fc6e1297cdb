"""Parameters without a gradient: forgotten ones are told from those that this loss leaves out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.running import gradients, line, module, parameter, run, source

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import CutRow, LossRow, Trace
from traindoctor_probes.gradient_reach import examine

NET = """
class Net(nn.Module):
    def __init__(self):
        self.head = nn.Linear(4, 4)
        nn.init.zeros_(self.head.bias)
    def forward(self, x):
        return {use}
"""
ROOT = module("", class_name="Net", is_users=True)
UNUSED = module("head", num_calls=0, order=None, place=line(4, "self.head = nn.Linear(4, 4)"))
BODY = gradients("body.weight", 0.1)


def forgotten(**facts: Any) -> Trace:
    """A head that no forward pass calls, beside a body that learns."""
    return run(
        parameters=[parameter("body.weight"), parameter("head.weight", **facts)],
        modules=[ROOT, module("body"), UNUSED],
        rows=BODY + gradients("head.weight", None),
    )


def examined(trace: Trace, use: str = "self.body(x)", **one: Any) -> list[Finding]:
    step = Trace(losses=(LossRow(step=0, batch=0, value=1.0),), modules=trace.modules, **one)
    known = Trace(source=source(NET.format(use=use)))
    return list(examine(asks(step, short_run=trace, read_source=known), NoOptions()))


def test_what_the_users_class_builds_and_never_reads_is_a_warning_where_it_is_built() -> None:
    (finding,) = examined(forgotten())
    assert (finding.code, finding.severity) == ("TD201", Severity.WARNING)
    assert finding.location.line == 4


@pytest.mark.parametrize(
    ("trace", "use"),
    [
        (forgotten(), "self.head(x) if self.aux else self.body(x)"),  # another task's
        (forgotten(num_optimizers=0), "self.body(x)"),  # nobody means to train it
        (
            replace(forgotten(), modules=(replace(ROOT, is_users=False), module("body"), UNUSED)),
            "self.body(x)",  # a library's own
        ),
    ],
)
def test_what_lacks_a_witness_is_information(trace: Trace, use: str) -> None:
    assert [finding.severity for finding in examined(trace, use)] == [Severity.INFO]


def elements(called: dict[int, tuple[tuple[int, ...], ...]]) -> Trace:
    """Three like modules in a list of which the given ones were called, with these shapes."""
    rows = [
        module(f"layers.{i}", num_calls=6 * (i in called), input_shapes=called.get(i, ()))
        for i in range(3)
    ]
    names = [f"layers.{i}.weight" for i in range(3)]
    return run(
        parameters=[parameter(name) for name in names],
        modules=[ROOT, module("layers", class_name="ModuleList", num_calls=0), *rows],
        rows=[row for i in range(3) for row in gradients(names[i], 0.1 if i in called else None)],
    )


def test_a_fixed_slice_that_leaves_a_layer_out_is_a_warning() -> None:
    (finding,) = examined(elements({1: ((8, 4),), 2: ((8, 4),)}), "run(self.layers[1:], x)")
    assert finding.severity is Severity.WARNING


def test_experts_without_a_token_are_information() -> None:
    (finding,) = examined(elements({1: ((3, 4),), 2: ((5, 4),)}), "run(self.layers, x)")
    assert finding.severity is Severity.INFO


def test_layers_drawn_at_random_are_information() -> None:
    trace = elements({1: ((8, 4),), 2: ((8, 4),)})
    once = [replace(row, num_calls=row.num_calls and 3) for row in trace.modules[1:]]
    trace = replace(trace, modules=(ROOT, *once))
    (finding,) = examined(trace, "random.choice(self.layers)(x)")
    assert finding.severity is Severity.INFO


def test_a_chosen_element_is_information() -> None:
    (finding,) = examined(elements({1: ((8, 4),)}), "self.layers[task](x)")
    assert finding.severity is Severity.INFO


def test_an_optimizer_that_holds_nothing_reached_is_an_error() -> None:
    trace = run(
        parameters=[parameter("head.weight"), parameter("body.weight", num_optimizers=0)],
        modules=[ROOT, module("body"), UNUSED],
        rows=BODY + gradients("head.weight", None),
    )
    assert [finding.severity for finding in examined(trace)] == [Severity.ERROR]


def test_layers_dropped_at_random_are_left_alone() -> None:
    rows = gradients("head.weight", None, 5) + gradients("head.weight", 0.1)[5:]
    assert examined(replace(forgotten(), gradients=(*BODY, *rows))) == []


def test_what_is_cut_off_is_another_rules() -> None:
    cut = CutRow(operation="detach", place=line(9), reaches_loss=True, parameters=("head.weight",))
    assert examined(forgotten(), cuts=(cut,)) == []


def test_what_moves_without_a_gradient_is_left_alone() -> None:
    assert examined(replace(forgotten(), facts={"moved": ("head.weight",)})) == []
