"""What a baseline makes of a report."""

from __future__ import annotations

from collections.abc import Callable

from traindoctor.config import Config
from traindoctor.errors import UsageError
from traindoctor.report.baseline import only_new
from traindoctor.report.kept import load_report
from traindoctor.report.record import Report


def known_to(config: Config) -> Callable[[Report], Report]:
    """Return what leaves out of a report what the configured baseline has.

    Raises:
        UsageError: the baseline cannot be read, or would be written over with less than it has.
    """
    if config.baseline is None:
        return lambda report: report
    written = {path.resolve() for path in (*config.report, *filter(None, [config.output]))}
    if config.baseline.resolve() in written:
        raise UsageError(
            f"{config.baseline} is the baseline; a report without what it knows cannot replace it"
        )
    baseline = load_report(config.baseline)
    return lambda report: only_new(report, baseline)
