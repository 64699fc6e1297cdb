"""One root cause as a block of text, its symptoms nested."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from traindoctor.probing.finding import Evidence, Series, Table
from traindoctor.probing.rule import Remedy
from traindoctor.report.record import ReportedFinding
from traindoctor.report.renderers.curve import draw
from traindoctor.report.renderers.page import MARKS, STYLES, Page, figure

MOST_EVIDENCE = 4
MOST_QUOTED = 3  # lines of an error message
MOST_PLACES = 4
MOST_ROWS = 8
WIDEST_CURVE, CURVE_HEIGHT = 60, 4  # characters
LEAST_POINTS, LEAST_WIDTH = 3, 40  # less is no curve


def put_finding(page: Page, finding: ReportedFinding, symptoms: Sequence[ReportedFinding]) -> None:
    """Write a finding: what, where, how it is known, what it explains, and the way out."""
    is_verbose = page.look.verbosity > 0
    page.put_ends(_heading(finding), str(finding.location))
    _put_statement(page, finding)
    _put_snippet(page, finding)
    _put_evidence(page, finding.evidence, is_verbose)
    _put_tables(page, finding.tables, is_verbose)
    if is_verbose:
        _put_curves(page, finding.series)
    if is_verbose and finding.mechanism:
        page.put_labelled("why", finding.mechanism)
    if finding.also_at:
        page.put_labelled("also at", _places(finding, is_verbose))
    if symptoms:
        page.put_labelled("explains", _symptoms(symptoms))
    _put_remedies(page, finding.remedies, is_verbose)
    for command in finding.verify:
        page.put_labelled("prove it", command)
    if is_verbose:
        for symptom in symptoms:
            _put_symptom(page, symptom)


def _heading(finding: ReportedFinding) -> Text:
    style = STYLES[finding.severity]
    heading = Text.assemble(
        (f"{MARKS[finding.severity]} {finding.severity.upper()}", style),
        "  ",
        (finding.code, "bold"),
        f" {finding.name}",
    )
    if finding.confidence != "certain":
        heading.append(f" ({finding.confidence})", style="dim")
    return heading


def _put_statement(page: Page, finding: ReportedFinding) -> None:
    page.put(finding.title, indent=2, style="bold")
    if finding.message and finding.message != finding.title:
        page.put(finding.message, indent=2)
    quoted = finding.quote.splitlines()
    is_whole = page.look.verbosity > 0 or len(quoted) <= MOST_QUOTED
    is_traceback = bool(quoted) and quoted[0].startswith(" ")  # which ends with what it tells
    if not is_whole:
        quoted = ["…", *quoted[-MOST_QUOTED:]] if is_traceback else [*quoted[:MOST_QUOTED], "…"]
    for line in quoted:
        page.put(Text(line, style="italic" if line != "…" else ""), indent=4)


def _put_snippet(page: Page, finding: ReportedFinding) -> None:
    lines = [number for number, _ in finding.snippet]
    margin = min((len(t) - len(t.lstrip()) for _, t in finding.snippet if t.strip()), default=0)
    first = finding.location.line or 0
    sick = range(first, (finding.location.end_line or first) + 1)
    for number, text in finding.snippet:
        is_sick = number in sick
        line = Text.assemble(
            ("❱ " if is_sick else "  ", "red"),
            (f"{number:>{len(str(lines[-1]))}} | ", "dim"),
            (text[margin:], "bold" if is_sick else ""),
        )
        if is_sick:  # the fault may stand at its end
            page.put(line, indent=4)
        else:
            page.put_line(line, indent=4)


def _put_evidence(page: Page, evidence: Sequence[Evidence], is_verbose: bool) -> None:
    shown = evidence if is_verbose else evidence[:MOST_EVIDENCE]
    page.put_packed([_measured(item) for item in shown], indent=4)


def _put_tables(page: Page, tables: Sequence[Table], is_verbose: bool) -> None:
    for table in tables:
        shown = table.rows if is_verbose else table.rows[:MOST_ROWS]
        page.put(Text(table.title, style="dim"), indent=4)
        rows = [[figure(value) for value in row] for row in shown]
        if _width(table.columns, rows) <= page.look.width - 6:
            page.put_table(table.columns, rows, indent=6)
        else:  # folded words can be read only with pains
            for row in rows:
                pairs = zip(table.columns[1:], row[1:], strict=False)
                said = "; ".join(f"{heading} {value}" for heading, value in pairs)
                page.put(Text.assemble((row[0], "bold"), f": {said}"), indent=6)
        if len(shown) < len(table.rows):
            page.put(f"{len(table.rows) - len(shown)} more with -v", indent=6, style="dim")


def _put_curves(page: Page, series: Sequence[Series]) -> None:
    for curve in series:
        if not LEAST_POINTS <= len(curve.x) == len(curve.y) or page.look.width < LEAST_WIDTH:
            continue
        lines = draw(
            curve.x,
            curve.y,
            width=min(page.look.width - 6, WIDEST_CURVE),
            height=CURVE_HEIGHT,
            unicode=page.look.unicode,
        )
        if lines:
            page.put(Text(curve.name, style="dim"), indent=4)
        for line in lines:
            page.put_line(Text(line), indent=6)


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return the columns that a table takes where nothing is folded."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=False)]
    return sum(width + 2 for width in widths)


def _measured(item: Evidence) -> Text:
    unit = f" {item.unit}" if item.unit else ""
    colon = ":" if isinstance(item.value, str) else ""  # so that words are told from words
    text = Text.assemble((f"{item.label}{colon} ", "dim"), f"{figure(item.value)}{unit}")
    if item.expected is not None:
        text.append(f" (expected {figure(item.expected)})", style="dim")
    return text


def _places(finding: ReportedFinding, is_verbose: bool) -> str:
    """Name the other places; those of the finding's own file by their lines alone."""
    here = finding.location.file
    places = list(
        dict.fromkeys(
            f"line {place.line}" if place.file == here and place.line else str(place)
            for place in finding.also_at
        )
    )
    shown = places if is_verbose else places[:MOST_PLACES]
    more = f" and {len(places) - len(shown)} more" if len(shown) < len(places) else ""
    return ", ".join(shown) + more


def _symptoms(symptoms: Sequence[ReportedFinding]) -> Text:
    parts = [Text.assemble((symptom.code, "bold"), f" {symptom.title}") for symptom in symptoms]
    return Text(" · ").join(parts)


def _put_remedies(page: Page, remedies: Sequence[Remedy], is_verbose: bool) -> None:
    ordered = sorted(remedies, key=lambda remedy: not remedy.recommended)
    for place, remedy in enumerate(ordered if is_verbose else ordered[:1]):
        page.put_labelled("fix" if place == 0 else "or", remedy.title)
        if is_verbose:
            for sign, words in (("for", remedy.pros), ("against", remedy.cons)):
                if words:
                    page.put_labelled(sign, words, indent=12)
            for sign, code, style in (("-", remedy.before, "red"), ("+", remedy.after, "green")):
                for line in code.splitlines():
                    page.put_line(Text(f"{sign} {line}", style=style), indent=12)


def _put_symptom(page: Page, symptom: ReportedFinding) -> None:
    heading = Text.assemble("    ", _heading(symptom))
    page.put_ends(heading, str(symptom.location))
    page.put(symptom.message or symptom.title, indent=6)
    for item in symptom.evidence:
        page.put(_measured(item), indent=8)
