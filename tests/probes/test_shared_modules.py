"""One module under several names."""

from __future__ import annotations

from typing import Any

from tests.probes.asking import asks
from tests.probes.running import line, module, parameter

from traindoctor.probing import Confidence, Finding, NoOptions
from traindoctor.trace import ModuleRow, ParameterRow, Trace
from traindoctor_probes.shared_modules import examine

LIST = line(9, "self.layers = nn.ModuleList([nn.Linear(4, 4)] * 3)")
OTHERS = ("layers.1.{}", "layers.2.{}")


def named(leaf: str, also: tuple[str, ...] = OTHERS) -> ParameterRow:
    names = tuple(name.format(leaf) for name in also)
    return parameter(f"layers.0.{leaf}", also_named=names)


def findings(
    *rows: ParameterRow, num_calls: int = 3, text: str = LIST.text, **facts: Any
) -> list[Finding]:
    given = {"class_name": "ModuleList", "place": line(9, text)} | facts
    modules = (
        ModuleRow(path="", class_name="Net", is_users=given.pop("is_users", True)),
        ModuleRow(path="layers", **given),
        module("layers.0"),
    )
    known = Trace(parameters=rows, modules=modules)
    step = Trace(modules=(module("layers.0", num_calls=num_calls),))
    return list(examine(asks(step, read_source=known), NoOptions()))


def test_a_multiplied_list_is_one_layer_with_the_weights_of_one() -> None:
    (finding,) = findings(named("weight"), named("bias"))
    assert (finding.code, finding.location.line) == ("TD710", 9)
    assert finding.confidence is Confidence.CERTAIN
    assert [item.value for item in finding.evidence] == [1, 3, 32]


def test_a_list_that_was_appended_to_is_likely_only() -> None:
    (finding,) = findings(named("weight"), text="self.layers = nn.ModuleList(layers)")
    assert finding.confidence is Confidence.LIKELY


def test_a_module_with_a_name_of_its_own_is_declared() -> None:
    assert findings(named("weight", also=("layers.1.{}", "layer.{}"))) == []


def test_tied_weights_of_modules_that_differ_otherwise_are_no_shared_module() -> None:
    assert findings(named("weight"), named("bias", also=())) == []


def test_the_same_module_in_two_branches_is_left_alone() -> None:
    assert findings(named("weight", also=("twin.0.{}",))) == []


def test_containers_of_a_library_are_left_alone() -> None:
    whole = module("", class_name="BertModel", is_users=False)
    known = Trace(
        parameters=(parameter("net.layers.0.weight", also_named=("net.layers.1.weight",)),),
        modules=(
            whole,
            module("net", class_name="BertModel"),
            module("net.layers", class_name="ModuleList"),
        ),
    )
    assert list(examine(asks(Trace(), read_source=known), NoOptions())) == []
    assert findings(named("weight"), class_name="DecoderLayers") == []


def test_a_place_that_is_not_called_again_shares_nothing() -> None:
    assert findings(named("weight"), num_calls=1) == []
