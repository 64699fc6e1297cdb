from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import Phase, given, settings
from markdown_it import MarkdownIt
from tests.report.sample import SWALLOWED, blocked
from tests.report.strategies import reports

from traindoctor.probing.finding import Table
from traindoctor.report.record import Report
from traindoctor.report.renderers import ENDINGS, render
from traindoctor.report.renderers.document import awaited, facts
from traindoctor.report.renderers.look import Look


def document(report: Report) -> str:
    return render(report, "markdown", Look())


def test_a_blocked_run_is_the_document_of_its_golden(golden):
    golden("check.md", document(blocked()))


def test_the_parts_come_in_the_order_of_a_bug_report():
    headings = [line for line in document(blocked()).splitlines() if line.startswith("#")]

    assert headings[1:] == [
        "## TD801 swallowed-exception: "
        "Every one of 64 batches raised inside `except Exception: continue`",
        "### Problem",
        "### Root cause",
        "### Remedies",
        "## Expected result",
        "## Verification",
        "## Known remaining",
    ]


def test_the_selected_option_is_marked():
    assert "**Option A: Let the exception rise** (selected)" in document(blocked())


def two_causes(**facts: Any) -> Report:
    other = replace(SWALLOWED, id="F4", code="TD802", explains=(), **facts)
    return blocked(findings=(SWALLOWED, other))


def test_several_causes_are_numbered_and_a_remedy_is_told_once() -> None:
    page = document(two_causes())
    assert "| 2 | TD802" in page
    assert "## 2. TD802" in page
    assert "**Option A: Let the exception rise** (selected), as under 1" in page
    assert page.count("- for: the cause is seen at once") == 1


def test_a_table_of_places_stands_under_the_same_risk_elsewhere() -> None:
    table = Table("Hooks on modules", ("hook", "status"), (("a|b", "risky"), ("c", "safe")))
    page = document(two_causes(tables=(table,)))
    assert "### The same risk elsewhere\n\nHooks on modules:\n\n| hook | status |" in page
    assert "| a\\|b | risky |" in page


def test_what_was_measured_is_told_with_rates_and_hooks() -> None:
    group = {"name": "head", "parameters": 2, "learning_rates": [1e-3, 1e-4]}
    steps = {
        "batches": 4,
        "epochs": 1,
        "backward_passes": 4,
        "steps": 2,
        "passes_per_step": [2],
        "accumulation_declared": 2,
        "optimizers": [{"name": "AdamW", "groups": [group | {"gradient_norms": [0.5, None]}]}],
        "skipped": [{"number": 2, "what": "KeyError caught", "place": ""}],
    }
    hook = {"hook": "save", "module": "head", "given": [], "possible": ["tensor"], "status": "safe"}
    measured = {"steps": steps, "hooks": [hook], "loss_curve": {"x": [0, 1], "y": [2.5, 1.5]}}
    page = document(blocked(verdict="healthy", findings=(), measurements=measured))
    assert "| batches served, backward passes, optimizer steps | 4, 4, 2 |" in page
    assert "| loss that was differentiated, first and last | 2.5 → 1.5 |" in page
    assert "| AdamW, head | learning rate 0.001 → 0.0001, gradient norm 0.5 |" in page
    assert "| skipped | 2 × KeyError caught |" in page
    assert "| save | head | never called | tensor | safe |" in page
    assert "4 batches in 1 short epoch were served of 64 batches an epoch" in page


def test_a_healthy_run_claims_nothing_but_that():
    healthy = blocked(verdict="healthy", findings=(), suppressed=())

    page = document(healthy)

    assert page.startswith("# Nothing wrong was found\n")
    assert "## Verification" not in page


def test_the_ending_md_means_markdown():
    assert ENDINGS[".md"] == "markdown"


@given(reports)
# A document that fails is not made smaller: that would take minutes.
@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_no_text_of_a_users_becomes_markup_or_a_heading_of_its_own(report):
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(document(report))
    inline = [child for token in tokens for child in token.children or ()]
    kinds = {token.type for token in [*tokens, *inline]}
    loud = [f for f in report.findings if f.severity != "info"]
    roots = [f for f in loud if f.role == "root-cause"]
    titles = [token for token in tokens if token.type == "heading_open" and token.tag == "h2"]
    ids = {f.id for f in roots}
    notes = any(
        f not in roots and (f not in loud or f.explained_by not in ids) for f in report.findings
    )
    more = bool(roots) + bool(awaited(roots)) + bool(facts(report)) + notes

    assert not kinds & {"html_block", "html_inline", "link_open", "image"}
    assert len(titles) == len(roots) + more + 1
