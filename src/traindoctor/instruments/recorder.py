"""Where instruments put what they see, and where in the run we are."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from traindoctor.errors import RAISED_BY_USERS, shortened, words_of
from traindoctor.instruments.ledger import Ledger
from traindoctor.instruments.numbers import Numbers
from traindoctor.instruments.stepping import Stepping
from traindoctor.target.retold import retold
from traindoctor.target.usercode import raised_place, raising_text, user_place, user_traceback
from traindoctor.trace import (
    AutocastRow,
    BackwardRow,
    BatchRow,
    CountRow,
    CriterionRow,
    CutRow,
    EvaluationRow,
    ExceptionRow,
    FlipRow,
    GradientRow,
    GraphRow,
    HandledRow,
    HookRow,
    KeptRow,
    LoaderRow,
    LossRow,
    OperationRow,
    PassRow,
    Place,
    ReportRow,
    SeedRow,
    ServedRow,
    StepRow,
    Trace,
    UpdateRow,
    WarningRow,
    WorkerRow,
)

if TYPE_CHECKING:
    from traindoctor.instruments.one_pass import Pass

MOST_TOLD = 1 << 20  # characters of a message that are searched for another exception
BATCH = "traindoctor.batch"  # the key of a graph node's metadata that holds a batch's number


class Stopped(Exception):
    """User code raised; the exception is recorded and this experiment is over."""


@dataclass(slots=True)
class Recorder:
    """Collects rows while an experiment runs. `batch`, `step` and `phase` say where it is."""

    clock: Callable[[], float] = time.perf_counter
    batch: int = -1
    step: int = 0
    phase: str = ""
    losses: list[LossRow] = field(default_factory=list)
    backwards: list[BackwardRow] = field(default_factory=list)
    steps: list[StepRow] = field(default_factory=list)
    gradients: list[GradientRow] = field(default_factory=list)
    updates: list[UpdateRow] = field(default_factory=list)
    batches: list[BatchRow] = field(default_factory=list)
    loaders: list[LoaderRow] = field(default_factory=list)
    passes: list[PassRow] = field(default_factory=list)
    workers: list[WorkerRow] = field(default_factory=list)
    criteria: list[CriterionRow] = field(default_factory=list)
    cuts: list[CutRow] = field(default_factory=list)
    operations: list[OperationRow] = field(default_factory=list)
    graphs: list[GraphRow] = field(default_factory=list)
    kept: list[KeptRow] = field(default_factory=list)
    served: list[ServedRow] = field(default_factory=list)
    autocasts: list[AutocastRow] = field(default_factory=list)
    flips: list[FlipRow] = field(default_factory=list)
    reports: list[ReportRow] = field(default_factory=list)
    seeds: list[SeedRow] = field(default_factory=list)
    exceptions: list[ExceptionRow] = field(default_factory=list)
    handled: list[HandledRow] = field(default_factory=list)
    counts: list[CountRow] = field(default_factory=list)
    hooks: list[HookRow] = field(default_factory=list)
    warnings: list[WarningRow] = field(default_factory=list)
    evaluations: list[EvaluationRow] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    num_passes: int = 0  # backward passes, and calls of `autograd.grad` that end a graph
    last_loss: Any = None  # the tensor that was differentiated last
    # The exception of the last operation that raised, and what its operands were.
    refused: tuple[BaseException, dict[str, Any]] | None = None
    # The module whose forward runs, kept by the module instrument for `watching`.
    running: list[dict[str, Any]] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    optimizers: Numbers = field(default_factory=Numbers)
    stepping: Stepping = field(default_factory=Stepping)
    order: Any = None  # of backward passes and steps, kept by the order instrument
    # Tables of sums, by name: made anew whenever the trace is asked for.
    sums: dict[str, Callable[[], Iterable[Any]]] = field(default_factory=dict)
    # Called before a batch is fetched, and after: with the pass that gave it, and the seconds.
    on_fetch: list[Callable[[], None]] = field(default_factory=list)
    after_fetch: list[Callable[[Pass, float], None]] = field(default_factory=list)
    # Called before each backward pass: whoever wants to know what led to it.
    on_backward: list[Callable[[], None]] = field(default_factory=list)
    # Called after each, when its row is written: whoever tells the next batch from this one.
    after_backward: list[Callable[[], None]] = field(default_factory=list)

    @contextmanager
    def watching(self, phase: str) -> Iterator[None]:
        """Name the phase, and turn an exception of user code into a row.

        Raises:
            Stopped: user code raised; the row is in `exceptions`.
        """
        before, self.phase = self.phase, phase
        self.running.clear()
        try:
            yield
        except Stopped:
            raise
        except RAISED_BY_USERS as error:
            self.exceptions.append(self.row_of(error))
            raise Stopped from error
        finally:
            self.phase = before

    def row_of(self, error: BaseException) -> ExceptionRow:
        """Return an exception as a row, with the module whose forward it left."""
        innermost = self.running[-1] if self.running else {}
        is_refusal = self.refused is not None and self.refused[0] in (error, error.__context__)
        refused = self.refused[1] if self.refused and is_refusal else {}
        words = words_of(error, MOST_TOLD)
        first = retold(words)
        return ExceptionRow(
            phase=self.phase,
            type_name=first.type_name if first else type(error).__name__,
            message=shortened(first.message if first else words),
            place=(first and first.place) or raised_place(error.__traceback__),
            batch=max(self.batch, 0),
            traceback=user_traceback(error),
            raising_text=raising_text(error.__traceback__),
            **innermost,
            **refused,
        )

    def trace(self, **more: Any) -> Trace:
        """Return everything recorded as a trace; `more` fills the other tables."""
        tables = {
            name: tuple(getattr(self, name))
            for name in (
                "losses",
                "backwards",
                "steps",
                "gradients",
                "updates",
                "batches",
                "loaders",
                "passes",
                "workers",
                "criteria",
                "cuts",
                "operations",
                "graphs",
                "kept",
                "served",
                "autocasts",
                "flips",
                "reports",
                "seeds",
                "exceptions",
                "handled",
                "counts",
                "hooks",
                "warnings",
                "evaluations",
            )
        }
        tables |= {name: tuple(rows()) for name, rows in self.sums.items()}
        return Trace(**{**tables, "facts": self.facts, **more})


def here() -> Place:
    """Return the innermost user line of the current call stack."""
    return user_place(sys._getframe(1))
