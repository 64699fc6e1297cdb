"""What was measured: typed rows in named tables."""

from traindoctor.trace.rows import *  # noqa: F403  the rows are this package's vocabulary
from traindoctor.trace.tables import Trace

__all__ = ["Trace"]
