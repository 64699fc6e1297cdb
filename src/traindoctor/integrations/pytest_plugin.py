"""The pytest plug-in: the fixture `traindoctor`, and `--traindoctor-report`.

Nothing of torch is imported before a test asks for the fixture and examines something.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from traindoctor.report.record import Report

FORMS = {"json": "json", "html": "html"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--traindoctor-report`."""
    parser.getgroup("traindoctor").addoption(
        "--traindoctor-report",
        metavar="FOLDER",
        type=Path,
        help="keep the report of each examination there, as JSON and as HTML",
    )


class Doctor:
    """Examines training setups in a test.

    Args:
        keep: takes each report.
    """

    def __init__(self, keep: Callable[[Report], None]) -> None:
        self._keep = keep

    def check(self, target: Any, **settings: Any) -> Report:
        """Examine a setup as `traindoctor.check` does."""
        from traindoctor.api import check

        report = check(target, **settings)
        self._keep(report)
        return report

    def assert_healthy(self, target: Any, **settings: Any) -> Report:
        """Examine a setup as `traindoctor.assert_healthy` does; the test fails with the report."""
        __tracebackhide__ = True
        from traindoctor.integrations.assertion import Unhealthy, assert_healthy

        try:
            report = assert_healthy(target, **settings)
        except Unhealthy as unhealthy:
            self._keep(unhealthy.report)
            raise unhealthy from None
        self._keep(report)
        return report


@pytest.fixture
def traindoctor(request: pytest.FixtureRequest) -> Doctor:
    """Examine training setups: `traindoctor.assert_healthy((model, loader, optimizer))`."""
    folder: Path | None = request.config.getoption("--traindoctor-report")
    kept: list[Report] = []

    def keep(report: Report) -> None:
        kept.append(report)
        if folder is not None:
            _write(report, folder, f"{request.node.nodeid}-{len(kept)}")

    return Doctor(keep)


def _write(report: Report, folder: Path, name: str) -> None:
    from traindoctor.report.renderers import render
    from traindoctor.report.renderers.look import Look

    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-")
    for ending, form in FORMS.items():
        text = render(report, form, Look())
        (folder / f"{stem}.{ending}").write_text(text, encoding="utf-8")
