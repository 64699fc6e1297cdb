"""Tells causes from symptoms."""

from traindoctor.diagnosis.causes import Diagnosed, diagnose

__all__ = ["Diagnosed", "diagnose"]
