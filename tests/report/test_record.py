"""How a report shows itself."""

from __future__ import annotations

import html
import re

from tests.report.sample import blocked

from traindoctor.report.renderers import render
from traindoctor.report.renderers.look import Look


def test_a_notebook_shows_the_page_in_a_frame_of_its_own():
    shown = blocked()._repr_html_()

    match = re.fullmatch(r'<iframe srcdoc="([^"]*)" [^<>]*></iframe>', shown)
    assert match
    assert html.unescape(match[1]) == render(blocked(), "html", Look())


def test_printed_it_is_the_text():
    assert str(blocked()) == render(blocked(), "text", Look())
