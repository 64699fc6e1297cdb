"""A hand-made report, as a blocked run would give it."""

from __future__ import annotations

from traindoctor.probing.finding import Evidence, Location, Series
from traindoctor.probing.rule import Remedy
from traindoctor.report.record import (
    SCHEMA_VERSION,
    ExperimentRecord,
    ModelRecord,
    ProbeRecord,
    Report,
    ReportedFinding,
    Summary,
    SuppressedRecord,
    TargetRecord,
)

SWALLOWED = ReportedFinding(
    id="F1",
    code="TD801",
    name="swallowed-exception",
    severity="critical",
    confidence="certain",
    role="root-cause",
    explains=("F2", "F3"),
    explained_by=None,
    title="Every one of 64 batches raised inside `except Exception: continue`",
    message="None of them reached backward, so nothing was trained.",
    mechanism="The handler goes on with the next batch, and the epoch ends without a step.",
    quote="NotImplementedError: training is not supported yet\n  one\n  two\n  three",
    location=Location(file="train.py", line=41, symbol="train"),
    also_at=(Location(file="evaluate.py", line=12), Location(file="finetune.py", line=90)),
    evidence=(
        Evidence("batches fetched", 64),
        Evidence("backward calls", 0, 64),
        Evidence("optimizer steps", 0, 64),
        Evidence("loss", float("nan"), 4.6),
        Evidence("time of an epoch", 0.123456, None, "s"),
    ),
    series=(Series("loss", (0.0, 1.0), (2.0, float("inf"))),),
    remedies=(
        Remedy("Count the failures and stop at the first", pros="keeps the loop's shape"),
        Remedy(
            "Let the exception rise",
            recommended=True,
            pros="the cause is seen at once",
            cons="one bad batch ends the run",
            before="except Exception:\n    continue",
            after="",
        ),
    ),
    verify=("traindoctor check train.py:setup --select TD801",),
    fingerprint="0123456789abcdef",
    snippet=(
        (39, "        try:"),
        (40, "            loss = model(**batch).loss"),
        (41, "        except Exception:"),
        (42, "            continue"),
    ),
)


def symptom(id: str, code: str, name: str, title: str, severity: str = "error") -> ReportedFinding:
    """Return what the swallowed exception accounts for."""
    return ReportedFinding(
        id=id,
        code=code,
        name=name,
        severity=severity,
        confidence="likely",
        role="symptom",
        explains=(),
        explained_by="F1",
        title=title,
        message="",
        mechanism="",
        quote="",
        location=Location(module="model.head"),
        also_at=(),
        evidence=(Evidence("loss", 0.0, "changes"),),
        series=(),
        remedies=(),
        verify=("traindoctor check train.py:setup --select " + code,),
        fingerprint=id,
    )


FLOW = [
    {
        "module": module,
        "class": kind,
        "order": order,
        "parameters": 4096 * (order + 1),
        "tensors": 2,
        "none": none,
        "zero": zero,
        "not_finite": bad,
        "frozen": 0,
        "gradient_rms": rms,
        "weight_rms": 0.05,
        "update_ratio": None if rms is None else rms * 2,
    }
    for order, (module, kind, rms, none, zero, bad) in enumerate(
        [
            ("embed", "Embedding", 1.3e-5, 0, 0, 0),
            ("trunk.attention.projection.linear", "Linear", 2.0e-3, 0, 0, 0),
            ("trunk.dead", "Linear", None, 2, 0, 0),
            ("trunk.quiet", "Linear", 0.0, 0, 2, 0),
            ("head", "Linear", 0.4, 0, 0, 1),
        ]
    )
]

OVERFIT = {
    "learned": False,
    "start": 4.605,
    "end": 4.5,
    "floor": 0.0,
    "floor_reason": "cross entropy",
    "target": None,
    "steps": 20,
    "learning_rate": 0.001,
    "optimizer": "AdamW",
    "stochastic": False,
    "reason": "it does not fall",
    "seconds": 1.0,
    "curve": {"x": list(range(20)), "y": [4.605 - 0.005 * step for step in range(20)]},
}


def blocked(command: str = "traindoctor check train.py:setup", **more: object) -> Report:
    """Return the report; `more` replaces its fields."""
    fields = {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "traindoctor", "version": "0.1.0"},
        "created": "2026-01-02T03:04:05+00:00",
        "command": command,
        "duration_seconds": 2.8,
        "target": TargetRecord(
            reference="train.py:setup",
            kind="factory",
            model=ModelRecord(class_name="VitsModel", parameters=83112, trainable=83112),
            data={"loader": "DataLoader", "batches": 64, "batch_size": 4},
            distributed={"world_size": 1},
        ),
        "environment": {"torch": "2.13.0", "device": "cpu", "python": "3.11.7"},
        "verdict": "blocked",
        "summary": Summary(critical=1, error=1, warning=1, info=0, root_causes=1, symptoms=2),
        "findings": (
            SWALLOWED,
            symptom("F2", "TD103", "constant-loss", "the loss is 0.0 in all of 64 steps"),
            symptom("F3", "TD501", "impossible-speed", "3,454 samples/s", "warning"),
        ),
        "probes": tuple(
            ProbeRecord(
                name=name, status=status, reason=reason, seconds=0.1, rules=rules, findings=found
            )
            for name, status, reason, rules, found in (
                ("batch-shapes", "passed", "", ("TD001", "TD002"), ()),
                ("handlers", "failed", "", ("TD801", "TD802"), ("F1",)),
                ("loss-values", "failed", "", ("TD101", "TD103"), ("F2",)),
                ("speed", "failed", "", ("TD501",), ("F3",)),
                ("overfit", "skipped", "no loss was seen", ("TD601",), ()),
                ("flow", "errored", "ValueError: [red]x[/red]", ("TD201", "TD203"), ()),
            )
        ),
        "experiments": (
            ExperimentRecord(
                name="short-run", settings={"n": 6}, status="done", seconds=0.5, steps=6
            ),
        ),
        "measurements": {"gradient_flow": FLOW, "overfit": OVERFIT},
        "suppressed": (SuppressedRecord(code="TD402", reason="on purpose", where="train.py:12"),),
    }
    return Report(**(fields | more))  # type: ignore[arg-type]
