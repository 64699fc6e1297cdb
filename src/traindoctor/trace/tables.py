"""A trace: the tables that one experiment filled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from traindoctor.errors import CannotJudge
from traindoctor.trace.rows import (
    AutocastRow,
    BackwardRow,
    BatchRow,
    CheckpointRow,
    ClipRow,
    CountRow,
    CriterionRow,
    CutRow,
    DigestRow,
    EvaluationRow,
    ExceptionRow,
    FlipRow,
    FrozenRow,
    GradientRow,
    GraphRow,
    HandledRow,
    HandlingRow,
    HookRow,
    KeptRow,
    LoaderRow,
    LossRow,
    ModuleRow,
    OperationRow,
    OptimizerRow,
    ParameterRow,
    PassRow,
    PulseRow,
    RankRow,
    ReportRow,
    ScalerRow,
    SchedulerRow,
    SeedRow,
    ServedRow,
    SetupRow,
    SignalRow,
    SourceRow,
    StepRow,
    TermRow,
    TieRow,
    TransferRow,
    UnsavedRow,
    UpdateRow,
    WarningRow,
    WeightRow,
    WorkerRow,
    WriteRow,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What one experiment measured. A table that it does not fill is empty."""

    setup: SetupRow = SetupRow()
    parameters: tuple[ParameterRow, ...] = ()
    modules: tuple[ModuleRow, ...] = ()
    optimizers: tuple[OptimizerRow, ...] = ()
    batches: tuple[BatchRow, ...] = ()
    loaders: tuple[LoaderRow, ...] = ()
    passes: tuple[PassRow, ...] = ()
    workers: tuple[WorkerRow, ...] = ()
    losses: tuple[LossRow, ...] = ()
    backwards: tuple[BackwardRow, ...] = ()
    steps: tuple[StepRow, ...] = ()
    pulses: tuple[PulseRow, ...] = ()
    gradients: tuple[GradientRow, ...] = ()
    updates: tuple[UpdateRow, ...] = ()
    criteria: tuple[CriterionRow, ...] = ()
    signals: tuple[SignalRow, ...] = ()
    terms: tuple[TermRow, ...] = ()
    cuts: tuple[CutRow, ...] = ()
    operations: tuple[OperationRow, ...] = ()
    graphs: tuple[GraphRow, ...] = ()
    kept: tuple[KeptRow, ...] = ()
    served: tuple[ServedRow, ...] = ()
    autocasts: tuple[AutocastRow, ...] = ()
    flips: tuple[FlipRow, ...] = ()
    reports: tuple[ReportRow, ...] = ()
    seeds: tuple[SeedRow, ...] = ()
    exceptions: tuple[ExceptionRow, ...] = ()
    handled: tuple[HandledRow, ...] = ()
    counts: tuple[CountRow, ...] = ()
    hooks: tuple[HookRow, ...] = ()
    warnings: tuple[WarningRow, ...] = ()
    source: tuple[SourceRow, ...] = ()
    evaluations: tuple[EvaluationRow, ...] = ()
    weights: tuple[WeightRow, ...] = ()
    frozen: tuple[FrozenRow, ...] = ()
    handling: tuple[HandlingRow, ...] = ()
    clips: tuple[ClipRow, ...] = ()
    schedulers: tuple[SchedulerRow, ...] = ()
    scalers: tuple[ScalerRow, ...] = ()
    checkpoints: tuple[CheckpointRow, ...] = ()
    writes: tuple[WriteRow, ...] = ()
    unsaved: tuple[UnsavedRow, ...] = ()
    ties: tuple[TieRow, ...] = ()
    transfers: tuple[TransferRow, ...] = ()
    ranks: tuple[RankRow, ...] = ()
    digests: tuple[DigestRow, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)  # single figures, named with their unit

    @property
    def num_batches(self) -> int:
        """How many batches were served; of a watched run the table holds the first ones alone."""
        return max(int(self.facts.get("num_batches") or 0), len(self.batches))

    @property
    def num_backwards(self) -> int:
        """How many backward passes there were; see `num_batches`."""
        return max(int(self.facts.get("num_passes") or 0), len(self.backwards))

    @property
    def num_steps(self) -> int:
        """How many optimizer steps there were; see `num_batches`."""
        return max(int(self.facts.get("num_steps") or 0), len(self.steps))

    @property
    def raised(self) -> str:
        """What user code raised first, as one phrase; nothing where it raised nothing.

        A forward that refuses its arguments has raised on no line of its own: its first is named.
        """
        if not self.exceptions:
            return ""
        row = self.exceptions[0]
        is_refusal = row.phase == "forward" and not row.place and not row.module
        return (replace(row, place=self.setup.forward_place) if is_refusal else row).summary

    def lost(self, batches: Iterable[int]) -> set[int]:
        """Return those of the batches that no backward pass and no step belongs to."""
        lost = self.facts.get("lost_batches")
        if lost is not None:  # of a watched run, whose tables do not hold all of it
            return set(batches) & set(lost)
        seen = {row.batch for row in self.backwards} | {row.batch for row in self.steps}
        return set(batches) - seen

    def frame(self, table: str) -> pd.DataFrame:
        """Return a table as a pandas data frame, one row a record."""
        import pandas as pd

        rows = getattr(self, table)
        if not rows:
            return pd.DataFrame()
        names = [item.name for item in fields(rows[0])]
        return pd.DataFrame([[getattr(row, name) for name in names] for row in rows], columns=names)

    def require(self, **at_least: int) -> None:
        """Refuse to judge when a table is too short, naming what stopped the experiment.

        Args:
            at_least: table name to the number of rows needed, as in `require(steps=3)`.

        Raises:
            CannotJudge: with the exception that user code raised, where one did.
        """
        for table, needed in at_least.items():
            found = len(getattr(self, table))
            if found >= needed:
                continue
            reason = f"{found} of the {needed} {table} needed were observed"
            if self.exceptions:
                reason += f": {self.raised}"
            raise CannotJudge(reason)
