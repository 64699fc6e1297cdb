"""Controlled runs that measure: one file an experiment."""

from traindoctor.experiments.accumulated_gradient import AccumulatedGradient
from traindoctor.experiments.all_columns import AllColumns
from traindoctor.experiments.changed_batch import ChangedBatch
from traindoctor.experiments.compare_data import CompareData
from traindoctor.experiments.compare_ranks import CompareRanks
from traindoctor.experiments.forward_keys import ForwardKeys
from traindoctor.experiments.frozen_graphs import FrozenGraphs
from traindoctor.experiments.lab import Experiment, Lab
from traindoctor.experiments.loader_speed import LoaderSpeed
from traindoctor.experiments.locate_non_finite import LocateNonFinite
from traindoctor.experiments.locate_writes import LocateWrites
from traindoctor.experiments.locate_zero_gradient import LocateZeroGradient
from traindoctor.experiments.long_run import LongRun
from traindoctor.experiments.loss_terms import LossTerms
from traindoctor.experiments.loss_with_noise import LossWithNoise
from traindoctor.experiments.measure_step import MeasureStep
from traindoctor.experiments.mix_inputs import MixInputs
from traindoctor.experiments.one_step import OneStep
from traindoctor.experiments.other_batches import OtherBatches
from traindoctor.experiments.overfit_batch import OverfitBatch
from traindoctor.experiments.part_eigenvalues import PartEigenvalues
from traindoctor.experiments.plain_network import PlainNetwork
from traindoctor.experiments.read_batches import ReadBatches
from traindoctor.experiments.read_source import ReadSource
from traindoctor.experiments.read_weights import ReadWeights, WatchWeights
from traindoctor.experiments.reload_state import ReloadState
from traindoctor.experiments.second_epoch import SecondEpoch
from traindoctor.experiments.short_run import ShortRun
from traindoctor.experiments.spread_samples import SpreadSamples
from traindoctor.experiments.swap_samples import SwapSamples
from traindoctor.experiments.trace_batch import TraceBatch
from traindoctor.experiments.try_hooks import TryHooks
from traindoctor.experiments.watch_graph import WatchGraph
from traindoctor.experiments.watch_loader import WatchLoader
from traindoctor.experiments.watch_signals import WatchSignals

__all__ = [
    "AccumulatedGradient",
    "AllColumns",
    "ChangedBatch",
    "CompareData",
    "CompareRanks",
    "Experiment",
    "ForwardKeys",
    "FrozenGraphs",
    "Lab",
    "LoaderSpeed",
    "LocateNonFinite",
    "LocateWrites",
    "LocateZeroGradient",
    "LongRun",
    "LossTerms",
    "LossWithNoise",
    "MeasureStep",
    "MixInputs",
    "OneStep",
    "OtherBatches",
    "OverfitBatch",
    "PartEigenvalues",
    "PlainNetwork",
    "ReadBatches",
    "ReadSource",
    "ReadWeights",
    "ReloadState",
    "SecondEpoch",
    "ShortRun",
    "SpreadSamples",
    "SwapSamples",
    "TraceBatch",
    "TryHooks",
    "WatchGraph",
    "WatchLoader",
    "WatchSignals",
    "WatchWeights",
]
