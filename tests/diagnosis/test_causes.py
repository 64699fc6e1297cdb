"""One fault, one root cause."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from traindoctor.diagnosis import diagnose
from traindoctor.probing import Confidence, Finding, Location, Rule, Severity


def found(
    code: str,
    *explains: str,
    severity: Severity = Severity.ERROR,
    line: int = 1,
    confidence: Confidence = Confidence.CERTAIN,
    blamed_on: tuple[str, ...] | None = None,
) -> Finding:
    rule = Rule(
        code=code,
        name=f"rule-{code.lower()}",
        severity=severity,
        title=code,
        what="",
        why="",
        known_limits="",
        explains=explains,
    )
    return rule.finding(
        "",
        confidence=confidence,
        blamed_on=blamed_on,
        location=Location(file=f"/{code}.py", line=line, symbol=str(line)),
    )


def roles(*findings: Finding) -> dict[str, str | None]:
    entries = diagnose(findings)
    names = {entry.id: entry.finding.code for entry in entries}
    return {e.finding.code: names.get(e.explained_by or "") for e in entries}


def test_a_symptom_stands_under_its_cause_also_through_another_symptom() -> None:
    assert roles(
        found("TD601"), found("TD103", "TD601"), found("TD402", "TD401"), found("TD401", "TD103")
    ) == {"TD402": None, "TD401": "TD402", "TD103": "TD402", "TD601": "TD402"}


def test_two_independent_faults_are_two_root_causes_the_worse_first() -> None:
    entries = diagnose([found("TD501"), found("TD001", severity=Severity.CRITICAL)])
    assert [entry.finding.code for entry in entries] == ["TD001", "TD501"]
    assert [entry.role for entry in entries] == ["root-cause", "root-cause"]


def test_of_two_that_explain_each_other_the_earlier_link_of_the_chain_is_the_cause() -> None:
    assert roles(found("TD102", "TD418"), found("TD418", "TD102")) == {
        "TD418": None,
        "TD102": "TD418",
    }


def test_a_circle_of_three_still_has_one_root() -> None:
    circle = found("TD401", "TD201"), found("TD201", "TD103"), found("TD103", "TD401")
    assert list(roles(*circle).values()).count(None) == 1


def test_a_family_prefix_explains_the_whole_family() -> None:
    assert roles(found("TD001", "TD1", "TD6"), found("TD103"), found("TD601")) == {
        "TD001": None,
        "TD103": "TD001",
        "TD601": "TD001",
    }


def test_information_neither_explains_nor_is_explained() -> None:
    information = found("TD201", "TD601", severity=Severity.INFO)
    assert roles(information, found("TD601"), found("TD001", "TD201")) == {
        "TD001": None,
        "TD601": None,
        "TD201": None,
    }


def test_the_same_finding_twice_is_one() -> None:
    assert len(diagnose([found("TD401"), found("TD401")])) == 1
    assert len(diagnose([found("TD401", line=1), found("TD401", line=2)])) == 2


def test_of_two_candidates_the_one_whose_removal_heals_is_the_cause_and_is_certain() -> None:
    candidates = [found(code, "TD6", confidence=Confidence.LIKELY) for code in ("TD210", "TD412")]
    symptom = found("TD601", blamed_on=("TD412",))

    entries = {entry.finding.code: entry for entry in diagnose([*candidates, symptom])}

    assert entries["TD601"].explained_by == entries["TD412"].id
    assert entries["TD412"].finding.confidence is Confidence.CERTAIN
    assert entries["TD210"].finding.confidence is Confidence.LIKELY
    assert entries["TD210"].explains == ()


def test_a_symptom_that_an_experiment_blames_on_none_of_the_others_is_a_root_cause() -> None:
    assert roles(found("TD210", "TD6"), found("TD601", blamed_on=())) == {
        "TD210": None,
        "TD601": None,
    }


def test_two_candidates_that_nothing_separates_are_both_possible() -> None:
    candidates = [found(code, "TD6", confidence=Confidence.LIKELY) for code in ("TD210", "TD412")]
    entries = {e.finding.code: e.finding for e in diagnose([*candidates, found("TD601")])}
    for code, other in (("TD210", "TD412"), ("TD412", "TD210")):
        assert entries[code].confidence is Confidence.POSSIBLE
        assert f"{other} would explain TD601 as well" in entries[code].message


def test_a_measured_cause_leaves_a_suspected_one_as_it_is() -> None:
    entries = diagnose(
        [
            found("TD401", "TD6"),
            found("TD210", "TD6", confidence=Confidence.LIKELY),
            found("TD601"),
        ]
    )
    assert {e.finding.code: e.finding.confidence for e in entries if e.role == "root-cause"} == {
        "TD401": Confidence.CERTAIN,
        "TD210": Confidence.LIKELY,
    }


CODES = [f"TD{family}0{number}" for family in range(9) for number in (1, 2)]


@given(
    st.lists(
        st.builds(
            lambda code, explains, severity: found(code, *explains, severity=severity),
            st.sampled_from(CODES),
            st.lists(st.sampled_from(CODES), max_size=4),
            st.sampled_from(list(Severity)),
        ),
        max_size=12,
    )
)
def test_whatever_was_found_each_finding_has_one_place_and_every_symptom_a_root(
    findings: list[Finding],
) -> None:
    entries = diagnose(findings)
    assert sorted(e.finding.code for e in entries) == sorted({f.code for f in findings})
    roots = {e.id for e in entries if e.role == "root-cause"}
    assert bool(roots) == bool(findings)
    for entry in entries:
        assert (entry.role == "root-cause") == (entry.explained_by is None)
        assert entry.explained_by is None or entry.explained_by in roots
        assert set(entry.explains) == {e.id for e in entries if e.explained_by == entry.id}
