"""Finds out why a training run does not learn, and names the line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Report", "TrainingSetup", "__version__", "assert_healthy", "check"]

if TYPE_CHECKING:
    from traindoctor.api import check
    from traindoctor.integrations.assertion import assert_healthy
    from traindoctor.report import Report
    from traindoctor.target.setup import TrainingSetup

_HOMES = {
    "assert_healthy": "traindoctor.integrations.assertion",
    "check": "traindoctor.api",
    "Report": "traindoctor.report",
    "TrainingSetup": "traindoctor.target.setup",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: `import traindoctor` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'traindoctor' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
