from __future__ import annotations

from hypothesis import given, settings
from markdown_it import MarkdownIt
from tests.report.sample import blocked
from tests.report.strategies import reports

from traindoctor.report.record import Report
from traindoctor.report.renderers import ENDINGS, render
from traindoctor.report.renderers.look import Look


def document(report: Report) -> str:
    return render(report, "markdown", Look())


def test_a_blocked_run_is_the_document_of_its_golden(golden):
    golden("check.md", document(blocked()))


def test_the_parts_come_in_the_order_of_a_bug_report():
    headings = [line for line in document(blocked()).splitlines() if line.startswith("#")]

    assert headings[1:] == [
        "## 1. TD801 swallowed-exception: "
        "Every one of 64 batches raised inside `except Exception: continue`",
        "### Problem",
        "### Root cause",
        "### The same elsewhere",
        "### Remedies",
        "### Expected result",
        "## Verification",
        "## What was not examined",
    ]


def test_the_selected_option_is_marked():
    assert "**Option B: Let the exception rise** (selected)" in document(blocked())


def test_a_healthy_run_claims_nothing_but_that():
    healthy = blocked(verdict="healthy", findings=(), suppressed=())

    page = document(healthy)

    assert page.startswith("# Nothing wrong was found\n")
    assert "## Verification" not in page


def test_the_ending_md_means_markdown():
    assert ENDINGS[".md"] == "markdown"


@given(reports)
@settings(max_examples=60, deadline=None)
def test_no_text_of_a_users_becomes_markup_or_a_heading_of_its_own(report):
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(document(report))
    inline = [child for token in tokens for child in token.children or ()]
    kinds = {token.type for token in [*tokens, *inline]}
    loud = [f for f in report.findings if f.severity != "info"]
    roots = [f for f in loud if f.role == "root-cause"]
    titles = [token for token in tokens if token.type == "heading_open" and token.tag == "h2"]
    notes = any(f.severity == "info" for f in report.findings)

    assert not kinds & {"html_block", "html_inline", "link_open", "image"}
    assert len(titles) == len(roots) + bool(roots) + notes + 1
