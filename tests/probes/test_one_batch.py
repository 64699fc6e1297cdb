"""A batch is called unlearnable only if nothing learns it, two samples of it alone included."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import FACTORY, FORWARD, LINE, SETUP

from traindoctor.errors import CannotJudge, ExperimentFailed
from traindoctor.experiments import OverfitBatch, PlainNetwork, ReadSource, ShortRun
from traindoctor.probing import Confidence, Finding, Severity
from traindoctor.trace import (
    ClipRow,
    CriterionRow,
    LossRow,
    ModuleRow,
    OptimizerRow,
    ParameterRow,
    Place,
    Trace,
    UpdateRow,
)
from traindoctor_probes.one_batch import Options, examine


def ran(learned: bool | None, end: float, **facts: Any) -> Trace:
    """Return the trace of one batch trained on; keys that are no fact belong to its criterion."""
    of_criterion = ("input", "num", "target_m", "function")
    criterion = {"function": "cross_entropy"}
    criterion |= {k: facts.pop(k) for k in list(facts) if k.startswith(of_criterion)}
    given = {
        "learned": learned,
        "course": "reached" if learned else "stuck",
        "start": 2.0,
        "end": end,
        "peak": 2.0,
        "floor": 0.0,
        "floor_reason": "",
        "progress": 1 - end / 2,
        "steps": 60,
        "learning_rate": 1e-3,
        "optimizer": "AdamW",
    }
    return Trace(
        setup=SETUP,
        losses=(LossRow(step=0, batch=0, value=2.0), LossRow(step=1, batch=0, value=end)),
        criteria=(CriterionRow(value=end, **criterion),),
        facts={"overfit": given | facts},
    )


STUCK, LEARNED = ran(False, 0.8), ran(True, 0.01)
PLAIN = Trace(setup=SETUP)


def found(
    own: Trace,
    fresh: Trace = STUCK,
    few: Trace = STUCK,
    *,
    short: Trace = PLAIN,
    healing: str | float = "",
    plain: Trace | None = None,
) -> list[Finding]:
    """Examine; `healing` is what has to be taken away, or the factor of the rate that learns."""

    def ask(experiment: Any) -> Trace:
        if isinstance(experiment, ShortRun):
            return short
        if isinstance(experiment, ReadSource):
            return Trace()
        if isinstance(experiment, PlainNetwork):
            if plain is None:
                raise ExperimentFailed("the batch has no one label a sample")
            return plain
        assert isinstance(experiment, OverfitBatch)
        if experiment.undisputed and healing != "undisputed":
            raise ExperimentFailed("no two samples contradict each other")
        if experiment.undisputed or healing in (experiment.without or None, experiment.factor):
            return LEARNED
        return few if experiment.samples else fresh if experiment.fresh else own

    return list(examine(ask, Options()))


BUILT = Place("/user/train.py", 30, "setup")
CLIPPED = ClipRow(place=LINE, norms=(2.0, 1.0), limits=(1e-4, 1e-4))
SHORT = Trace(
    setup=SETUP,
    optimizers=(
        OptimizerRow(
            index=0,
            class_name="SGD",
            learning_rates=(0.1,),
            weight_decays=(1e-4,),
            place=BUILT,
        ),
    ),
    modules=(ModuleRow(path="drop", place=FORWARD, attributes={"p": 0.9}),),
    clips=(CLIPPED,),
)


@pytest.mark.parametrize(
    ("change", "place", "blamed_on", "names"),
    [
        ("clipping", LINE, ("TD210", "TD211"), ["without clipping"]),
        ("dropout", FORWARD, (), ["without clipping", "without dropout"]),
        ("weight decay", BUILT, ("TD412",), None),  # weak: after every rate
    ],
)
def test_the_change_that_heals_is_the_cause(
    change: str, place: Place, blamed_on: tuple[str, ...], names: list[str] | None
) -> None:
    (finding,) = found(STUCK, fresh=LEARNED, short=SHORT, healing=change)
    assert finding.location.line == place.line
    assert finding.blamed_on == blamed_on
    (table,) = finding.tables
    tried = [row[0] for row in table.rows[1:]]
    assert tried[-1] == f"without {change}"
    assert names is None or tried == names
    assert [series.y[-1] for series in finding.series] == [0.8, 0.01]


def test_a_frozen_part_may_be_meant() -> None:
    frozen = ParameterRow(name="stem.weight", num_elements=8, requires_grad=False)
    head = ParameterRow(name="head.weight", num_elements=2, num_optimizers=1)
    short = Trace(setup=SETUP, parameters=(frozen, head))
    (finding,) = found(STUCK, short=short, healing="freezing")
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.LIKELY)


def test_another_learning_rate_is_left_to_its_own_rule() -> None:
    with pytest.raises(CannotJudge, match="the learning rate times 10 it is learned"):
        found(STUCK, fresh=LEARNED, short=SHORT, healing=10.0)


def test_clipping_is_not_blamed_where_steps_are_large() -> None:
    large = UpdateRow(step=0, parameter="weight", weight_rms=1.0, update_rms=0.5, share_changed=1.0)
    weight = ParameterRow(name="weight", num_elements=8, num_optimizers=1)
    short = replace(SHORT, updates=(large,), parameters=(weight,))
    with pytest.raises(CannotJudge, match="a fresh AdamW over all trainable parameters learns it"):
        found(STUCK, fresh=LEARNED, short=short, healing="clipping")


def test_a_batch_that_nothing_learns_is_told_with_every_curve() -> None:
    (finding,) = found(STUCK)
    assert (finding.code, finding.location.line) == ("TD601", FACTORY.line)
    assert finding.title == "One batch cannot be learned: its loss stays at 0.8, its floor is 0"
    assert finding.series[0].name == "your optimizer"


@pytest.mark.parametrize(
    ("learned", "said"),
    [(True, "The data can be learned: "), (False, "The data may be at fault: ")],
)
def test_a_plain_network_tells_sick_data_from_sick_code(learned: bool, said: str) -> None:
    facts = {"start": 2.0, "end": 0.02, "steps": 26, "width": 64, "learned": learned}
    (finding,) = found(STUCK, plain=Trace(losses=STUCK.losses, facts={"plain": facts}))
    assert said in finding.message
    assert [series.name for series in finding.series[-2:]] == [
        "a plain network",
        "a plain network, labels permuted",
    ]


def test_bounded_logits_are_recognised() -> None:
    few = ran(False, 0.24, input_minimum=-1.0, input_maximum=1.0, num_classes=3)
    (finding,) = found(STUCK, few=few)
    assert "something bounds them" in finding.mechanism


def test_samples_that_look_alike_at_the_loss_are_a_proof_by_themselves() -> None:
    few = ran(None, 0.3, input_minimum=-4.0, input_maximum=4.0, input_spread=0.0)
    (finding,) = found(STUCK, few=few)
    assert "their inputs do not reach it" in finding.mechanism


def test_targets_beyond_the_last_activation_are_recognised_at_its_line() -> None:
    few = ran(
        False,
        0.24,
        input_minimum=0.9,
        input_maximum=1.0,
        input_spread=0.0,  # it is saturated, which is no blindness
        input_operation="sigmoid",
        input_place=LINE,
        target_minimum=0.0,
        target_maximum=20.0,
        function="mse_loss",
    )
    (finding,) = found(STUCK, few=few)
    assert "`sigmoid` bounds what comes out" in finding.mechanism
    assert finding.location.line == LINE.line


def test_labels_that_contradict_each_other_are_no_fault_of_the_model() -> None:
    (finding,) = found(STUCK, few=LEARNED, healing="undisputed")
    assert finding.severity is Severity.INFO
    assert "labels contradict each other" in finding.title


@pytest.mark.parametrize(
    "own",
    [
        LEARNED,
        ran(None, 1.2, course="falling"),
        ran(False, 1.2, course="falling", steps=10),
    ],
)
def test_what_learns_or_still_falls_is_healthy(own: Trace) -> None:
    assert found(own) == []


@pytest.mark.parametrize(
    ("own", "fresh", "few"),
    [
        (STUCK, LEARNED, STUCK),  # the optimizer is at fault, and others say how
        (STUCK, STUCK, LEARNED),  # too little capacity, or labels that contradict each other
        (ran(False, 0.8, floor=None), STUCK, STUCK),
        (ran(None, 1.9, course="falling", steps=3), STUCK, STUCK),
        (ran(False, 2.0, course="flat", steps=30), STUCK, STUCK),
    ],
)
def test_what_has_another_explanation_is_not_judged(own: Trace, fresh: Trace, few: Trace) -> None:
    with pytest.raises(CannotJudge, match="loss went from"):
        found(own, fresh, few)
