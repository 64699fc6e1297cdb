"""A healthy training setup, as an assertion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from traindoctor.report.outcome import OK, exit_code
from traindoctor.report.record import Report
from traindoctor.report.renderers import render
from traindoctor.report.renderers.look import Look


class Unhealthy(AssertionError):
    """A setup is not healthy, or nothing of it could be observed; the message is the report.

    Attributes:
        report: what was found.
    """

    def __init__(self, report: Report) -> None:
        super().__init__("\n" + render(report, "text", Look()))
        self.report = report


def assert_healthy(
    target: Any,
    *,
    select: Iterable[str] = ("ALL",),
    ignore: Iterable[str] = (),
    fail_on: str = "error",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Report:
    """Examine a setup; return the report if it is healthy.

    Args:
        target: what `traindoctor.check` takes. It comes back as it was.
        select: codes, prefixes, names of rules, or `ALL`.
        ignore: rules left out.
        fail_on: the mildest severity that fails.
        options: settings of probes by their names.

    Raises:
        Unhealthy: something was found, or nothing could be observed.
    """
    __tracebackhide__ = True
    from traindoctor.api import check

    report = check(target, select=select, ignore=ignore, options=options)
    code = exit_code(report, fail_on)
    if code != OK:
        raise Unhealthy(report)
    return report
