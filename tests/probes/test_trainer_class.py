"""A Trainer subclass that the run imports and nowhere names is not the one that runs."""

from __future__ import annotations

from dataclasses import replace

from tests.probes.asking import FACTORY, asks, batch, leaf

from traindoctor.probing import Confidence, Finding, NoOptions, Severity
from traindoctor.trace import Place, SetupRow, SourceRow, Trace
from traindoctor_probes.trainer_class import examine

SETUP = SetupRow(
    kind="Trainer",
    trainer_class="Trainer",
    trainer_place=Place("/user/train.py", 41, "setup", "return Trainer("),
    factory=FACTORY,
    forward_parameters=("input_ids", "labels"),
)
SUBCLASS = """
from transformers import Trainer

class OurTrainer(Trainer):
    def compute_loss(self, model, inputs):
        inputs.pop("task")
        return super().compute_loss(model, inputs)
"""
BATCH = batch(leaf("input_ids", 4, 8), leaf("labels", 4), leaf("task", 4))


def found(text: str = SUBCLASS, setup: SetupRow = SETUP) -> list[Finding]:
    source = (SourceRow(file="/user/train.py", text=text, is_factory=True),)
    known = Trace(setup=setup, source=source)
    return list(examine(asks(read_source=known, read_batches=Trace(batches=(BATCH,))), NoOptions()))


def test_the_plain_class_is_an_error_at_the_line_that_makes_it() -> None:
    (finding,) = found()
    assert (finding.code, finding.severity) == ("TD010", Severity.ERROR)
    assert finding.title == "Trainer runs, and OurTrainer.compute_loss does not"
    assert finding.location.line == 41
    assert finding.remedies[0].after == "return OurTrainer("


def test_keys_that_the_subclass_would_have_taken_out_are_its_symptom() -> None:
    assert {"TD001", "TD002"} <= set(found()[0].explains)
    (finding,) = found(SUBCLASS.replace('pop("task")', 'pop("time")'))
    assert "TD002" not in finding.explains
    assert finding.confidence is Confidence.LIKELY


def test_a_subclass_that_is_chosen_by_a_condition_is_known() -> None:
    assert found(SUBCLASS + "kind = OurTrainer if weighted else Trainer\n") == []


def test_a_subclass_in_a_file_that_this_run_does_not_import_is_another_runs() -> None:
    assert found("from transformers import Trainer\n") == []


def test_a_subclass_that_leaves_the_loss_alone_is_no_matter() -> None:
    assert found(SUBCLASS.replace("compute_loss(self", "log(self")) == []


def test_the_subclass_itself_is_what_is_meant() -> None:
    assert found(setup=replace(SETUP, trainer_class="OurTrainer", trainer_is_users=True)) == []
