"""Controlled runs that measure: one file an experiment."""

from traindoctor.experiments.all_columns import AllColumns
from traindoctor.experiments.forward_keys import ForwardKeys
from traindoctor.experiments.frozen_graphs import FrozenGraphs
from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.locate_non_finite import LocateNonFinite
from traindoctor.experiments.locate_zero_gradient import LocateZeroGradient
from traindoctor.experiments.long_run import LongRun
from traindoctor.experiments.loss_with_noise import LossWithNoise
from traindoctor.experiments.measure_step import MeasureStep
from traindoctor.experiments.one_step import OneStep
from traindoctor.experiments.overfit_batch import OverfitBatch
from traindoctor.experiments.read_batches import ReadBatches
from traindoctor.experiments.read_source import ReadSource
from traindoctor.experiments.read_weights import ReadWeights, WatchWeights
from traindoctor.experiments.second_epoch import SecondEpoch
from traindoctor.experiments.short_run import ShortRun
from traindoctor.experiments.try_hooks import TryHooks
from traindoctor.experiments.watch_graph import WatchGraph

__all__ = [
    "AllColumns",
    "Experiment",
    "ForwardKeys",
    "FrozenGraphs",
    "Lab",
    "LocateNonFinite",
    "LocateZeroGradient",
    "LongRun",
    "LossWithNoise",
    "MeasureStep",
    "OneStep",
    "OverfitBatch",
    "ReadBatches",
    "ReadSource",
    "ReadWeights",
    "SecondEpoch",
    "ShortRun",
    "TryHooks",
    "WatchGraph",
    "WatchWeights",
]
