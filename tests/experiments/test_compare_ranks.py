"""Ranks are compared where there are several, and nowhere else."""

from __future__ import annotations

import torch
from torch import nn

import traindoctor
from traindoctor.experiments import CompareRanks, Lab, ShortRun
from traindoctor.experiments.compare_ranks import ONE_PROCESS
from traindoctor.target.setup import TrainingSetup


def test_a_lab_refuses_with_the_command_that_would_compare_them() -> None:
    lab = Lab(TrainingSetup(model=nn.Linear(3, 2), loader=[], loss_fn=nn.MSELoss()))
    assert lab.refusal(CompareRanks()) == ONE_PROCESS
    assert lab.refusal(ShortRun()) is None


def test_a_report_on_one_process_lists_these_rules_as_not_examined() -> None:
    data = [(torch.randn(4, 3), torch.randn(4, 2)) for _ in range(2)]
    setup = {"model": nn.Linear(3, 2), "loader": data, "loss_fn": nn.MSELoss()}
    report = traindoctor.check(setup, select=["TD9"])
    assert {(probe.status, probe.reason) for probe in report.probes} == {("skipped", ONE_PROCESS)}
    assert len(report.probes) == 8
