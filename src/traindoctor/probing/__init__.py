"""Probes and rules: what judges a trace, and what it may say."""

from traindoctor.probing.finding import Confidence, Evidence, Finding, Location, Series, Table
from traindoctor.probing.probe import Ask, NoOptions, Probe
from traindoctor.probing.rule import Family, Remedy, Rule, Severity

__all__ = [
    "Ask",
    "Confidence",
    "Evidence",
    "Family",
    "Finding",
    "Location",
    "NoOptions",
    "Probe",
    "Remedy",
    "Rule",
    "Series",
    "Severity",
    "Table",
]
