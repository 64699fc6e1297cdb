"""Controlled runs that measure: one file an experiment."""

from traindoctor.experiments.forward_keys import ForwardKeys
from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.locate_non_finite import LocateNonFinite
from traindoctor.experiments.one_step import OneStep
from traindoctor.experiments.overfit_batch import OverfitBatch
from traindoctor.experiments.read_batches import ReadBatches
from traindoctor.experiments.read_source import ReadSource
from traindoctor.experiments.short_run import ShortRun

__all__ = [
    "Experiment",
    "ForwardKeys",
    "Lab",
    "LocateNonFinite",
    "OneStep",
    "OverfitBatch",
    "ReadBatches",
    "ReadSource",
    "ShortRun",
]
