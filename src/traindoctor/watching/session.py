"""One watched run, from the import of torch to its end: what is seen, and what is written of it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any

from traindoctor.errors import told
from traindoctor.instruments.dynamics import Dynamics, dynamics_seen
from traindoctor.instruments.handling import handling_seen
from traindoctor.instruments.hooks import Hooks
from traindoctor.instruments.loaders import Loaders, loaders_seen
from traindoctor.instruments.ranks import Ranks
from traindoctor.instruments.recorder import Recorder
from traindoctor.instruments.warned import warnings_overheard
from traindoctor.target.births import births
from traindoctor.target.processes import Rank
from traindoctor.target.woven import heard_by
from traindoctor.trace import LossRow, ModuleRow, Place
from traindoctor.watching.backwards import Backwards
from traindoctor.watching.batches import Batches
from traindoctor.watching.blame import module_left, operation_left
from traindoctor.watching.calls import Calls
from traindoctor.watching.caught import Caught
from traindoctor.watching.columns import columns_on
from traindoctor.watching.governor import Governor
from traindoctor.watching.incidents import Incidents
from traindoctor.watching.later import Later
from traindoctor.watching.meeting import calls_beside, trace_of
from traindoctor.watching.meter import Meter
from traindoctor.watching.modes import Modes
from traindoctor.watching.opening import Opening, losses
from traindoctor.watching.record import Record
from traindoctor.watching.scene import Scene
from traindoctor.watching.script import status_of
from traindoctor.watching.spawned import settle, tap_processes
from traindoctor.watching.steps import Steps
from traindoctor.watching.taps import tap
from traindoctor.watching.troubles import Troubles

if TYPE_CHECKING:
    from traindoctor.watching.orders import Orders


class Session:
    """Takes what the taps see, and keeps the script out of any trouble with that.

    Args:
        orders: what was asked for.
        rank: which process it is, of several that are to be compared.
        clock: seconds; injected in tests.
    """

    def __init__(
        self,
        orders: Orders,
        rank: Rank | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.trace = trace_of(Path(orders.trace), rank)
        self.orders, self.clock = replace(orders, trace=str(self.trace)), clock
        self.process, self.rank = os.getpid(), rank
        self.ranks: Ranks | None = None  # of several processes, this one
        script = Place() if orders.is_module else Place(os.path.abspath(orders.script))
        self.recorder = Recorder(clock=clock, phase="train_loop")
        self.scene, self.meter = Scene(script), Meter()
        self.governor = Governor(orders.budget, clock)
        self.opening: Opening | None = None
        self.later = Later(self)
        self.watcher: Any = None  # whoever sees the calls of inner modules: an opening, a replay
        self.incidents = Incidents(self)
        self.is_off = False  # in a forked child, or after too much trouble
        self.uncalled: Callable[[], None] = lambda: None  # takes the tap off the modules
        self.handled, self.hooks = Caught(self), Hooks(None)
        self.loaders: Loaders | None = None
        self.dynamics: Dynamics | None = None
        self.unregistered: tuple[ModuleRow, ...] = ()
        self.batches, self.calls = Batches(self), Calls(self)
        self.backwards, self.steps = Backwards(self), Steps(self)
        self.record = Record(self)
        self.troubles = Troubles(self._give_up)
        self.safely = self.troubles.safely
        self._stack = ExitStack()
        self._thread = get_ident()
        self.modes = Modes()

    def begin(self) -> None:
        """Start writing, and hear what the script's handlers catch."""
        os.register_at_fork(after_in_child=self._forked)
        self._stack.enter_context(heard_by(self.handled))
        self.safely(self.record.begin, self.trace)
        self._write_before_exit()

    def _write_before_exit(self) -> None:
        """Let `os._exit` find everything written."""
        really_exit = os._exit

        def leave(status: int) -> Any:
            if os.getpid() == self.process:
                self.safely(self.end, SystemExit(status))
            really_exit(status)

        os._exit = leave

    def torch_imported(self) -> None:
        """Tap torch; what fails of that is not the script's import."""
        self.safely(self._tap_torch)

    def _tap_torch(self) -> None:
        from traindoctor.probing.announce import environment

        self.recorder.facts["environment"] = environment("cpu")
        self.scene.places = self._stack.enter_context(births(self.scene.notice))
        self.opening = self.watcher = Opening(self.recorder, self.scene, self.hooks)
        self.names = self.opening.names
        self._stack.enter_context(warnings_overheard(self.recorder))
        self._stack.enter_context(self.hooks.watching())
        self._install()
        tap(self)
        tap_processes(self)

    def _install(self) -> None:
        """Enter what records by itself, for as long as the run goes on."""
        recorder = self.recorder
        self.loaders = self._stack.enter_context(loaders_seen(recorder))
        recorder.on_fetch.append(partial(self.take, self.batches.asked))
        recorder.after_fetch.append(self.batches.given)
        self._stack.enter_context(handling_seen(recorder, places=self.scene.places))
        self.dynamics = self._stack.enter_context(dynamics_seen(recorder, hears_calls=False))
        begins, ended = partial(self.take, self.steps.begins), partial(self.take, self.steps.ended)
        self._stack.enter_context(recorder.stepping.told(begins, ended))
        if self.rank is not None:
            self.safely(self._watch_ranks, self.rank)

    def _watch_ranks(self, rank: Rank) -> None:
        self.ranks = Ranks(self.recorder, self.names, rank, calls_beside(self.trace))
        self._stack.enter_context(self.ranks.watching())

    def bring_up_to_date(self) -> None:
        """Let every instrument put what it has into the recorder."""
        recorder = self.recorder
        recorder.handled[:] = self.handled.rows()
        recorder.counts[:] = self.handled.count_rows()
        recorder.hooks[:] = [hook.row() for hook in self.hooks.hooks]
        if self.dynamics is not None:
            self.dynamics.write()
        if self.loaders is not None:
            self.loaders.finish(is_over=False)

    def losses(self) -> tuple[LossRow, ...]:
        """Return what was differentiated in the opening, and later what was not finite."""
        return tuple(losses(self.recorder))

    def facts(self) -> dict[str, Any]:
        """Return how far the run is, and what watching it cost."""
        return {
            "num_steps": sum(self.meter.num_steps.values()),
            "num_batches": self.recorder.batch + 1,
            "num_passes": self.recorder.num_passes,
            "num_forwards": self.calls.num_roots,
            "num_epochs": self._num_epochs(),
            "lost_batches": self.batches.lost(),
            "later_modes": self.modes.by_path(),
            "later_trainings": tuple(self.later.begun),
            "overhead": self.governor.facts(),
            "troubles": (*self.troubles.told, *self._switched_off()),
        }

    def _num_epochs(self) -> int:
        """Return how often the loader that is trained from most was gone through."""
        rows = self.recorder.loaders
        return max((row.num_passes - row.num_evaluations for row in rows), default=0)

    def _switched_off(self) -> list[str]:
        """Name the instruments that have switched themselves off."""
        facts = self.recorder.facts
        broken = [f"{name}: {why}" for name, why in facts.get("broken_instruments", {}).items()]
        found = [*facts.get("switched_off", ()), *broken]
        error = None if self.loaders is None else self.loaders.error
        return found if error is None else [*found, f"loaders: {told(error)}"]

    def end(self, error: BaseException | None = None) -> None:
        """Write what is left. The taps stay: the script's exit handlers may still run."""
        if error is not None and isinstance(error, Exception):
            self.safely(self._note_exception, error)
        self.safely(self._close_opening)
        self.safely(self.later.close)
        self.safely(self.incidents.stop_listening)
        if self.loaders is not None:
            self.safely(self.loaders.finish)
        status = status_of(error)
        ended = {"ended": status == 0, "status": status, "ended_at": time.time()}
        self.recorder.facts |= ended
        self.safely(self.record.end, "exception" if status else "returned")
        self.safely(settle, self)

    def withdraw(self) -> None:
        """Take the instruments out again: the process goes on without them."""
        self.is_off = True
        self._stack.close()

    def _note_exception(self, error: Exception) -> None:
        later = self.later.opening
        row = (self.recorder if later is None else later.recorder).row_of(error)
        if "torch" in sys.modules and not row.operation:
            row = replace(row, **operation_left(error.__traceback__))
        if "torch" in sys.modules and self.opening is None:
            setup = self.scene.setup()
            paths = {id(m): path for path, m in setup.model.named_modules()} if setup else {}
            row = replace(row, **module_left(error.__traceback__, paths))
            self.recorder.facts["num_trainable_at_end"] = self.scene.num_trainable()
        if later is not None:
            later.recorder.exceptions.append(row)
            row = replace(row, batch=self.recorder.batch)
        self.recorder.exceptions.append(row)
        self.recorder.facts |= columns_on(error.__traceback__)

    def compiles(self) -> None:
        """Take in that the script compiles: what is traced must be as it was."""
        self.uncalled()
        if self.opening is not None:
            self.opening.is_compiled = True

    def boundary(self) -> None:
        """Take in that the script is between two batches."""
        if self.opening is not None and not self.opening.boundary():
            self._close_opening()

    def _close_opening(self) -> None:
        opening, self.opening, self.watcher = self.opening, None, None
        self.scene.let_go()
        if opening is not None:
            self.unregistered = opening.anatomy.unregistered if opening.anatomy else ()
            self.modes.begin(opening.anatomy)
            self.record.opening_closed(opening)
            self.later.first_is_over()
            self.governor.begin()

    def is_ours(self) -> bool:
        """Tell whether what happens is to be seen: it is in the script's own thread."""
        return get_ident() == self._thread and not self.is_off

    def take(self, act: Callable[..., Any], *facts: Any) -> Any:
        """Take something in, if it is to be seen: safely, and on the governor's account."""
        if self.is_off or get_ident() != self._thread:
            return None
        clock, start = self.clock, self.clock()
        try:
            return act(*facts)
        except Exception as error:
            self.troubles.note(getattr(act, "__qualname__", "an instrument"), error)
            return None
        finally:
            self.governor.seconds += clock() - start

    def _give_up(self) -> None:
        self.is_off = True

    def _forked(self) -> None:
        """Leave a forked child alone: the trace and its thread are its parent's."""
        self.is_off = True
        self.record.forget()
