"""Hostile reports: any text, any number, every enumeration."""

from __future__ import annotations

from datetime import datetime

from hypothesis import strategies as st

from traindoctor.probing.finding import Evidence, Location, Series, Table
from traindoctor.probing.rule import Remedy
from traindoctor.report.record import (
    ExperimentRecord,
    ModelRecord,
    ProbeRecord,
    Report,
    ReportedFinding,
    Summary,
    SuppressedRecord,
    TargetRecord,
)

texts = st.text(st.characters(), max_size=12)  # lone surrogates and control characters too
codes = st.from_regex(r"TD[0-9]{3}", fullmatch=True)
ids = st.from_regex(r"F[1-9][0-9]?", fullmatch=True)
counts = st.integers(0, 10**12)
seconds = st.floats(0, 1e6)
numbers = st.floats()
lines = st.none() | st.integers(1, 10**6)
values = st.none() | st.booleans() | st.integers() | numbers | texts
figures = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
tables = st.dictionaries(texts, figures, max_size=3)


def many(items: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(items, max_size=3).map(tuple)


locations = st.builds(
    Location,
    file=st.none() | texts,
    line=lines,
    end_line=lines,
    symbol=st.none() | texts,
    module=st.none() | texts,
    parameter=st.none() | texts,
)
findings = st.builds(
    ReportedFinding,
    id=ids,
    code=codes,
    name=texts,
    severity=st.sampled_from(["critical", "error", "warning", "info"]),
    confidence=st.sampled_from(["certain", "likely", "possible"]),
    role=st.sampled_from(["root-cause", "symptom"]),
    explains=st.just(()),
    explained_by=st.none() | ids,
    title=texts,
    message=texts,
    mechanism=texts,
    quote=texts,
    location=locations,
    also_at=many(locations),
    evidence=many(
        st.builds(Evidence, label=texts, value=values, expected=values, unit=st.none() | texts)
    ),
    series=many(st.builds(Series, name=texts, x=many(numbers), y=many(numbers))),
    remedies=many(st.builds(Remedy, texts, st.booleans(), texts, texts, texts, texts)),
    verify=many(texts),
    fingerprint=texts,
    snippet=many(st.tuples(st.integers(1, 10**6), texts)),
    tables=many(st.builds(Table, texts, many(texts), many(many(values)))),
    also_lines=many(texts),
)
reports = st.builds(
    Report,
    schema_version=st.just("1.0"),
    tool=st.fixed_dictionaries({"name": st.just("traindoctor"), "version": texts}),
    created=st.datetimes(min_value=datetime(2000, 1, 1)).map(lambda d: d.isoformat() + "+00:00"),
    command=texts.map("traindoctor check ".__add__) | texts.map("traindoctor overfit ".__add__),
    duration_seconds=seconds,
    target=st.builds(
        TargetRecord,
        reference=texts,
        kind=st.sampled_from(["factory", "script"]),
        model=st.none()
        | st.builds(ModelRecord, class_name=texts, parameters=counts, trainable=counts),
        data=st.fixed_dictionaries({}, optional={"batches": counts, "batch_size": counts}),
        distributed=st.fixed_dictionaries({"world_size": st.just(1)}),
    ),
    environment=st.fixed_dictionaries({}, optional={"torch": texts, "device": texts}),
    verdict=st.sampled_from(["healthy", "unwell", "blocked", "inconclusive"]),
    summary=st.builds(
        Summary,
        critical=counts,
        error=counts,
        warning=counts,
        info=counts,
        root_causes=counts,
        symptoms=counts,
    ),
    findings=st.lists(findings, max_size=3, unique_by=lambda finding: finding.id).map(tuple),
    probes=st.lists(
        st.builds(
            ProbeRecord,
            name=texts,
            status=st.sampled_from(["passed", "failed", "skipped", "errored"]),
            reason=texts,
            seconds=seconds,
            rules=many(codes),
            findings=many(ids),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    experiments=many(
        st.builds(
            ExperimentRecord,
            name=texts,
            settings=tables,
            status=st.sampled_from(["done", "partial", "failed"]),
            seconds=seconds,
            steps=counts,
            reason=texts,
        )
    ),
    measurements=st.dictionaries(texts.map("own-".__add__), figures, max_size=3),
    suppressed=many(st.builds(SuppressedRecord, code=codes, reason=texts, where=texts)),
)
