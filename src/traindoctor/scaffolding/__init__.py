"""Beginnings to complete: a factory for a project, a probe for traindoctor."""
