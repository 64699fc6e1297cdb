"""Records gradient scalers: what they scaled, which steps they skipped, and how the scale went."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from traindoctor.instruments.notes import notes_of
from traindoctor.instruments.order import SCALED, order_of
from traindoctor.instruments.recorder import Recorder, here
from traindoctor.target.patches import replaced
from traindoctor.trace import Place, ScalerRow

MOST_SCALERS = 16
MOST_SCALES = 32
WARM_UP = 20  # steps after the first that was taken, in which a scaler may still look for its scale


class _Seen:
    """What one scaler did."""

    def __init__(self, scaler: Any) -> None:
        self.scaler = scaler  # a few numbers, and kept so that its `id` stays its own
        self.place = self.step_place = Place()
        self.num_scaled = self.num_steps = self.num_skipped = self.num_updates = 0
        self.num_late = self.num_late_skipped = self.num_taken = self.since_taken = 0
        self.in_a_row = self.longest_skip = 0
        self.scales: list[Any] = []

    def stepped(self, was_taken: bool, place: Place) -> None:
        """Take in that it passed a step on, or skipped it."""
        self.step_place = self.step_place or place
        self.num_steps += 1
        self.num_skipped += not was_taken
        self.in_a_row = 0 if was_taken else self.in_a_row + 1
        self.longest_skip = max(self.longest_skip, self.in_a_row)
        if self.since_taken > WARM_UP:
            self.num_late += 1
            self.num_late_skipped += not was_taken
        self.num_taken += was_taken
        self.since_taken += self.num_taken > 0

    def updated(self) -> None:
        """Take in that its scale was updated, or left as it is."""
        self.num_updates += 1
        if len(self.scales) < MOST_SCALES:
            self.scales.append(self.scaler._scale.detach().clone())

    def row(self, index: int) -> ScalerRow:
        """Return the sums. The scales are read now."""
        is_complete = 0 < self.num_updates <= len(self.scales)
        scales = self.scales if is_complete else [*self.scales, self.scaler._scale]
        return ScalerRow(
            index=index,
            place=self.place,
            step_place=self.step_place,
            num_scaled=self.num_scaled,
            num_steps=self.num_steps,
            num_skipped=self.num_skipped,
            num_late=self.num_late,
            num_late_skipped=self.num_late_skipped,
            longest_skip=self.longest_skip,
            num_updates=self.num_updates,
            scales=tuple(float(scale) for scale in scales if scale is not None),
        )


class Scalers:
    """All enabled scalers, in the order in which they are used first."""

    def __init__(self, recorder: Recorder) -> None:
        self.order = order_of(recorder)
        self.seen: dict[int, _Seen] = {}

    def of(self, scaler: Any) -> _Seen | None:
        """Return what is known of a scaler; None of one that does nothing."""
        if not scaler._enabled:
            return None
        if id(scaler) not in self.seen and len(self.seen) >= MOST_SCALERS:
            return None
        self.order.ask()
        return self.seen.setdefault(id(scaler), _Seen(scaler))

    def scaled(self, scaler: Any, outputs: Any, place: Place) -> None:
        """Mark what a scaler returned."""
        seen = self.of(scaler)
        if seen is None:
            return
        self.order.has_scaled = True
        seen.num_scaled += 1
        seen.place = seen.place or place
        for tensor in outputs if isinstance(outputs, list | tuple) else [outputs]:
            if getattr(tensor, "grad_fn", None) is not None:
                tensor.grad_fn.metadata[SCALED] = place

    def unscaled(self, scaler: Any, optimizer: Any) -> None:
        """Take in that an optimizer's gradients are unscaled, and what was found in them."""
        account = self.order.account(optimizer)
        account.is_unscaled = True
        found = scaler._per_optimizer_states[id(optimizer)]["found_inf_per_device"].values()
        account.found = next((value.detach().clone() for value in found), 0.0)

    def begins_step(self, scaler: Any, optimizer: Any) -> int | None:
        """Take in that a scaler is to step an optimizer; return how often that has stepped."""
        if self.of(scaler) is None:
            return None
        self.order.passed_on = id(optimizer)
        account = self.order.account(optimizer)
        account.num_shrunk += account.num_backwards > 0 and not account.num_scaled_backwards
        return account.num_steps

    def ends_step(self, scaler: Any, optimizer: Any, before: int, place: Place) -> None:
        """Take in that it is done; without a step of the optimizer's it was skipped."""
        seen, account = self.of(scaler), self.order.account(optimizer)
        is_hooked = getattr(type(optimizer).step, "hooked", False)
        was_taken = account.num_steps > before or not is_hooked
        if not was_taken:
            account.skips_step(self.order.recorder.batch)
        if seen is not None:
            seen.stepped(was_taken, place)

    def updated(self, scaler: Any) -> None:
        """Take in that a scaler has updated its scale."""
        seen = self.of(scaler)
        if seen is not None:
            seen.updated()

    def rows(self) -> list[ScalerRow]:
        """Return a row a scaler."""
        return [seen.row(index) for index, seen in enumerate(self.seen.values())]


@contextmanager
def scalers_seen(recorder: Recorder) -> Iterator[None]:
    """Record `scale`, `unscale_`, `step` and `update` of every scaler. Needs `order_seen`."""
    from torch.amp import GradScaler

    scalers = Scalers(recorder)
    notes = notes_of(recorder, "scalers", "scalers", scalers.rows)

    def scale(original: Any) -> Any:
        def noting(self: Any, outputs: Any) -> Any:
            result = original(self, outputs)
            notes(lambda: scalers.scaled(self, result, here()))
            return result

        return noting

    def step(original: Any) -> Any:
        def noting(self: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            before = notes(scalers.begins_step, self, optimizer)
            try:
                result = original(self, optimizer, *args, **kwargs)
            finally:
                scalers.order.passed_on = None
            if before is not None:
                notes(lambda: scalers.ends_step(self, optimizer, before, here()))
            return result

        return noting

    def unscale(original: Any) -> Any:
        def noting(self: Any, optimizer: Any) -> Any:
            result = original(self, optimizer)
            if self._enabled:
                notes(scalers.unscaled, self, optimizer)
            return result

        return noting

    def update(original: Any) -> Any:
        def noting(self: Any, new_scale: Any = None) -> Any:
            result = original(self, new_scale)
            notes(scalers.updated, self)
            return result

        return noting

    with ExitStack() as stack:
        for name, make in (
            ("scale", scale),
            ("step", step),
            ("unscale_", unscale),
            ("update", update),
        ):
            stack.enter_context(replaced(GradScaler, name, make))
        stack.callback(notes.close)
        yield
