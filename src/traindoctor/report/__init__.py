"""The record of an examination, and the renderers that show it."""

from traindoctor.report.record import Report

__all__ = ["Report"]
