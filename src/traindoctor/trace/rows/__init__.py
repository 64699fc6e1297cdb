"""The rows of a trace's tables: plain data, made by instruments, read by probes.

Importable without torch. A probe is tested with a handful of these written by hand.
Shapes are tuples of int; `file` and `line` are the user's own, or None where no frame of
the user's code was involved. Steps, batches and backward passes count from 0.
"""

from traindoctor.trace.rows.code import (
    CountRow,
    ExceptionRow,
    HandledRow,
    HookRow,
    SourceRow,
    WarningRow,
)
from traindoctor.trace.rows.course import (
    AutocastRow,
    EvaluationRow,
    FlipRow,
    ReportRow,
    SeedRow,
    ServedRow,
    WindowRow,
)
from traindoctor.trace.rows.data import BatchRow, LeafRow, LoaderRow, PassRow, WorkerRow
from traindoctor.trace.rows.graph import (
    CriterionRow,
    CutRow,
    FrozenRow,
    GraphRow,
    KeptRow,
    OperationRow,
    TermRow,
)
from traindoctor.trace.rows.handling import (
    CheckpointRow,
    ClipRow,
    HandlingRow,
    ScalerRow,
    SchedulerRow,
    WriteRow,
)
from traindoctor.trace.rows.model import (
    EdgeRow,
    ModuleRow,
    ParameterRow,
    SetupRow,
    SignalRow,
    TieRow,
    TransferRow,
    UnsavedRow,
    WeightRow,
)
from traindoctor.trace.rows.place import Place
from traindoctor.trace.rows.ranks import (
    CallRow,
    CollectiveRow,
    DigestRow,
    ExchangeRow,
    RankRow,
    WrapperRow,
)
from traindoctor.trace.rows.training import (
    BackwardRow,
    GradientRow,
    LossRow,
    OptimizerRow,
    PulseRow,
    StepRow,
    UpdateRow,
)

__all__ = [
    "AutocastRow",
    "BackwardRow",
    "BatchRow",
    "CallRow",
    "CheckpointRow",
    "ClipRow",
    "CollectiveRow",
    "CountRow",
    "CriterionRow",
    "CutRow",
    "DigestRow",
    "EdgeRow",
    "EvaluationRow",
    "ExceptionRow",
    "ExchangeRow",
    "FlipRow",
    "FrozenRow",
    "GradientRow",
    "GraphRow",
    "HandledRow",
    "HandlingRow",
    "HookRow",
    "KeptRow",
    "LeafRow",
    "LoaderRow",
    "LossRow",
    "ModuleRow",
    "OperationRow",
    "OptimizerRow",
    "ParameterRow",
    "PassRow",
    "Place",
    "PulseRow",
    "RankRow",
    "ReportRow",
    "ScalerRow",
    "SchedulerRow",
    "SeedRow",
    "ServedRow",
    "SetupRow",
    "SignalRow",
    "SourceRow",
    "StepRow",
    "TermRow",
    "TieRow",
    "TransferRow",
    "UnsavedRow",
    "UpdateRow",
    "WarningRow",
    "WeightRow",
    "WindowRow",
    "WorkerRow",
    "WrapperRow",
    "WriteRow",
]
